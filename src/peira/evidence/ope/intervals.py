"""How sure an off-policy estimate is: intervals, effective samples, a lower bound."""

import math
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from ..resampling import studentised
from ..statistics import Estimate, mean


Numbers = Float[np.ndarray, " n"]
Interval: TypeAlias = Literal["t", "bootstrap"]
HELD_BACK = 20  # one episode of so many chooses where to truncate


def interval(parts: Numbers, how: Interval, *, level: float = 0.95) -> Estimate:
    """The mean with Student's t interval, or the bootstrap's."""
    return (mean if how == "t" else studentised)(parts, level=level)


def effective(weight: Numbers) -> float:
    """How many equally weighted episodes would say as much: `(Σ w)² / Σ w²`; 0 where
    that is no number.

    Kish, 1965, Survey sampling, sec. 11.7.
    """
    with np.errstate(all="ignore"):
        count = float(weight.sum() ** 2 / np.square(weight).sum())
    return count if math.isfinite(count) else 0.0


def lower_bound(gains: Numbers, *, delta: float = 0.05, seed: int = 0) -> float:
    """Below the expected gain with probability 1 - δ at least, however many gains there
    are and however they are distributed, so long as none can be negative.

    Gains are truncated at c, which only lowers their mean, and bounded by the empirical
    Bernstein inequality:

        mean min(x, c) - √(2 ln(2/δ) var / n) - 7 c ln(2/δ) / (3 (n - 1))

    c is chosen by a twentieth of the gains, which are not used again.
    Thomas, Theocharous & Ghavamzadeh, 2015 (theorem 1), with one c for all; Maurer &
    Pontil, 2009, https://arxiv.org/abs/0907.3740 (theorem 4).
    """
    order = np.random.default_rng(seed).permutation(len(gains))
    held = max(2, len(gains) // HELD_BACK)
    pilot, rest = gains[order[:held]], gains[order[held:]]
    if len(rest) < 2:
        return 0.0
    top = max(float(pilot.max()), 1e-12)
    cuts = top * np.geomspace(0.01, 10.0, 60)
    guesses = [bernstein(pilot, c, n=len(rest), delta=delta) for c in cuts]
    cut = float(cuts[int(np.argmax(guesses))])
    return max(0.0, bernstein(rest, cut, n=len(rest), delta=delta))


def bernstein(gains: Numbers, cut: float, *, n: int, delta: float) -> float:
    """The bound that n gains like these give."""
    kept, slack = np.minimum(gains, cut), math.log(2 / delta)
    width = math.sqrt(2 * slack * float(kept.var(ddof=1)) / n)
    return float(kept.mean()) - width - 7 * cut * slack / (3 * (n - 1))
