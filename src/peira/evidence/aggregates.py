"""What many runs on many tasks come to, as one number, and as a profile.

An aggregate takes an array of runs for each task, `(..., n)` each, and works along the
last axis, so that `bootstrap` and `bca` can draw the runs of every task apart:
`bca(interquartile, *scores.T)`.

Agarwal et al., 2021, sec. 4. https://arxiv.org/abs/2108.13264
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..core import BadConfig
from .proportions import exact
from .scores import matrix
from .statistics import Estimate, middle_mean, wins


Runs = Float[np.ndarray, "... _"]
Number = Float[np.ndarray, "..."] | float
Aggregate = Callable[..., Any]


def average(*tasks: Runs) -> Number:
    """The mean over tasks of the mean over runs."""
    return np.mean([runs.mean(axis=-1) for runs in tasks], axis=0)


def median(*tasks: Runs) -> Number:
    """The median over tasks of the mean over runs; of one task it is the mean."""
    return np.median([runs.mean(axis=-1) for runs in tasks], axis=0)


def interquartile(*tasks: Runs) -> Number:
    """The mean of the middle half of all runs on all tasks."""
    return middle_mean(np.concatenate(tasks, axis=-1))


def optimality_gap(*tasks: Runs, target: float = 1.0) -> Number:
    """How far runs fall short of a target, on average; what exceeds it earns nothing
    more."""
    return target - average(*(np.minimum(runs, target) for runs in tasks))


def improvement(*both: Runs) -> Number:
    """The chance that a run of the first algorithm beats one of the second, averaged
    over tasks: first every task of the one, then every task of the other."""
    half = len(both) // 2
    pairs = zip(both[:half], both[half:], strict=True)
    return np.mean(np.array([wins(a, b) for a, b in pairs]), axis=0)


AGGREGATES: dict[str, Aggregate] = {
    "mean": average,
    "median": median,
    "iqm": interquartile,
    "optimality gap": optimality_gap,
}


def aggregate(scores: Any, name: str, *, target: float = 1.0) -> float:
    """One of `AGGREGATES` of a matrix of runs by tasks; raises `BadConfig`. `target` is
    the optimality gap's."""
    if name not in AGGREGATES:
        raise BadConfig(f"no aggregate {name!r}; there are {', '.join(AGGREGATES)}")
    how = AGGREGATES[name]
    if how is optimality_gap:
        how = partial(how, target=target)
    return float(how(*matrix(scores).T))


class Profile(NamedTuple):
    """The share of runs above each score, with a band."""

    at: Float[np.ndarray, " score"]
    share: Float[np.ndarray, " score"]
    low: Float[np.ndarray, " score"]
    high: Float[np.ndarray, " score"]


def profile(
    scores: Any, at: Float[np.ndarray, " score"], *, level: float = 0.95
) -> Profile:
    """The share of all runs on all tasks above each score. The band is Clopper and
    Pearson's, of each score on its own: at least as wide as it must be, also where the
    share differs from task to task.

    Hoeffding, 1956, On the distribution of the number of successes in independent
    trials: tasks of unequal shares vary less than a binomial of their mean.
    """
    found = matrix(scores).reshape(-1)
    above = (found[:, None] > at).sum(axis=0)
    bands: list[Estimate] = [exact(int(k), found.size, level=level) for k in above]
    return Profile(at, *np.array(bands).reshape(-1, 3).T)
