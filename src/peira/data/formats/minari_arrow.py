"""Minari's Arrow and Parquet storage: a folder for each episode, with a table of as
many rows as observations; the last action, reward and flags fill up and mean nothing.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as files
from jaxtyping import PyTree

from ...core import DataFault, Spec
from .lists import array_of, list_of
from .minari_hdf5 import INFOS, MEMBERS


KINDS = ("arrow", "parquet")


def episodes(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """The episodes in their order, each as a dict of what it is made of."""
    for i in range(count):
        parts = sorted(p for k in KINDS for p in (folder / str(i)).glob(f"*.{k}"))
        if not parts:
            raise DataFault(f"episode {i} is missing, of {count} announced")
        kind = parts[0].suffix[1:]
        table = files.dataset([str(p) for p in parts], format=kind).to_table()
        yield episode(table.combine_chunks())


def episode(table: pa.Table) -> dict[str, Any]:
    columns = {name: whole(table.column(name)) for name in table.column_names}
    infos = columns.get("infos")
    rows = slice(0, max(0, len(table) - 1))
    found = {}
    for name in MEMBERS:
        if name in columns:
            column = columns[name]
            found[name] = tree(column if name == "observations" else column[rows])
    if infos is None:
        return found | {"infos": {}}
    inner = {f.name for f in infos.type}
    known = [k for k in INFOS if k in inner]
    return found | {"infos": {k: tree(infos.field(k)) for k in known}}


def whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def tree(column: pa.Array) -> PyTree:
    if not pa.types.is_struct(column.type):
        if pa.types.is_binary(column.type):
            return np.array(column.to_pylist(), object)
        return array_of(column, "an episode")
    names = [f.name for f in column.type]
    parts = [tree(x) for x in column.flatten()]
    if names == [str(i) for i in range(len(names))]:
        return tuple(parts)
    return dict(zip(names, parts, strict=True))


def store(
    folder: Path, numbered: Iterable[tuple[int, dict[str, Any]]], spec: Spec
) -> tuple[int, int]:
    """Write episodes; how many, and how many steps."""
    count = steps = 0
    for i, episode in numbered:
        home, n = folder / str(i), len(episode["rewards"])
        home.mkdir()
        columns = {k: packed(v, n + 1) for k, v in episode.items() if k != "infos"}
        if episode["infos"]:
            columns["infos"] = packed(episode["infos"], n + 1)
        table = pa.table(columns)
        with pa.ipc.new_file(home / "part-0.arrow", table.schema) as file:
            file.write_table(table, max_chunksize=n + 1)
        said = {"id": i, "total_steps": n}
        (home / "metadata.json").write_text(json.dumps(said))
        count, steps = i + 1, steps + n
    return count, steps


def packed(x: PyTree, rows: int) -> pa.Array:
    """A column of so many rows, filled up with zeros."""
    if isinstance(x, dict | tuple):
        names = list(x) if isinstance(x, dict) else [str(i) for i in range(len(x))]
        parts = [packed(v, rows) for v in (x.values() if isinstance(x, dict) else x)]
        return pa.StructArray.from_arrays(parts, names=names)
    fill = [(0, rows - len(x)), *[(0, 0)] * (x.ndim - 1)]
    return list_of(np.pad(x, fill))
