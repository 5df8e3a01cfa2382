"""Choosing one of several policies, and saying what it is worth: whoever looks best
was lucky, too.

With no fresh episode the winner's estimate is shrunk towards the mean of all, by as
much as their spread is noise (`shrink`). With fresh episodes they are spent on those
still in the race (`halve`), and a part is kept back that had no say in the choice.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..core import BadConfig
from .statistics import around, Estimate


KEPT_BACK = 5  # one episode of so many scores the winner, and chooses nobody


class Shrunk(NamedTuple):
    """Who looks best, and what is left of it."""

    winner: int
    naive: Estimate
    """Its own estimate, as if it had not been chosen for it."""
    corrected: Estimate
    kept: float
    """The share of its lead that is no noise."""


def shrink(
    values: Float[np.ndarray, " policy"],
    replicas: Float[np.ndarray, "policy m"],
    *,
    level: float = 0.95,
) -> Shrunk:
    """The highest value, and what to expect of it: the posterior mean where the
    policies' worths are normal about a common mean, whose spread is estimated from what
    errors do not explain (empirical Bayes). The posterior does not care who was chosen.

    `replicas` are numbers whose covariance is that of the errors, which may be common
    to all: only the differences between policies are shrunk. An error that all share is
    not corrected.

    Efron & Morris, 1973; Morris, 1983 (for the interval); why it answers selection:
    Efron, 2011, Tweedie's formula and selection bias.
    """
    k, freedom = len(values), replicas.shape[1] - 1
    best = int(np.argmax(values))
    own = math.sqrt(float(replicas[best].var(ddof=1)))
    naive = around(float(values[best]), own, freedom, level)
    if k < 2:
        return Shrunk(best, naive, naive, 1.0)
    centre = float(values.mean())
    lead = values - centre
    noise = (replicas - replicas.mean(axis=0)).var(axis=1, ddof=1)
    spread = max(0.0, float((np.square(lead) - noise).sum())) / k
    kept = spread / (spread + noise[best]) if spread else 0.0
    common = float(replicas.mean(axis=0).var(ddof=1))
    variance = common + noise[best] * (kept if k > 3 else 1.0)
    if k > 3:  # the spread itself is estimated
        variance += 2 / (k - 3) * ((1 - kept) * lead[best]) ** 2
    value = centre + kept * float(lead[best])
    corrected = around(value, math.sqrt(variance), freedom, level)
    return Shrunk(best, naive, corrected, kept)


class Race(NamedTuple):
    """How the episodes were spent."""

    order: tuple[int, ...]
    """Those who were left at the end first, then whoever fell out last."""
    returns: list[Float[np.ndarray, " _"]]
    """What each earned, all its episodes."""
    rounds: Int[np.ndarray, " policy"]
    """How many rounds each was in."""

    @property
    def spent(self) -> int:
        return sum(map(len, self.returns))


Play = Callable[[int, int, int], Float[np.ndarray, " n"]]


def rounds(policies: int) -> int:
    """How often the field is halved until one is left."""
    return math.ceil(math.log2(policies)) if policies > 1 else 0


def split(policies: int, budget: int) -> tuple[int, int]:
    """How many episodes choose, and how many score whom they chose. Raises `BadConfig`
    where they are too few."""
    need = policies * rounds(policies)
    kept = max(2, -(-budget // KEPT_BACK))
    if budget - kept < need:
        least = next(n for n in range(need, 2 * need + 4) if fits(n, need))
        raise BadConfig(
            f"--budget {budget}: {policies} policies take {least} episodes at least; "
            "give more, or fewer policies, or --data to leave some out by"
        )
    return (budget - kept, kept) if policies > 1 else (0, budget)


def fits(budget: int, need: int) -> bool:
    return budget - max(2, -(-budget // KEPT_BACK)) >= need


def affordable(policies: int, budget: int) -> int:
    """The most of so many policies that a budget is enough for."""
    return max(
        (k for k in range(1, policies + 1) if fits(budget, k * rounds(k))), default=0
    )


def halve(play: Play, policies: int, budget: int) -> Race:
    """Sequential halving: rounds of equal cost, after each of which the better half of
    those left goes on, by all their episodes so far. `play` takes a policy, how many
    episodes and the round.

    Karnin, Koren & Somekh, 2013, Almost optimal exploration in multi-armed bandits.
    """
    returns = [np.zeros(0) for _ in range(policies)]
    lasted = np.zeros(policies, int)
    left, out = list(range(policies)), []
    for turn in range(rounds(policies)):
        each = budget // (rounds(policies) * len(left))
        for i in left:
            returns[i] = np.concatenate([returns[i], play(i, each, turn)])
            lasted[i] += 1
        ranked = sorted(left, key=lambda i: -returns[i].mean())
        left, gone = ranked[: -(-len(left) // 2)], ranked[-(-len(left) // 2) :]
        out = gone + out
    return Race(tuple(left + out), returns, lasted)
