"""Is one algorithm better than another? Differences over tasks, paired or not, and what
many questions at once cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from ..core import BadConfig
from .intervals import LEAST, TASKS
from .scores import matrix
from .statistics import around, Estimate, standing


FEWEST = 5  # runs of each from which on a difference on few tasks has an interval
Verdict = str


class Difference(NamedTuple):
    """Mean of one algorithm minus that of another, over all tasks."""

    estimate: Estimate
    """The bounds are NaN where runs are too few."""
    p: float
    """How often two equal algorithms differ as much; NaN as the bounds are."""
    runs: tuple[int, int]
    paired: bool = False
    why: str = ""
    """Why there is no interval."""

    @property
    def verdict(self) -> Verdict:
        """`higher`, `lower`, or `cannot tell`."""
        if self.estimate.low > 0:
            return "higher"
        return "lower" if self.estimate.high < 0 else "cannot tell"


def compared(a: Any, b: Any, *, level: float = 0.95) -> Difference:
    """The difference between independent runs of two algorithms on the same tasks:
    Welch's t with a variance for each task of each. Raises `BadConfig`."""
    x, y = matrix(a), matrix(b)
    if x.shape[1] != y.shape[1]:
        raise BadConfig(
            f"one has {x.shape[1]} tasks and the other {y.shape[1]}: compare on the "
            "same tasks"
        )
    tasks = x.shape[1]
    weights = [1 / tasks] * tasks + [-1 / tasks] * tasks
    found = standing(weights, *x.T, *y.T)
    return tested(*found, (len(x), len(y)), tasks, level=level)


def paired(
    a: Mapping[int, Any], b: Mapping[int, Any], *, level: float = 0.95
) -> Difference:
    """The mean over seeds of the difference between runs of one seed, with Student's
    interval; a run is a score, or one score for each task.

    It is narrower than `compared` only where the seed gives both runs something that
    decides their scores (the same dataset, the same levels), and must be decided on
    before the scores are seen. Raises `BadConfig` where the seeds are not the same.
    """
    if a.keys() != b.keys():
        odd = ", ".join(map(str, sorted(a.keys() ^ b.keys())))
        raise BadConfig(
            f"pairs need the same seeds, but only one of both has {odd}: run the "
            "missing ones, or compare without pairs"
        )
    seeds = sorted(a)
    x, y = (matrix([one[s] for s in seeds]) for one in (a, b))
    if x.shape != y.shape:
        raise BadConfig("pairs need the same tasks")
    gains = (x - y).mean(axis=1)
    both = len(x), len(y)
    found = tested(*standing([1.0], gains), both, x.shape[1], level=level)
    return found._replace(paired=True)


def tested(
    value: float,
    error: float,
    freedom: float,
    runs: tuple[int, int],
    tasks: int,
    *,
    level: float,
) -> Difference:
    """A contrast with its interval and its p value, where runs are enough."""
    need = LEAST if tasks >= TASKS else FEWEST
    if min(runs) < need:
        why = f"{min(runs)} runs are too few; {need} of each will do"
        return Difference(Estimate(value, math.nan, math.nan), math.nan, runs, why=why)
    if error == 0:
        p = float(value == 0)
    else:
        p = 2 * float(stdtr(freedom, -abs(value) / error))
    return Difference(around(value, error, freedom, level), p, runs)


def holm(p: Sequence[float]) -> Float[np.ndarray, " _"]:
    """P values of several questions, raised so that the chance of even one false
    discovery stays what it is of one. NaN is no question, and stays NaN.

    Holm, 1979, A simple sequentially rejective multiple test procedure. Scandinavian
    Journal of Statistics 6.
    """
    found = np.asarray(p, float)
    order = np.argsort(found)  # NaN last
    left = np.count_nonzero(~np.isnan(found)) - np.arange(len(found))
    raised = np.maximum.accumulate(np.minimum(1.0, left * found[order]))
    out = np.empty(len(found))
    out[order] = raised
    return out


def joint(level: float, questions: int) -> float:
    """The level for each of several intervals that are all right together so often,
    whatever they have to do with each other (Bonferroni)."""
    return 1 - (1 - level) / max(1, questions)


def simultaneous(
    arms: Mapping[str, Any], *, against: str, level: float = 0.95
) -> dict[str, Difference]:
    """Every other arm minus one of them, by intervals that are all right together, and
    with p values by Holm. Raises `BadConfig`."""
    if against not in arms:
        raise BadConfig(f"no arm {against!r}; there are {', '.join(arms)}")
    others = [name for name in arms if name != against]
    each = joint(level, len(others))
    found = {n: compared(arms[n], arms[against], level=each) for n in others}
    raised = holm([one.p for one in found.values()])
    return {
        n: one._replace(p=float(p))
        for (n, one), p in zip(found.items(), raised, strict=True)
    }
