"""The formats of others, each told by what is in a file."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ...core import DataFault, Spec, unknown
from .. import native
from ..blocks import agree, Reading, reading
from ..columns import Columns
from ..files import fresh
from . import d4rl, minari, npz, table, table_out


WRITERS: Mapping[str, Callable[[Reading, Path], None]] = {
    "minari": minari.write,
    "minari-arrow": partial(minari.write, storage="arrow"),
    "d4rl": d4rl.write,
    "npz": npz.write,
    "parquet": partial(table_out.write, csv=False),
    "parquet-episodes": table_out.write_each,
    "csv": partial(table_out.write, csv=True),
}


def opened(path: Path, columns: Columns, spec: Spec | None) -> Reading:
    """What lies at a path, whatever it is called; `spec` are its spaces, where it does
    not declare any. Raises `DataFault` for what is no dataset, or declares others."""
    if (path / native.ABOUT).exists():
        found = reading(native.load(path))
    elif minari.is_one(path):
        found = minari.read(path)
    elif npz.is_one(path):
        found = npz.read(path, spec)
    elif d4rl.is_one(path):
        found = d4rl.read(path, spec)
    elif table.is_parquet(path):
        found = table.read(path, spec, columns=columns, csv=False)
    elif table.is_csv(path):
        found = table.read(path, spec, columns=columns, csv=True)
    else:
        raise DataFault(
            "not a dataset of a known format: neither Peira's, Minari's nor D4RL's, no "
            "folder of .npz or .parquet files, no Parquet and no CSV"
        )
    if spec is not None and found.spec is not None:
        agree(spec, found.spec)
    return found


def write(source: Reading, path: Path, to: str) -> None:
    """Write what is read in this format; raises `DataFault`, with nothing written."""
    names = ("native", *WRITERS)
    if to not in names:
        raise unknown("format", to, names)
    if to == "native":
        return native.stream(source, path)
    with fresh(path) as new:
        WRITERS[to](source, new)
