"""A table, one row per step: CSV, Parquet, or a folder of Parquet files.

The numbers of an episode's rows stand together; in a folder without such a column every
file is an episode. `next_obs` need be there in the last row of an episode only.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as text
import pyarrow.parquet as parquet

from ...core import DataFault, Spec
from ..blocks import Block, Reading
from ..columns import Columns
from ..dataset import CHUNK
from ..flat import episodes, Rows, rows
from ..names import belongs, named, unnamed
from . import about
from .lists import array_of


MAGIC = b"PAR1"
TEXT = 2**16  # bytes of a file within which its first line must end
NEXT = {"next_obs": "obs", "next_legal": "legal"}


class Table(NamedTuple):
    """Files with the same columns, and which of these are what."""

    files: list[Path]
    csv: bool
    arrays: dict[str, list[str]]
    spec: Spec | None

    @property
    def each(self) -> bool:
        """Whether every file is an episode."""
        return "episode" not in self.arrays and len(self.files) > 1


def is_parquet(path: Path) -> bool:
    if path.is_dir():
        return next(path.glob("*.parquet"), None) is not None
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_csv(path: Path) -> bool:
    """Whether it is text with a head of more than one column."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        head, end, _ = file.read(TEXT).partition(b"\n")
    try:
        words = head.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        return False
    return bool(end) and "," in words and words.isprintable()


def read(path: Path, spec: Spec | None, *, columns: Columns, csv: bool) -> Reading:
    """A table whose columns are there; raises `DataFault`."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    heads = [head(file, csv) for file in files]
    names, words = heads[0]
    for file, (other, _) in zip(files, heads, strict=True):
        if set(other) != set(names):
            raise DataFault(f"{file.name} has other columns than {files[0].name}")
    arrays = columns.of(names)
    ends = ("episode", "terminated", "truncated")
    if len(files) == 1 and not any(name in arrays for name in ends):
        raise DataFault(
            "nothing tells where an episode ends: there is no column for episode, "
            "terminated or truncated (--columns)"
        )
    own, meta = about.heard(words)
    table = Table(files, csv, arrays, own or spec)
    name = "csv" if csv else "parquet"
    return Reading(name, table.spec, functools.partial(blocks, table), meta)


def head(file: Path, csv: bool) -> tuple[list[str], bytes | None]:
    """The names of the columns, and what Peira has added."""
    try:
        if csv:
            with text.open_csv(file) as found:
                return found.schema.names, None
        with parquet.ParquetFile(file) as found:
            said = (found.metadata.metadata or {}).get(about.KEY.encode())
            return found.schema_arrow.names, said
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataFault(f"{file.name} cannot be read: {reason}") from None


def blocks(table: Table, done: Counter[str]) -> Iterator[Block]:
    yield from episodes(chunks(table), done)


def chunks(table: Table) -> Iterator[Rows]:
    """The rows of all files, some at a time."""
    first = 0
    for i, file in enumerate(table.files):
        try:
            for batch in batches(table, file):
                if batch.num_rows:
                    yield chunk(table, batch, i, first)
                    first += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise DataFault(f"{file.name} cannot be read: {reason}") from None


def batches(table: Table, file: Path) -> Iterator[pa.RecordBatch]:
    used = [name for names in table.arrays.values() for name in names]
    if table.csv:
        convert = text.ConvertOptions(
            column_types=types(table, file), include_columns=used, null_values=[""]
        )
        with text.open_csv(file, convert_options=convert) as found:
            yield from found
        return
    with parquet.ParquetFile(file) as found:
        size = sum(
            found.metadata.row_group(i).total_byte_size
            for i in range(found.metadata.num_row_groups)
        )
        n = max(1, min(2**16, CHUNK * max(1, found.metadata.num_rows) // max(1, size)))
        yield from found.iter_batches(batch_size=n, columns=used)


def types(table: Table, file: Path) -> dict[str, pa.DataType]:
    """What the numbers of a CSV are: as the space says, or else choices where the first
    rows have whole numbers in an action or in an observation of one number, and floats
    everywhere else."""
    with text.open_csv(file) as found:
        guess = dict(zip(found.schema.names, found.schema.types, strict=True))
    wanted: dict[str, pa.DataType] = {}
    for array, names in table.arrays.items():
        role, _, inner = array.partition(".")
        known = space_of(table.spec, NEXT.get(role, role), inner)
        like = [array.replace(role, NEXT[role], 1)] if role in NEXT else [array]
        guessed = [guess[n] for a in like for n in table.arrays.get(a, names)]
        alone = role == "action" or len(names) == 1
        whole = alone and all(pa.types.is_integer(t) for t in guessed)
        for name in names:
            if role == "episode":
                wanted[name] = pa.string()
            elif known is not None:
                wanted[name] = pa.from_numpy_dtype(known.dtype)
            elif role in ("obs", "next_obs", "action"):
                wanted[name] = pa.int64() if whole else pa.float32()
            elif role in ("reward", "propensity"):
                wanted[name] = pa.float32()
            elif role in NEXT:
                wanted[name] = guessed[0]
    return wanted


def space_of(spec: Spec | None, part: str, inner: str) -> Any:
    if spec is None or part not in ("obs", "action"):
        return None
    name = f"{part}.{inner}" if inner else part
    return named(part, getattr(spec, part)).get(name)


def chunk(table: Table, batch: pa.RecordBatch, file: int, first: int) -> Rows:
    """Some rows; `file` is the number of theirs, `first` that of the first row."""
    told = np.ones(batch.num_rows, bool)
    found: dict[str, np.ndarray] = {}
    for array, names in table.arrays.items():
        parts = [batch.column(name) for name in names]
        if array.partition(".")[0] in NEXT:
            told &= np.all([np.asarray(x.is_valid()) for x in parts], axis=0)
        elif array != "episode":
            found[array] = vector(parts, names, first)
    for array, names in table.arrays.items():
        role = array.partition(".")[0]
        same = array.replace(role, NEXT.get(role, role), 1)
        if role in NEXT and same in found:
            parts = [batch.column(name) for name in names]
            found[array] = scattered(parts, names, told, found[same])
    obs = None if table.spec is None else table.spec.obs
    action = None if table.spec is None else table.spec.action
    led = None
    if any(belongs(name, "next_obs") for name in found):
        led = (unnamed("next_obs", found, obs), found.get("next_legal"))
        if (led[1] is None) != ("legal" not in found):
            led = None  # without its mask a successor is not known
    return rows(
        (unnamed("obs", found, obs), found.get("legal")),
        unnamed("action", found, action),
        found["reward"],
        found.get("terminated"),
        found.get("truncated"),
        led=led,
        told=told if led is not None else None,
        number=numbers(table, batch, file),
        propensity=found.get("propensity"),
        first=first,
    )


def vector(parts: list[pa.Array], names: list[str], first: int) -> np.ndarray:
    """A column of numbers or lists as it is; numbered columns side by side."""
    arrays = [array_of(x, n, first) for x, n in zip(parts, names, strict=True)]
    alone = len(names) == 1 and not names[0].endswith("_0")
    return arrays[0] if alone else np.stack(arrays, axis=1)


def scattered(
    parts: list[pa.Array], names: list[str], told: np.ndarray, like: np.ndarray
) -> np.ndarray:
    """The rows that are told, in their places, and zeros in all others; shaped `like`
    the observations."""
    mask = pa.array(told)
    if not told.any():
        return np.zeros_like(like)
    inner = vector([x.filter(mask) for x in parts], names, 0)
    if inner.shape[1:] != like.shape[1:]:
        raise DataFault(f"{names[0]} has another shape than its observation")
    full = np.zeros(like.shape, inner.dtype)
    full[told] = inner
    return full


def numbers(table: Table, batch: pa.RecordBatch, file: int) -> np.ndarray | None:
    """The number of the episode that each row is of, whatever stands for it."""
    if "episode" not in table.arrays:
        return np.full(batch.num_rows, file) if table.each else None
    (name,) = table.arrays["episode"]
    column = batch.column(name)
    if column.null_count:
        raise DataFault(f"{name}: some rows are empty")
    if pa.types.is_integer(column.type):
        return column.to_numpy(zero_copy_only=False)
    return np.array(column.to_pylist(), object)
