"""Bootstrap intervals that correct what the percentile's gets wrong with few scores.

Strata (tasks, arms) are drawn apart from each other, as in `bootstrap`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from .statistics import Estimate, RESAMPLES, standing


RATIOS = 2_000  # resamples of the studentised bootstrap


def bca(
    statistic: Callable[..., Any],
    *strata: Float[np.ndarray, " _"],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Any statistic with the bias-corrected and accelerated interval. `statistic` is as
    for `bootstrap`, and takes strata of unequal sizes.

    Efron, 1987, Better bootstrap confidence intervals; several strata as in Davison &
    Hinkley, 1997, Bootstrap methods and their application, sec. 5.3.
    """
    value = float(statistic(*strata))
    if min(map(len, strata)) < 2:
        return Estimate(value, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = [x[rng.integers(len(x), size=(resamples, len(x)))] for x in strata]
    found = np.asarray(statistic(*drawn))
    if np.ptp(found) == 0:
        return Estimate(value, value, value)
    below = ((found < value).mean() + (found <= value).mean()) / 2
    bias = ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    z = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(
        found, ndtr(bias + z / (1 - acceleration(statistic, *strata) * z))
    )
    return Estimate(value, float(low), float(high))


def acceleration(
    statistic: Callable[..., Any], *strata: Float[np.ndarray, " _"]
) -> float:
    """How fast the standard error changes with the value, by the jackknife."""
    third = second = 0.0
    for k, x in enumerate(strata):
        n = len(x)
        without = x[np.array([np.delete(np.arange(n), i) for i in range(n)])]
        spread = [np.broadcast_to(y, (n, len(y))) for y in strata]
        each = np.asarray(statistic(*spread[:k], without, *spread[k + 1 :]))
        moves = (n - 1) * (each.mean() - each) / n
        third += float((moves**3).sum())
        second += float((moves**2).sum())
    return third / (6 * second**1.5) if second > 0 else 0.0


def studentised(
    *strata: Float[np.ndarray, " _"],
    level: float = 0.95,
    resamples: int = RATIOS,
    seed: int = 0,
) -> Estimate:
    """The mean over strata of their means, with the studentised bootstrap's interval:
    not symmetric where the scores are not.

    Efron & Tibshirani, 1993, An introduction to the bootstrap, sec. 12.5.
    """
    weight = 1 / len(strata)
    value, error, _ = standing([weight] * len(strata), *strata)
    if math.isnan(error) or error == 0:
        return Estimate(value, *([value] * 2 if error == 0 else [math.nan] * 2))
    rng = np.random.default_rng(seed)
    rows = max(1, 2**22 // sum(map(len, strata)))  # numbers that are drawn together
    ratios = []
    for done in range(0, resamples, rows):
        far, variance = 0.0, 0.0
        for x in strata:
            drawn = x[rng.integers(len(x), size=(min(rows, resamples - done), len(x)))]
            far = far + weight * drawn.mean(axis=1)
            variance = variance + weight**2 * drawn.var(axis=1, ddof=1) / len(x)
        spread = np.sqrt(variance)
        ratios.append((far - value) / np.where(spread > 0, spread, error))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(ratios), [1 - tail, tail])
    return Estimate(value, value - float(low) * error, value - float(high) * error)
