"""The verdict: a function of the rows and of the study file, and of nothing else.

A difference between the arms is there when its interval leaves out 0, and too small to
matter when the whole interval lies closer to 0 than `matters`. A claim that one arm is
higher is supported by a difference that way, contradicted by one the other way, and
undecided in between; one that both are the same is supported when any difference is too
small, and contradicted by one that is not. Two arms that are the same are thus told
apart as rarely as the interval is wrong: `sameness` tries that for every study.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from ..comparisons import compared, paired
from ..proportions import exact
from ..scores import collect
from ..sequential import decide
from ..statistics import Estimate
from .rows import belonging, mixed, Row
from .study import Arm, arms, Study, Tier


Word = Literal["supported", "contradicted", "undecided"]
USUAL = 0.05  # alarms where there is nothing
Both = tuple[Float[np.ndarray, "run task"], Float[np.ndarray, "more task"]]
NOTHING = Estimate(math.nan, math.nan, math.nan)


class Found(NamedTuple):
    """The difference between two arms, and what it says of the claim."""

    word: Word
    effect: Estimate
    """First arm minus second."""
    why: str
    next: int = 0
    """Runs of each arm that there are to be before it can be said."""
    level: float = 0.95
    """Of the interval: higher than the study's where it looks several times."""


class Verdict(NamedTuple):
    """What a study has come to."""

    study: str
    tier: str
    found: Found
    runs: tuple[int, int]
    """Of each arm, on every task."""
    seconds: float
    """Of training, one after the other."""
    flags: tuple[str, ...]
    """What else must be known."""


def verdict(study: Study, name: str, tier: str, rows: Sequence[Row]) -> Verdict:
    """What these rows say. Raises `DataFault` for rows of another study, or of another
    version of it."""
    rows = belonging(study, name, tier, rows)
    both = scored(study, tier, rows)
    runs = len(both[0]), len(both[1])
    cost = {row["run"]: row["seconds"] for row in rows}
    flags = mixed(rows)
    if max(runs) > study.tier(tier).most:
        flags.append(f"only the first {study.tier(tier).most} runs of each count")
    found = judge(study, study.tier(tier), both)
    return Verdict(name, tier, found, runs, sum(cost.values()), tuple(flags))


def scored(study: Study, tier: str, rows: Sequence[Row]) -> Both:
    """Runs by tasks of both arms, in the order of the seeds that have every task; of
    pairs, those that both arms have."""
    tasks = set(study.tier(tier).tasks)
    had: dict[str, dict[int, set[str]]] = {name: {} for name in study.arms}
    for row in rows:
        had[row["arm"]].setdefault(row["seed"], set()).add(row["task"])
    whole = {n: {s for s, done in had[n].items() if done == tasks} for n in had}
    if study.paired:
        whole = dict.fromkeys(had, set.intersection(*whole.values()))

    def of(arm: Arm) -> Float[np.ndarray, "_ task"]:
        own = [
            {"seed": row["seed"], "task": row["task"], "score": scaled(study, row, arm)}
            for row in rows
            if row["arm"] == arm.name and row["seed"] in whole[arm.name]
        ]
        return collect(own).values if own else np.zeros((0, len(tasks)))

    one, other = arms(study, tier)
    return of(one), of(other)


def scaled(study: Study, row: Row, arm: Arm) -> float:
    """A run's score, between 0 and 100 where the study says what these are."""
    score = float(row["metrics"].get(arm.metric, math.nan))
    low, high = study.scales.get(row["task"], (0.0, 100.0))
    return 100 * (score - low) / (high - low)


def judge(study: Study, tier: Tier, both: Both) -> Found:
    """The rule, for scores in the order in which the runs were planned."""
    first, second = (one[: tier.most] for one in both)
    runs = min(len(first), len(second))
    need = tier.looks[0] if tier.looks else tier.most
    if runs < need:
        return Found("undecided", NOTHING, f"{runs} of {need} runs of each arm", need)
    if study.alarms:
        return of_alarms(study, *alarms(study.alarms, first, second))
    if tier.looks:
        seen = decide(first, second, tier.looks, level=study.level)
        level = 1 - seen.nominal
        found = said(study, seen.found.estimate, level)
        return found._replace(next=seen.runs)
    if study.paired:
        keyed = [dict(enumerate(one)) for one in (first, second)]
        difference = paired(*keyed, level=study.level)
    else:
        difference = compared(first, second, level=study.level)
    if difference.why:
        return Found("undecided", difference.estimate, difference.why)
    return said(study, difference.estimate, study.level)


def said(study: Study, effect: Estimate, level: float) -> Found:
    """What an interval says of the claim."""
    small = -study.matters < effect.low and effect.high < study.matters
    sign = (effect.low > 0) - (effect.high < 0)
    claimed = {"higher": 1, "lower": -1, "same": 0}[study.direction]
    if small:
        word: Word = "undecided" if claimed else "supported"
        why = f"any difference is smaller than {study.matters:g}, and does not matter"
    elif not sign:
        word, why = "undecided", "the interval holds 0"
    else:
        word = "supported" if sign == claimed else "contradicted"
        what = "the share of alarms" if study.alarms else next(iter(study.arms))
        why = f"{what} is {'higher' if sign > 0 else 'lower'}"
    return Found(word, effect, why, level=level)


def alarms(
    size: int, first: Float[np.ndarray, "run task"], second: Float[np.ndarray, "more _"]
) -> tuple[int, int]:
    """In how many groups of runs the bars of one standard error do not overlap, and of
    how many; a run is its mean over tasks."""
    many = min(len(first), len(second)) // size
    a, b = (x.mean(axis=1)[: many * size].reshape(many, size) for x in (first, second))
    bars = (a.std(axis=1, ddof=1) + b.std(axis=1, ddof=1)) / math.sqrt(size)
    return int((np.abs(a.mean(axis=1) - b.mean(axis=1)) > bars).sum()), many


def of_alarms(study: Study, hits: int, groups: int) -> Found:
    """What the share of alarms says, beside the share that is usual."""
    share = exact(hits, groups, level=study.level)
    return said(study, Estimate(*(x - USUAL for x in share)), study.level)
