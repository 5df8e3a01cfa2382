"""Whether who is told to reach a return reaches it.

Returns that were luck cannot be had by asking: who imitates what came before the best
of them imitates a gamble, and earns less than who asks for less.

Paster, McIlraith & Ba, 2022, You can't count on luck. https://arxiv.org/abs/2205.15967
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..core import asked_for, BadConfig, Policy
from .comparisons import compared, joint
from .intervals import interval
from .statistics import Estimate, mean


Play = Callable[[Policy], Float[np.ndarray, " episode"]]


class Calibration(NamedTuple):
    """What was asked for, in rising order, and what was earned."""

    asked: Float[np.ndarray, " ask"]
    returns: Float[np.ndarray, "ask policy episode"]

    @property
    def over(self) -> str:
        """What intervals are over: other seeds are known by several policies only."""
        policies, episodes = self.returns.shape[1:]
        return "policies" if policies > 1 else f"{episodes} episodes of one policy"

    @property
    def scores(self) -> Float[np.ndarray, "ask n"]:
        """What each policy earned, or each episode of the only one."""
        alone = self.returns.shape[1] == 1
        return self.returns[:, 0] if alone else self.returns.mean(axis=2)

    @property
    def earned(self) -> list[Estimate]:
        """The mean, with the interval that there is."""
        if self.returns.shape[1] == 1:
            return [mean(scores) for scores in self.scores]
        return [interval(scores).estimate for scores in self.scores]

    @property
    def luck(self) -> str:
        """What it says of luck where the highest asked for earned less than a lower
        one; empty where it did not, or where that cannot be told."""
        *lower, highest = self.scores
        if not lower:
            return ""
        best = max(range(len(lower)), key=lambda i: lower[i].mean())
        found = compared(highest, lower[best], level=joint(0.95, len(lower)))
        if found.verdict != "lower":
            return ""
        return (
            f"asked for {self.asked[-1]:g} it earns less than asked for "
            f"{self.asked[best]:g}, by {-found.estimate.value:.4g}: the highest "
            "returns of the data were luck, and asking for luck does not bring it"
        )


def calibration(
    policies: Sequence[Policy], asked: Sequence[float], play: Play
) -> Calibration:
    """Ask each policy for each return, and see what it earns in the episodes that
    `play` plays. Raises `BadConfig`."""
    if not len(asked) or not np.isfinite(asked).all():
        raise BadConfig(f"returns to ask for must be finite numbers, not {asked}")
    order = np.sort(np.unique(np.asarray(asked, float)))
    returns = [[play(asked_for(one, float(a))) for one in policies] for a in order]
    return Calibration(order, np.array(returns))
