"""What was still to come at every step of a dataset, and how late it was."""

import numpy as np
from jaxtyping import Float, Int

from .dataset import Dataset


def elapsed(data: Dataset) -> Int[np.ndarray, " step"]:
    """How many steps of its episode each step has before it."""
    return (np.arange(data.steps) - data.starts[data.episode]).astype(np.int32)


def to_come(data: Dataset) -> Float[np.ndarray, " step"]:
    """The rewards from each step to the end of its episode."""
    total = np.cumsum(data.reward, dtype=np.float64)
    last = data.starts[1:][data.episode] - 1
    return total[last] - total + np.asarray(data.reward, np.float64)


def mean_to_come(data: Dataset) -> Float[np.ndarray, " step"]:
    """The rewards from each step to the end of its episode, divided by how many steps
    the longest episode has left there: an end that comes early earns nothing more."""
    left = data.lengths.max() - elapsed(data)
    return (to_come(data) / left).astype(np.float32)


def discounted(data: Dataset, discount: float) -> Float[np.ndarray, " step"]:
    """`rₜ + γ rₜ₊₁ + ...` to the end of the episode, of all episodes side by side."""
    to_go = np.array(data.reward, np.float64)
    for late in range(2, int(data.lengths.max()) + 1):
        step = data.starts[1:][data.lengths >= late] - late
        to_go[step] += discount * to_go[step + 1]
    return to_go


def at_least(data: Dataset, discount: float) -> Float[np.ndarray, " step"]:
    """What each step is worth at least, because it was earned once: the discounted
    rewards to a death. Nothing is known where the episode was cut, for what would have
    followed may have cost more than it paid."""
    died = np.asarray(data.terminated)[data.starts[1:] - 1][data.episode]
    return np.where(died, discounted(data, discount), -np.inf).astype(np.float32)
