"""Looking at the results between runs, and stopping as soon as they decide, without
being fooled more often for it.

Two rules. Where the most runs are fixed beforehand, every look has the same nominal
level, so low that all looks together err as often as one test would (Pocock). Where
they are not, a bet against equality is kept: it may be looked at after every run, for
ever (`bet`).
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtr

from ..core import BadConfig
from .comparisons import compared, Difference
from .scores import matrix


PATHS = 100_000  # simulated experiments that set a nominal level


class Decision(NamedTuple):
    """What is known after a look."""

    verdict: str
    """`higher`, `lower`, `cannot tell` after the last look, or `go on` before it."""
    found: Difference
    nominal: float
    """What p must fall below at each look."""
    runs: int
    """Runs of each that there are to be before the next look; 0 at the end."""


def decide(a: Any, b: Any, looks: Sequence[int], *, level: float = 0.95) -> Decision:
    """Whether runs of two algorithms decide between them at one of the planned looks,
    which are numbers of runs of each. Rows are in the order in which runs were made,
    and only so many as the last look reached are read. Raises `BadConfig`."""
    x, y = matrix(a), matrix(b)
    planned = checked(looks)
    reached = [n for n in planned if n <= min(len(x), len(y))]
    if not reached:
        raise BadConfig(
            f"{min(len(x), len(y))} runs are fewer than the first look's {planned[0]}"
        )
    nominal = nominal_level(planned, level)
    seen = [compared(x[:n], y[:n], level=1 - nominal) for n in reached]
    for found in seen:
        if found.verdict != "cannot tell":
            return Decision(found.verdict, found, nominal, 0)
    later = [n for n in planned if n > reached[-1]]
    verdict = "go on" if later else "cannot tell"
    return Decision(verdict, seen[-1], nominal, later[0] if later else 0)


def checked(looks: Sequence[int]) -> tuple[int, ...]:
    """Looks in order; raises `BadConfig` where they are not, or begin too early."""
    planned = tuple(looks)
    if not planned or any(b <= a for a, b in pairwise(planned)):
        raise BadConfig(f"looks {planned} must be numbers of runs that rise")
    if planned[0] < 5:
        raise BadConfig(f"a look at {planned[0]} runs is too early: begin with 5")
    return planned


@cache
def nominal_level(looks: tuple[int, ...], level: float = 0.95) -> float:
    """What the p value of Welch's test must fall below at every look, so that two equal
    algorithms with normal scores are told apart at any of them with chance
    `1 - level`. Found by simulating the test itself, hence right for few runs too.

    Pocock, 1977, Group sequential methods in the design and analysis of clinical
    trials. Biometrika 64; there with the normal distribution.
    """
    rng = np.random.default_rng(0)
    lowest = np.ones(PATHS)
    sums = np.zeros((4, PATHS))
    for n in range(1, looks[-1] + 1):
        x, y = rng.standard_normal((2, PATHS))
        sums += np.stack([x, y, x * x, y * y])
        if n in looks:
            lowest = np.minimum(lowest, p_of(sums, n))
    return float(np.quantile(lowest, 1 - level))


def p_of(sums: np.ndarray, n: int) -> np.ndarray:
    """Welch's p values, from the sums and the sums of squares of n scores of each."""
    means = sums[:2] / n
    variances = (sums[2:] - n * means**2) / (n - 1) / n
    total = variances.sum(axis=0)
    freedom = total**2 / np.square(variances).sum(axis=0) * (n - 1)
    return 2 * stdtr(freedom, -np.abs(means[0] - means[1]) / np.sqrt(total))


def bet(a: Any, b: Any, *, scale: float = 1.0) -> float:
    """What a bet against the equality of two algorithms has grown to from 1, by runs of
    each on one task: where they are equal, and normal with one spread, it exceeds 20
    at any time with chance 1/20 at most, however often one looks. `scale` is the
    difference that is expected, in standard deviations.

    The Bayes factor of Gönen et al., 2005, The Bayesian two-sample t test (American
    Statistician 59): a test martingale because it depends on the scores only through t.
    """
    x, y = (matrix(one)[:, 0] for one in (a, b))
    n = min(len(x), len(y))
    if n < 2:
        return 1.0
    freedom, size = 2 * n - 2, n / 2
    x, y = x[:n], y[:n]
    pooled = (x.var(ddof=1) + y.var(ddof=1)) / 2
    if pooled == 0:
        return 1.0
    t2 = size * (x.mean() - y.mean()) ** 2 / pooled
    wide = 1 + size * scale**2
    grown = (
        (freedom + 1) / 2 * math.log((1 + t2 / freedom) / (1 + t2 / (freedom * wide)))
    )
    return math.exp(min(700.0, grown - 0.5 * math.log(wide)))
