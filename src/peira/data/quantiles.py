"""What the columns of a dataset hold: where each is cut into parts of equal mass."""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Float, Int

from .dataset import Dataset
from .to_come import discounted


def quantiles(
    data: Dataset, parts: int, *, discount: float
) -> Float[np.ndarray, "column edge"]:
    """The edges of so many parts, of every number of an observation, of an action, of
    the reward and of what came after it; the first is a column's least number and the
    last its largest. As many steps lie between any two, up to one."""
    at = np.linspace(0, data.steps - 1, parts + 1).astype(int)
    return np.stack([np.sort(x)[at] for x in columns(data, discount)])


def columns(data: Dataset, discount: float) -> Iterator[Float[np.ndarray, " step"]]:
    """One after another, for all together may be more than there is room for."""
    row = np.arange(data.steps) + data.episode
    for tree, at in ((data.obs, row), (data.action, np.arange(data.steps))):
        for x in jax.tree.leaves(tree):
            yield from cut(x, at)
    reward = np.asarray(data.reward, np.float32)
    yield reward
    yield discounted(data, discount).astype(np.float32) - reward


def cut(x: np.ndarray, at: Int[np.ndarray, " step"]) -> Iterator[np.ndarray]:
    """The numbers of an array's items, each for all of some rows."""
    flat = x.reshape(len(x), -1)
    for i in range(flat.shape[1]):
        yield np.asarray(flat[at, i], np.float32)
