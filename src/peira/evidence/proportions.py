"""How sure a share is: of runs that solved the task, of games that were won."""

import math

from scipy.special import betaincinv, ndtri

from ..core import BadConfig
from .statistics import Estimate


def exact(hits: int, trials: int, *, level: float = 0.95) -> Estimate:
    """A share with an interval that covers at least as often as it says.

    Clopper & Pearson, 1934, The use of confidence or fiducial limits illustrated in the
    case of the binomial. Biometrika 26.
    """
    check(hits, trials)
    tail = (1 - level) / 2
    low = betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
    return Estimate(hits / trials, float(low), float(high))


def jeffreys(hits: int, trials: int, *, level: float = 0.95) -> Estimate:
    """A share with the Bayesian interval of Jeffreys' prior: as often right as it says
    on average over shares, and sometimes less. It is open where nothing or all hit.

    Brown, Cai & DasGupta, 2001, Interval estimation for a binomial proportion.
    """
    check(hits, trials)
    tail, misses = (1 - level) / 2, trials - hits
    low = betaincinv(hits + 0.5, misses + 0.5, tail) if hits else 0.0
    high = betaincinv(hits + 0.5, misses + 0.5, 1 - tail) if misses else 1.0
    return Estimate(hits / trials, float(low), float(high))


def wilson(hits: int, trials: int, *, level: float = 0.95) -> Estimate:
    """A share with the interval of the shares that a normal test would not reject.

    Wilson, 1927, Probable inference, the law of succession, and statistical inference.
    """
    check(hits, trials)
    share, z2 = hits / trials, float(ndtri((1 + level) / 2)) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    reach = math.sqrt(z2 * spread) / (1 + z2 / trials)
    return Estimate(share, max(0.0, middle - reach), min(1.0, middle + reach))


def check(hits: int, trials: int) -> None:
    if not 0 <= hits <= trials or trials < 1:
        raise BadConfig(f"{hits} of {trials} is no share: hits are from 0 to trials")
