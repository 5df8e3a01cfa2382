"""What follows from the rows of `bench/results`: ratios within a round, and their
medians with intervals."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from rows import Row, ROWS
from scipy.stats import quantile_test


Curves = dict[str, dict[float, Float[np.ndarray, " round"]]]


class Median(NamedTuple):
    """A median and the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def median(x: Float[np.ndarray, " n"]) -> Median:
    """With an interval of 95 % or more that holds whatever the distribution is; of
    fewer than six numbers there is none, and its ends are not a number."""
    ends = quantile_test(x, p=0.5).confidence_interval(0.95)
    return Median(float(np.median(x)), float(ends.low), float(ends.high))


class Result(NamedTuple):
    """One row as it was run."""

    row: Row
    n: int
    """Steps or updates of a turn."""
    machine: Mapping[str, Any]
    seconds: Mapping[str, Float[np.ndarray, " round"]]
    """Of every turn, by who took it."""
    ready: Mapping[str, float]
    first: Mapping[str, float]
    mib: Mapping[str, float]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Result":
        seconds: dict[str, list[float]] = {}
        starts = [turn for turn in line["turns"] if "ready" in turn]
        turns = [turn for turn in line["turns"] if "round" in turn]
        for turn in turns:
            seconds.setdefault(turn["entry"], []).append(turn["seconds"])
        return cls(
            ROWS[line["row"]],
            line["n"],
            line["machine"],
            {entry: np.array(x) for entry, x in seconds.items()},
            {turn["entry"]: turn["ready"] for turn in starts},
            {turn["entry"]: turn["first"] for turn in starts},
            {turn["entry"]: turn["mib"] for turn in turns},
        )

    def rate(self, entry: str) -> float:
        """Per second."""
        return self.n / float(np.median(self.seconds[entry]))

    @property
    def peers(self) -> dict[str, float | None]:
        """The targets; none for those beside them, of which only who was there."""
        there = [one for one in self.row.beside if entries_of(one, self.seconds)]
        return {**self.row.targets, **dict.fromkeys(there)}

    def best(self, library: str) -> str:
        """The faster of its entries."""
        return max(entries_of(library, self.seconds), key=self.rate)

    def against(self, entry: str, ours: str = "peira") -> Median:
        """How many times as fast ours is."""
        return median(self.seconds[entry] / self.seconds[ours])


def entries_of(library: str, entries: Mapping[str, Any]) -> list[str]:
    """The ways in which a library was run; one of ours is named in full."""
    return [e for e in entries if e == library or e.startswith(library + ",")]


def results(lines: list[dict[str, Any]]) -> list[Result]:
    """The last run of every row that there still is, in the order of the rows."""
    last = {line["row"]: line for line in lines}
    return [Result.of(last[name]) for name in ROWS if name in last]


def curves(line: Mapping[str, Any]) -> Curves:
    """Seconds for one step or update in each round, by label and by what is varied."""
    found: dict[str, dict[float, list[float]]] = {}
    for turn in line["turns"]:
        many = turn["x"] if line["axis"] == "seeds" else 1
        points = found.setdefault(turn["label"], {})
        each = turn["seconds"] / (turn["n"] * many)
        points.setdefault(turn["x"], []).append(each)
    return {
        label: {x: np.array(each) for x, each in points.items()}
        for label, points in found.items()
    }


class Runs(NamedTuple):
    """How one contestant of a race fared, seed by seed."""

    seconds: Float[np.ndarray, " seed"]
    """From the start of the process until it was there; infinite if it never was."""
    steps: Float[np.ndarray, " seed"]

    @property
    def reached(self) -> int:
        return int(np.isfinite(self.seconds).sum())


def raced(line: Mapping[str, Any]) -> dict[str, Runs]:
    """By contestant; all have run the same seeds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for run in line["runs"]:
        found.setdefault(run["entry"], []).append(arrival(run, line["goal"]))
    return {entry: Runs(*np.array(runs).T) for entry, runs in found.items()}


def arrival(run: Mapping[str, Any], goal: float) -> tuple[float, float]:
    """Seconds and steps until the goal was first seen reached."""
    spent = run["ready"]
    for point in run["points"]:
        spent += point["learning"] + point["looking"]
        if point["return"] >= goal:
            return spent, point["step"]
    return math.inf, math.inf


def quickest(library: str, runs: Mapping[str, Runs]) -> str:
    """Of its entries that with the smallest median of seconds."""
    own = entries_of(library, runs)
    return min(own, key=lambda entry: float(np.median(runs[entry].seconds)))
