"""Estimates with intervals for the handful of runs that reinforcement learning affords.

Each takes the scores of independent runs (one number per seed, never one per episode
of one seed) and says what they support. Intervals are two-sided.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit


Scores = Float[np.ndarray, " n"]
Others = Float[np.ndarray, " m"]
RESAMPLES = 5_000


class Estimate(NamedTuple):
    """A value and the interval that it is known by; the bounds are NaN where the
    scores are too few to give any."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def mean(scores: Scores, *, level: float = 0.95) -> Estimate:
    """The mean with Student's t interval; one score has no interval.

    Student, 1908, The probable error of a mean. Biometrika 6.
    """
    centre, n = float(np.mean(scores)), len(scores)
    if n < 2:
        return Estimate(centre, math.nan, math.nan)
    error = float(np.std(scores, ddof=1)) / math.sqrt(n)
    return around(centre, error, n - 1, level)


def difference(a: Scores, b: Others, *, level: float = 0.95) -> Estimate:
    """`mean(a) - mean(b)` with Welch's interval: neither the sizes nor the variances
    need be equal.

    Welch, 1947, The generalization of 'Student's' problem when several different
    population variances are involved. Biometrika 34.
    """
    centre = float(np.mean(a) - np.mean(b))
    if min(len(a), len(b)) < 2:
        return Estimate(centre, math.nan, math.nan)
    u = float(np.var(a, ddof=1)) / len(a)
    v = float(np.var(b, ddof=1)) / len(b)
    if u + v == 0:
        return Estimate(centre, centre, centre)
    freedom = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1))
    return around(centre, math.sqrt(u + v), freedom, level)


def around(centre: float, error: float, freedom: float, level: float) -> Estimate:
    """The symmetric t interval of a standard error."""
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Estimate(centre, centre - reach, centre + reach)


def bootstrap(
    statistic: Callable[..., Any],
    *strata: Float[np.ndarray, " _"],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Any statistic with the percentile interval of the stratified bootstrap: each
    stratum (a task, an algorithm) is resampled with replacement on its own.

    `statistic` takes as many arrays as there are strata, `(..., n)` each, and works
    along the last axis. Intervals are too narrow below about ten scores a stratum.

    Efron & Tibshirani, 1993, An introduction to the bootstrap, ch. 13; strata as in
    Agarwal et al., 2021, https://arxiv.org/abs/2108.13264.
    """
    value = float(statistic(*strata))
    if min(map(len, strata)) < 2:
        return Estimate(value, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = [x[rng.integers(len(x), size=(resamples, len(x)))] for x in strata]
    tail = (1 - level) / 2
    low, high = np.quantile(statistic(*drawn), [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def interquartile_mean(scores: Scores, *, level: float = 0.95) -> Estimate:
    """The mean of the middle half, with a bootstrap interval: less moved by one lucky
    run than the mean, less wasteful than the median.

    Agarwal et al., 2021, sec. 4.3. https://arxiv.org/abs/2108.13264
    """
    return bootstrap(middle_mean, scores, level=level)


def middle_mean(scores: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "..."] | float:
    """The mean without the lowest and the highest quarter, rounded down."""
    n = scores.shape[-1]
    cut = n // 4
    return np.sort(scores, axis=-1)[..., cut : n - cut].mean(axis=-1)


def probability_of_improvement(
    a: Scores, b: Others, *, level: float = 0.95
) -> Estimate:
    """The chance that a run of `a` beats a run of `b`, a tie counting half: the
    Mann-Whitney statistic over `n m`, with a bootstrap interval. Where every pair
    agrees the interval has no width, however few the runs: state them.

    Agarwal et al., 2021, sec. 4.3. https://arxiv.org/abs/2108.13264
    """
    return bootstrap(wins, a, b, level=level)


def wins(
    a: Float[np.ndarray, "*n"], b: Float[np.ndarray, "*m"]
) -> Float[np.ndarray, "..."] | float:
    """The share of pairs in which `a` is greater, ties half."""
    x, y = a[..., :, None], b[..., None, :]
    return ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))
