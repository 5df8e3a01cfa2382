"""A run on disk: its configuration, where it came from, and what was measured.

config.toml        everything needed to repeat the run; TOML has no null, so None is
                   written as the word "none"
provenance.json    versions, machine, commit, wall time
seed-<k>/          metrics.parquet, evaluations.parquet, checkpoints/, policy/
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from ..core import RunFault
from . import checkpoint
from .fields import plain
from .files import hold, write_file
from .provenance import now, provenance


PLACE = ("path", "fingerprint")  # of a dataset
SPACE = 2**20  # bytes that must fit on the disk before training begins
NUMBERS = ("envs", "block", "overlap", "processes", "backend")  # fields of a plan
COUNTS = [("step", pa.int64()), ("updates", pa.int64()), ("seconds", pa.float64())]
EPISODES = pa.schema(
    [
        ("step", pa.int64()),
        ("mode", pa.string()),
        ("episode", pa.int64()),
        ("return", pa.float64()),
        ("length", pa.int64()),
        ("evaluation_seed", pa.int64()),
    ]
)


def configuration(
    name: str,
    env: str | None,
    algorithm: Any,
    plan: Any,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    data: tuple[str | None, str] | None = None,
) -> dict[str, Any]:
    """What a run says of itself; `data` is where the dataset lies, and its
    fingerprint."""
    said = {} if data is None else {"data": dict(zip(PLACE, data, strict=True))}
    return {
        "algorithm": name,
        "env": env,
        "env_kwargs": dict(env_kwargs or {}),
        **said,
        "hyper": plain(algorithm),
        "plan": plain(plan),
    }


class Run:
    """A folder that holds one training, whatever state it is in."""

    def __init__(self, path: Path, config: dict[str, Any], born: dict[str, Any]):
        self.path, self.config, self.born = path, config, born

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, Any]) -> "Run":
        """A new run. Raises `RunFault` when the folder exists or cannot be written."""
        path = Path(path)
        if path.exists():
            raise RunFault(
                f"{path} exists: resume it (peira resume {path}), or choose another "
                "name (--name)"
            )
        words: dict[str, Any] = plain(dict(config))
        born = provenance() | {"seeds": words["plan"]["seeds"]}
        try:
            path.mkdir(parents=True)
            write_file(path / "space", os.urandom(SPACE))
            (path / "space").unlink()
            write_file(path / "config.toml", tomli_w.dumps(spell(words)).encode())
            write_file(path / "provenance.json", as_json(born))
        except OSError as error:
            if not isinstance(error, FileExistsError):
                shutil.rmtree(path, ignore_errors=True)
            raise RunFault(f"cannot write a run to {path}: {error}") from None
        return cls(path, words, born)

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """A run that is there already; raises `RunFault` if it is none."""
        path = Path(path)
        try:
            config = unspell(tomllib.loads((path / "config.toml").read_text()))
            born = json.loads((path / "provenance.json").read_text())
            if not {"algorithm", "env", "hyper", "plan"} <= config.keys():
                raise ValueError("config.toml is not the configuration of a run")
            if not isinstance(born, dict):
                raise ValueError("provenance.json holds no table")
            numbers = [config["plan"]["steps"], *config["plan"]["seeds"]]
            if not all(type(n) is int for n in numbers):
                raise ValueError("steps and seeds in config.toml must be whole numbers")
        except FileNotFoundError as error:
            if not path.exists():
                raise RunFault(f"{path} does not exist") from None
            missing = Path(error.filename).name
            raise RunFault(f"{path} is not a run: it has no {missing}") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunFault(f"{path} is not a run: {error}") from None
        return cls(path, config, born)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.config["plan"]["seeds"])

    def owner(self, k: int) -> str:
        """What a checkpoint of one seed is marked with: all that decides its numbers,
        but for how long the run shall be."""
        plan = self.config["plan"]
        numbers = {name: plan.get(name) for name in NUMBERS}
        config = self.config | {"plan": numbers, "seed": k}
        if "data" in config:  # an environment may come later
            config |= {"env": None, "env_kwargs": {}}
        said = json.dumps(config, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def seed(self, k: int) -> "SeedLog":
        """The log of one seed, as it was at the last flush."""
        return SeedLog(self.path / f"seed-{k}")

    def metrics(self) -> pa.Table:
        """All seeds' metrics: `seed`, `step`, `updates`, `seconds`, and a column per
        metric, null where it was not measured."""
        return self._all("metrics.parquet", pa.schema(COUNTS))

    def evaluations(self) -> pa.Table:
        """All seeds' evaluations, a row per episode: `seed`, `step`, `mode`,
        `episode`, `return`, `length`, `evaluation_seed`."""
        return self._all("evaluations.parquet", EPISODES)

    def _all(self, name: str, schema: pa.Schema) -> pa.Table:
        parts = [
            add_seed(k, read_table(self.path / f"seed-{k}" / name) or schema)
            for k in self.seeds
        ]
        return pa.concat_tables(parts, promote_options="default")

    @property
    def reached(self) -> int:
        """The step that every seed has saved."""
        return min(self.seed(k).reached for k in self.seeds)

    @property
    def done(self) -> bool:
        """Whether every seed has reached the planned steps."""
        plan = self.config["plan"]
        return self.reached >= plan["steps"] + plan.get("online", 0)

    def amend(self, **changes: Any) -> None:
        """Go on by another `plan` or `env`. Raises `RunFault`."""
        with self.held():
            self.config |= changes
            text = tomli_w.dumps(spell(self.config))
            write_file(self.path / "config.toml", text.encode())

    @contextlib.contextmanager
    def held(self, *, join: bool = False) -> Iterator[None]:
        """Nobody else trains this run until the block or this process ends, but for
        processes of our own that `join`. Raises `RunFault` when somebody does."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(hold(self.path, join=join))
            except BlockingIOError:
                raise RunFault(
                    f"{self.path} is being trained by another process"
                ) from None
            yield

    @property
    def busy(self) -> bool:
        """Whether a process trains it."""
        try:
            with hold(self.path):
                return False
        except BlockingIOError:
            return True

    def finish(self, seconds: float) -> None:
        """Record so many more seconds of wall time, and the end if every seed has come
        to it."""
        seconds += self.born.get("seconds") or 0.0
        finished = now() if self.done else None
        self.born |= {"finished": finished, "seconds": seconds}
        write_file(self.path / "provenance.json", as_json(self.born))


class SeedLog:
    """What is measured of one seed: in memory until `flush`, so that a checkpoint and
    its log are of one moment."""

    def __init__(self, path: Path):
        self.path = path
        self._metrics: list[dict[str, Any]] = []
        self._episodes: list[dict[str, Any]] = []
        self._before = 0.0

    @property
    def reached(self) -> int:
        """The newest step that was saved."""
        return max(checkpoint.steps(self.path / "checkpoints"), default=0)

    def log(
        self, step: int, updates: int, values: Mapping[str, float], seconds: float
    ) -> None:
        """One line; `seconds` since this process began to train. Times go on from
        where an earlier process stopped."""
        counts = {"step": step, "updates": updates, "seconds": self._before + seconds}
        self._metrics.append(counts | dict(values))

    def evaluated(
        self, step: int, mode: str, returns: np.ndarray, lengths: np.ndarray, seed: int
    ) -> None:
        """One evaluation: a row for each episode."""
        for i, (total, length) in enumerate(zip(returns, lengths, strict=True)):
            row = (step, mode, i, float(total), int(length), seed)
            self._episodes.append(dict(zip(EPISODES.names, row, strict=True)))

    def best(self) -> float:
        """The highest mean return of any evaluation so far."""
        found: dict[int, list[float]] = {}
        for row in self._episodes:
            if row["mode"] == "greedy":
                found.setdefault(row["step"], []).append(row["return"])
        return max((sum(x) / len(x) for x in found.values()), default=-math.inf)

    def flush(self) -> None:
        """Write both tables, each at one stroke; raises `RunFault`."""
        names = dict.fromkeys(k for row in self._metrics for k in row)
        counts = dict(COUNTS)
        schema = pa.schema([(k, counts.get(k, pa.float64())) for k in names])
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name, rows, kind in (
                ("metrics.parquet", self._metrics, schema),
                ("evaluations.parquet", self._episodes, EPISODES),
            ):
                write_table(self.path / name, pa.Table.from_pylist(rows, kind))
        except OSError as error:
            raise RunFault(f"cannot write {self.path}: {error}") from None

    def rewind(self, step: int) -> None:
        """Take up what was written, and forget what came later than `step`."""

        def rows(name: str) -> list[dict[str, Any]]:
            table = read_table(self.path / name)
            held = [] if table is None else table.to_pylist()
            return [
                {k: v for k, v in row.items() if v is not None}
                for row in held
                if row["step"] <= step
            ]

        self._metrics = rows("metrics.parquet")
        self._episodes = rows("evaluations.parquet")
        self._before = self._metrics[-1]["seconds"] if self._metrics else 0.0


def write_table(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_file(path, sink.getvalue().to_pybytes())


def read_table(path: Path) -> pa.Table | None:
    """A parquet file, or None when nothing was written yet; raises `RunFault`."""
    if not path.exists():
        return None
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise RunFault(f"{path} cannot be read: {reason}") from None


def add_seed(k: int, table: pa.Table | pa.Schema) -> pa.Table:
    """The table (an empty one, given only a schema) with the seed in front."""
    if isinstance(table, pa.Schema):
        table = table.empty_table()
    return table.add_column(0, "seed", pa.array([k] * len(table), pa.int64()))


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def spell(value: Any) -> Any:
    """None as the word that TOML can say."""
    if isinstance(value, dict):
        return {k: spell(v) for k, v in value.items()}
    if isinstance(value, list):
        return [spell(v) for v in value]
    return "none" if value is None else value


def unspell(value: Any) -> Any:
    """The inverse of `spell`; `fields.rebuild` knows where "none" was meant."""
    if isinstance(value, dict):
        return {k: unspell(v) for k, v in value.items()}
    if isinstance(value, list):
        return [unspell(v) for v in value]
    return None if value == "none" else value
