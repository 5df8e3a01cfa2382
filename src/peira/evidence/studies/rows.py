"""What came out of a study: one line of JSON for every arm, task and seed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...core import DataFault
from ...engine.files import write_file
from .study import Study


Row = Mapping[str, Any]
KINDS: dict[str, type] = {
    "study": str,
    "version": str,
    "tier": str,
    "arm": str,
    "task": str,
    "seed": int,
    "run": str,
    "metrics": dict,
    "seconds": float,
    "code": str,
    "versions": dict,
    "config": dict,
}
"""What a row says: `version` is the study file's, `code` that of Peira, and two rows of
one `run` are scores of the same training."""


class Cell(NamedTuple):
    """What a row is of."""

    arm: str
    task: str
    seed: int


def cell(row: Row) -> Cell:
    return Cell(row["arm"], row["task"], row["seed"])


def read(path: Path, kinds: Mapping[str, type] = KINDS) -> list[dict[str, Any]]:
    """The rows of a file; raises `DataFault` naming the first line that is none."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFault(f"{path} cannot be read: {error}") from None
    found = []
    for i, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataFault(f"{path}, line {i}: not a row")
        for name, kind in kinds.items():
            if type(row.get(name)) is not kind:
                raise DataFault(f"{path}, line {i}: {name} must be {kind.__name__}")
        for name, value in row["metrics"].items():
            if type(value) not in (int, float):
                raise DataFault(f"{path}, line {i}: {name} must be a number")
        if not isinstance(row["config"].get("data", {}), dict):
            raise DataFault(f"{path}, line {i}: config.data must be a table")
        found.append(row)
    return found


def write(path: Path, rows: Iterable[Row]) -> None:
    """All rows at one stroke."""
    write_file(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def belonging(study: Study, name: str, tier: str, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows, if all are of this study, as its file now is. Raises `DataFault`."""
    version, seen = study.version(tier), set()
    for row in rows:
        if (row["study"], row["tier"]) != (name, tier):
            raise DataFault(
                f"a row is of {row['study']} ({row['tier']}), not of {name} ({tier})"
            )
        if row["version"] != version:
            raise DataFault(
                f"{name} ({tier}) has changed since these rows were made: its rule was "
                "not fixed before the runs; run it again, or judge by the file of then"
            )
        here = cell(row)
        if row["arm"] not in study.arms or row["task"] not in study.tier(tier).tasks:
            raise DataFault(f"{name} has no {row['arm']} on {row['task']}")
        if here in seen:
            raise DataFault(
                f"{row['arm']} has two rows of seed {row['seed']} on {row['task']}"
            )
        seen.add(here)
    return rows


def mixed(rows: Iterable[Row]) -> list[str]:
    """What rows do not have in common but should: the code, and a task's dataset."""
    code, data = {}, {}
    for row in rows:
        code[f"{row['code']} with JAX {row['versions'].get('jax')}"] = None
        source = row["config"].get("data", {}).get("fingerprint", "")
        data.setdefault(row["task"], {})[source[:12]] = None
    flags = []
    if len(code) > 1:
        flags.append(f"rows from different code: {'; '.join(sorted(code))}")
    for task, found in data.items():
        if len(found) > 1:
            flags.append(f"rows from different data: {task} {', '.join(sorted(found))}")
    return flags
