"""Estimates with intervals for the handful of runs that reinforcement learning affords.

Each takes the scores of independent runs (one number per seed, never one per episode
of one seed) and says what they support. Intervals are two-sided.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit


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
    return contrast((1.0,), scores, level=level)


def difference(a: Scores, b: Others, *, level: float = 0.95) -> Estimate:
    """`mean(a) - mean(b)` with Welch's interval: neither the sizes nor the variances
    need be equal.

    Welch, 1947, The generalization of 'Student's' problem when several different
    population variances are involved. Biometrika 34.
    """
    return contrast((1.0, -1.0), a, b, level=level)


def contrast(
    weights: Sequence[float], *groups: Float[np.ndarray, " _"], level: float = 0.95
) -> Estimate:
    """`Σ w mean(group)` with its t interval. The groups are independent, and neither
    their sizes nor their variances need be equal: one group is Student's interval, two
    are Welch's, and a group for each task is the mean over tasks.

    Satterthwaite, 1946, An approximate distribution of estimates of variance
    components. Biometrics Bulletin 2.
    """
    value, error, freedom = standing(weights, *groups)
    if math.isnan(error):
        return Estimate(value, math.nan, math.nan)
    return around(value, error, freedom, level)


def standing(
    weights: Sequence[float], *groups: Float[np.ndarray, " _"]
) -> tuple[float, float, float]:
    """A contrast, its standard error and their degrees of freedom; the error is NaN
    where a group has one score."""
    value = float(sum(w * np.mean(x) for w, x in zip(weights, groups, strict=True)))
    if min(map(len, groups)) < 2:
        return value, math.nan, math.nan
    parts = [
        w**2 * float(np.var(x, ddof=1)) / len(x)
        for w, x in zip(weights, groups, strict=True)
    ]
    total = sum(parts)
    if total == 0:
        return value, 0.0, math.inf
    shares = [part / total for part in parts]
    freedom = 1 / sum(s**2 / (len(x) - 1) for s, x in zip(shares, groups, strict=True))
    return value, math.sqrt(total), freedom


def around(centre: float, error: float, freedom: float, level: float) -> Estimate:
    """The symmetric t interval of a standard error."""
    if error == 0:
        return Estimate(centre, centre, centre)
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
    Mann-Whitney statistic over `n m`, with the interval of the chances that a score
    test would not reject. It has a width also where every pair agrees.

    Agarwal et al., 2021, sec. 4.3, https://arxiv.org/abs/2108.13264; Newcombe, 2006,
    Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
    part 2, method 5. Statistics in Medicine 25.
    """
    value, n, m = float(wins(a, b)), len(a), len(b)
    if min(n, m) < 2:
        return Estimate(value, math.nan, math.nan)
    z2, more = float(ndtri((1 + level) / 2)) ** 2, (n + m) / 2 - 1

    def beyond(chance: float) -> float:
        pairs = 1 + more * ((1 - chance) / (2 - chance) + chance / (1 + chance))
        return (value - chance) ** 2 - z2 * chance * (1 - chance) * pairs / (n * m)

    low = root(beyond, 0.0, value) if value > 0 else 0.0
    high = root(beyond, 1.0, value) if value < 1 else 1.0
    return Estimate(value, low, high)


def root(function: Callable[[float], float], above: float, below: float) -> float:
    """Where a function falls from above 0 at one end to below 0 at the other."""
    for _ in range(100):
        middle = (above + below) / 2
        above, below = (middle, below) if function(middle) > 0 else (above, middle)
    return (above + below) / 2


def wins(
    a: Float[np.ndarray, "*n"], b: Float[np.ndarray, "*m"]
) -> Float[np.ndarray, "..."] | float:
    """The share of pairs in which `a` is greater, ties half."""
    x, y = a[..., :, None], b[..., None, :]
    return ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))
