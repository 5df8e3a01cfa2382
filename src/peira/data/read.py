"""Datasets from whatever they lie in, and into it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ..core import BadConfig, DataFault, PeiraError, Spec
from . import native
from .blocks import agree, gathered, Reading, reading
from .columns import Columns
from .dataset import check, Dataset
from .infer import settled


FORMATS = (
    "native",
    "minari",
    "minari-arrow",
    "d4rl",
    "npz",
    "parquet",
    "parquet-episodes",
    "csv",
)


def read(
    path: Path | str, *, spec: Spec | None = None, columns: Columns = Columns()
) -> Dataset:
    """The dataset at a path: a folder of ours or of Minari's, D4RL's HDF5, a folder of
    `.npz` or Parquet episodes, a table. Ours is mapped, all else is read into memory.

    `spec` are the spaces where a format does not declare any, `columns` what those of
    a table are called. Raises `DataFault` for what is none.
    """
    path = Path(path)
    with named(path):
        if (path / native.ABOUT).exists():
            data = native.load(path)
            if spec is not None:
                agree(spec, data.spec)
            return data
        return gathered(settled(opened(path, spec, columns)))


def opened(path: Path | str, spec: Spec | None, columns: Columns) -> Reading:
    """The same, to be read block by block."""
    path = Path(path)
    with named(path):
        if not path.exists():
            raise DataFault(f"{path} does not exist")
        from . import formats  # and with it h5py and more

        return formats.opened(path, columns, spec)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Whatever goes wrong is the fault of what lies at the path, in one line."""
    try:
        yield
    except DataFault as fault:
        said = str(fault)
        raise DataFault(said if str(path) in said else f"{path}: {said}") from None
    except PeiraError:
        raise
    except Exception as error:  # nothing a file says may end in a traceback
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataFault(f"{path} is not a dataset: {reason}") from None


def write(data: Dataset, path: Path | str, *, to: str = "native") -> None:
    """Write a dataset into a file or folder that must not be there yet. `to` is one of
    `peira.data.FORMATS`. Raises `DataFault`, with nothing written."""
    if to == "native":
        return native.save(check(data), Path(path))
    hand_on(reading(check(data)), Path(path), to)


def hand_on(source: Reading, path: Path, to: str) -> None:
    """Write what is read in this format; raises `DataFault`, with nothing written."""
    from . import formats

    formats.write(source, path, to)


def convert(
    source: Path | str,
    out: Path | str,
    *,
    to: str = "native",
    spec: Spec | None = None,
    columns: Columns = Columns(),
    meta: Mapping[str, Any] | None = None,
) -> None:
    """From any format into any other, a few episodes at a time: what does not fit into
    memory can be converted. `meta` is said in addition to what the file says. Raises
    `DataFault`, with nothing written."""
    found = opened(source, spec, columns)
    with named(Path(source)):
        found = dataclasses.replace(found, meta={**found.meta, **(meta or {})})
        hand_on(found, Path(out), to)


def split(
    data: Dataset, shares: Sequence[float], *, seed: int = 0
) -> list[Int[np.ndarray, " some"]]:
    """The episodes of each part, in their order, drawn at random so that the parts have
    these shares. Raises `BadConfig` where a part would be empty."""
    if any(not share > 0 for share in shares):
        raise BadConfig(f"shares {list(shares)}: must be above zero")
    order = np.random.default_rng(seed).permutation(data.episodes)
    edges = np.cumsum(shares) / np.sum(shares) * data.episodes
    parts = np.split(order, np.rint(edges[:-1]).astype(int))
    if any(len(part) == 0 for part in parts):
        raise BadConfig(
            f"{data.episodes} episodes are too few for {len(parts)} parts with shares "
            f"{list(shares)}"
        )
    return [np.sort(part) for part in parts]
