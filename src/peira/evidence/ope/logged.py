"""Logged episodes as the estimators read them: side by side, and padded."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ...core import TimeStep
from ...data import Dataset


class Logged(NamedTuple):
    """Episodes as rows, their steps as columns."""

    ratio: Float[np.ndarray, "episode time"]
    """π(a|s) / b(a|s), how much likelier the policy was to do what was done than the
    behaviour; 1 after the end."""
    reward: Float[np.ndarray, "episode time"]
    """0 after the end."""
    length: Int[np.ndarray, " episode"]
    ended: Bool[np.ndarray, " episode"]
    """Whether the problem ended; else time ran out."""

    @property
    def alive(self) -> Bool[np.ndarray, "episode time"]:
        """Which steps were taken."""
        return np.arange(self.reward.shape[1])[None] < self.length[:, None]

    @property
    def weight(self) -> Float[np.ndarray, "episode time"]:
        """The product of the ratios so far: an ended episode keeps its last."""
        return np.cumprod(self.ratio, axis=1)


class Model(NamedTuple):
    """What a model of the values says of every step."""

    value: Float[np.ndarray, "episode time"]
    """Q(s, a) of what was done; 0 after the end."""
    after: Float[np.ndarray, "episode time"]
    """V(s') of where it led; 0 after the end, and where the problem ended."""
    first: Float[np.ndarray, " episode"]
    """V of where the episode opened."""


def side_by_side(
    x: Float[np.ndarray, " step"], lengths: Int[np.ndarray, " episode"], fill: float
) -> Float[np.ndarray, "episode time"]:
    """One number a step, as rows of episodes."""
    grid = np.full((len(lengths), int(lengths.max())), fill)
    grid[np.arange(grid.shape[1])[None] < lengths[:, None]] = x
    return grid


def logged(data: Dataset, ratio: Float[np.ndarray, " step"]) -> Logged:
    """The episodes of a dataset, given the ratio of every step."""
    return Logged(
        side_by_side(ratio, data.lengths, 1.0),
        side_by_side(np.asarray(data.reward, np.float64), data.lengths, 0.0),
        data.lengths,
        np.asarray(data.terminated)[data.starts[1:] - 1],
    )


def seen(data: Dataset, step: Int[np.ndarray, " n"]) -> TimeStep:
    """What an actor would have been handed before each of these steps."""
    first = np.isin(step, data.starts[:-1])
    before = np.asarray(data.reward[np.maximum(step - 1, 0)], np.float32)
    steps = data.gather(step)
    return TimeStep(steps.obs, np.where(first, 0.0, before), first, steps.legal)
