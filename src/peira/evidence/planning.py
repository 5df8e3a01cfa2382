"""How many seeds does it take to see a difference, and which difference do so many
seeds see? Both are questions for before the runs."""

import math

from scipy.special import stdtrit

from ..core import BadConfig
from .statistics import root


MOST = 100_000  # seeds, more than anyone runs


def power(
    difference: float,
    spread: float,
    runs: int,
    *,
    level: float = 0.95,
    paired: bool = False,
) -> float:
    """The chance that so many runs of each show a true difference, two-sided and exact
    for normal scores of equal spread (the noncentral t distribution). `spread` is the
    standard deviation over runs of one algorithm; over differences where paired.

    Cohen, 1988, Statistical power analysis, ch. 2.
    """
    from scipy.stats import nct

    check(difference, spread, level)
    if runs < 2:
        return 0.0
    freedom = runs - 1 if paired else 2 * (runs - 1)
    lead = abs(difference) / spread * math.sqrt(runs if paired else runs / 2)
    bar = float(stdtrit(freedom, (1 + level) / 2))
    if lead > 35 + bar:  # beyond what SciPy's noncentral t can say, and certain
        return 1.0
    return float(nct.sf(bar, freedom, lead) + nct.cdf(-bar, freedom, lead))


def runs_needed(
    difference: float,
    spread: float,
    *,
    chance: float = 0.8,
    level: float = 0.95,
    paired: bool = False,
) -> int:
    """The fewest runs of each that show a true difference with this chance. Raises
    `BadConfig` where it takes more than anyone runs."""
    if not 0 < chance < 1:
        raise BadConfig(f"a chance of {chance:g} is not between 0 and 1")
    enough = lambda n: power(difference, spread, n, level=level, paired=paired) > chance
    if difference == 0 or not enough(MOST):
        raise BadConfig(
            f"a difference of {difference:g} with a spread of {spread:g} takes more "
            f"than {MOST:,} runs: look for a larger one"
        )
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def visible(
    spread: float,
    runs: int,
    *,
    chance: float = 0.8,
    level: float = 0.95,
    paired: bool = False,
) -> float:
    """The least true difference that so many runs of each show with this chance;
    infinite for fewer than two."""
    check(1.0, spread, level)
    if runs < 2:
        return math.inf
    short = lambda d: power(d, 1.0, runs, level=level, paired=paired) - chance
    top = 1.0
    while short(top) < 0:
        top *= 2
    return spread * root(short, top, 0.0)


def check(difference: float, spread: float, level: float) -> None:
    if not math.isfinite(difference):
        raise BadConfig(f"a difference of {difference:g} is none to look for")
    if not (math.isfinite(spread) and spread > 0):
        raise BadConfig(f"a spread of {spread:g} must be above 0 and finite")
    if not 0 < level < 1:
        raise BadConfig(f"a level of {level:g} is not between 0 and 1")
