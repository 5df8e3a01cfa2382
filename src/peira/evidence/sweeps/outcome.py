"""What a sweep has come to: a function of its rows, and of nothing else.

The winner has the highest mean over the seeds of the search. It was chosen for that, so
that mean is too high; fresh seeds, which had no say in the choice, show by how much.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core import DataFault
from ..intervals import Interval, interval
from ..statistics import Estimate
from ..studies.rows import mixed, Row
from .sweep import Setting, Sweep


WINNER = -1  # stands for a trial's number in the rows of fresh seeds
KINDS: dict[str, type] = {
    "version": str,
    "trial": int,
    "seed": int,
    "setting": dict,
    "state": str,
    "why": str,
    "task": str,
    "run": str,
    "metrics": dict,
    "steps": int,
    "seconds": float,
    "code": str,
    "versions": dict,
    "config": dict,
}
"""What a row says; `version` is the sweep's, `code` that of Peira, and the state is
complete, pruned, or failed with the reason why."""


class Cell(NamedTuple):
    """What a row is of."""

    trial: int
    seed: int


def cell(row: Row) -> Cell:
    return Cell(row["trial"], row["seed"])


class Trial(NamedTuple):
    """One setting and what it scored."""

    number: int
    setting: Setting
    state: str
    score: Interval | None
    """The mean over the seeds of the search, if all came to their end."""


class Cost(NamedTuple):
    """What was spent."""

    runs: int
    steps: int
    """Of environments; of updates where it learned from a dataset."""
    seconds: float
    """Of training, one after the other."""


class Outcome(NamedTuple):
    """All that a sweep says."""

    trials: dict[int, Trial]
    winner: int | None
    fresh: Interval | None
    """The winner's mean over fresh seeds."""
    optimism: Estimate
    """Its mean in the search minus that; the interval is as sure as the latter's."""
    search: Cost
    check: Cost
    """Of the fresh seeds."""
    why: str
    """Why a trial failed, if any did."""
    flags: list[str]


def outcome(sweep: Sweep, rows: Sequence[Row]) -> Outcome:
    """What these rows say."""
    tried = [row for row in rows if row["trial"] != WINNER]
    again = [row for row in rows if row["trial"] == WINNER]
    trials = {}
    for number in dict.fromkeys(row["trial"] for row in tried):
        trials[number] = judged(sweep, [r for r in tried if r["trial"] == number])
    ranked = [t for t in trials.values() if t.score is not None]
    best = max(ranked, key=lambda t: (value(t), -t.number), default=None)
    fresh = mean_of(sweep, again, sweep.fresh)
    return Outcome(
        trials,
        None if best is None else best.number,
        fresh,
        optimism(best and best.score, fresh),
        cost(tried),
        cost(again),
        next((row["why"] for row in tried if row["why"]), ""),
        mixed(rows),
    )


def judged(sweep: Sweep, rows: Sequence[Row]) -> Trial:
    """What a trial's rows say."""
    states = {row["state"] for row in rows}
    bad = next((s for s in ("failed", "pruned") if s in states), None)
    whole = len(rows) == len(sweep.seeds)
    state = bad or ("complete" if whole else "under way")
    found = mean_of(sweep, rows, len(sweep.seeds))
    return Trial(rows[0]["trial"], rows[0]["setting"], state, found)


def scores(sweep: Sweep, rows: Sequence[Row]) -> np.ndarray | None:
    """What each run scored; None where one did not come to its end."""
    found = [float(row["metrics"].get(sweep.by, math.nan)) for row in rows]
    return None if not found or any(map(math.isnan, found)) else np.array(found)


def mean_of(sweep: Sweep, rows: Sequence[Row], runs: int) -> Interval | None:
    """The mean over so many runs, with the interval that they support."""
    found = scores(sweep, rows)
    return None if found is None or len(found) < runs else interval(found)


def value(trial: Trial) -> float:
    return -math.inf if trial.score is None else trial.score.estimate.value


def optimism(search: Interval | None, fresh: Interval | None) -> Estimate:
    """How much less the winner is worth than the search said. What it scored there is
    known exactly; what it is worth is known as well as fresh seeds tell."""
    if search is None or fresh is None:
        return Estimate(math.nan, math.nan, math.nan)
    said, (worth, low, high) = search.estimate.value, fresh.estimate
    return Estimate(said - worth, said - high, said - low)


def cost(rows: Sequence[Row]) -> Cost:
    return Cost(
        len(rows), sum(r["steps"] for r in rows), sum(r["seconds"] for r in rows)
    )


def belonging(sweep: Sweep, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, if all are of this sweep. Raises `DataFault`."""
    seen = set()
    for row in rows:
        where = f"a row of trial {row['trial']}, seed {row['seed']}"
        if row["version"] != sweep.version:
            raise DataFault(f"{where} is of another sweep")
        if row["setting"].keys() != sweep.axes.keys():
            raise DataFault(f"{where} does not say what it set")
        if cell(row) in seen:
            raise DataFault(f"{where} is there twice")
        seen.add(cell(row))
    return rows
