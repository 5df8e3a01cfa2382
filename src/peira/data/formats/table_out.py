"""Writing tables: one row per step, the observation that an episode ends in as
`next_obs` of its last row."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as text
import pyarrow.parquet as parquet

from ...core import DataFault
from ..blocks import Block, fitted, known, Reading
from ..infer import settled
from ..names import named
from . import about
from .lists import list_of


WIDEST = 512  # entries of a vector that get a column each


def write(source: Reading, path: Path, *, csv: bool) -> None:
    """All episodes in one file."""
    source = settled(source)
    done: Counter[str] = Counter()
    sink = Sink(path, csv)
    count = 0
    try:
        for block in fitted(source.blocks(done), known(source)):
            sink.write(table(block, count, csv=csv))
            count += len(block.lengths)
        if not count:
            raise DataFault("the dataset is empty: it holds no step")
        sink.say(about.said(known(source), source.notes(done)))
    finally:
        sink.close()


def write_each(source: Reading, folder: Path) -> None:
    """A Parquet file for every episode, all with the spaces."""
    source = settled(source)
    done: Counter[str] = Counter()
    folder.mkdir()
    each = (e for b in fitted(source.blocks(done), known(source)) for e in b.episodes())
    count = 0
    for count, one in enumerate(each, start=1):
        rows = table(one, 0, csv=False).drop_columns("episode")
        said = about.said(known(source), source.meta)
        rows = rows.replace_schema_metadata({about.KEY: said})
        parquet.write_table(rows, folder / f"{count - 1:08}.parquet")
    if not count:
        raise DataFault("the dataset is empty: it holds no step")


@dataclasses.dataclass
class Sink:
    """A file that tables are appended to."""

    path: Path
    csv: bool
    writer: Any = None

    def write(self, rows: pa.Table) -> None:
        if self.writer is None:
            kind = text.CSVWriter if self.csv else parquet.ParquetWriter
            self.writer = kind(self.path, rows.schema)
        self.writer.write_table(rows)

    def say(self, words: str) -> None:
        """Of which a CSV has no place."""
        if not self.csv:
            self.writer.add_key_value_metadata({about.KEY: words})

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def table(block: Block, first: int, *, csv: bool) -> pa.Table:
    """The steps of a block as rows; `first` is the number of its first episode."""
    episode = np.repeat(np.arange(len(block.lengths)), block.lengths)
    row = np.arange(len(block.reward)) + episode
    last = np.zeros(len(row), bool)
    last[np.cumsum(block.lengths) - 1] = True
    columns: dict[str, Any] = {"episode": pa.array(episode + first)}

    def put(part: str, tree: Any, at: Any, valid: np.ndarray | None = None) -> None:
        for name, x in named(part, tree).items():
            columns.update(spread(name, x[at], valid, csv=csv))

    put("obs", block.obs, row)
    put("legal", block.legal, row)
    put("action", block.action, slice(None))
    columns |= {name: pa.array(getattr(block, name)) for name in PLAIN}
    if block.propensity is not None:
        columns["propensity"] = pa.array(block.propensity)
    put("next_obs", block.obs, row + 1, last)
    put("next_legal", block.legal, row + 1, last)
    return pa.table(columns)


PLAIN = ("reward", "terminated", "truncated")


def spread(
    name: str, x: np.ndarray, valid: np.ndarray | None, *, csv: bool
) -> Iterator[tuple[str, pa.Array]]:
    """The columns of an array: one for each entry of a vector, else one."""
    stem, _, number = name.rpartition("_")
    if stem and number.isdigit():
        raise DataFault(f"{name} would be taken for an entry of {stem}: rename it")
    if x.ndim == 2 and (csv or x.shape[1] <= WIDEST):
        parts: Iterable[tuple[str, np.ndarray]] = (
            (f"{name}_{i}", x[:, i]) for i in range(x.shape[1])
        )
    elif x.ndim == 1 or not csv:
        parts = [(name, x)]
    else:
        raise DataFault(
            f"a CSV holds numbers and vectors, but {name} is an array {x.shape[1:]}: "
            "choose parquet"
        )
    for column, values in parts:
        yield column, list_of(values, valid)
