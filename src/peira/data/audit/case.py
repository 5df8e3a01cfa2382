"""A dataset as the audit looks at it: all of it, or a sample of whole episodes, every
observation and action a row of numbers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, PyTree

from ...core import Discrete
from ..dataset import Dataset
from .values import named


STEPS = 2_000_000  # more are sampled
NUMBERS = 2**27  # of observations and actions together; more are sampled
STILL = 1e-6  # of its size; what varies less does not vary
VALUES = 1_000  # different values that make a quantity
CHOICES = 64  # a choice among more is read as a number


class Case(NamedTuple):
    """What is looked at."""

    data: Dataset
    step: Int[np.ndarray, " step"]
    """The number of each step in the whole dataset."""
    of: str
    """Where it is a sample: of what, in words."""
    obs: Float[np.ndarray, "row obs"]
    action: Float[np.ndarray, "step act"]
    names: list[str]
    """Of the columns of observations, and then of those of actions."""
    mean: Float[np.ndarray, " obs"]
    std: Float[np.ndarray, " obs"]
    """Of the columns of observations; infinite where they do not vary."""
    row: Int[np.ndarray, " step"]
    """The row of `obs` that each step saw."""
    episode: Int[np.ndarray, " step"]

    @property
    def first(self) -> Int[np.ndarray, " episode"]:
        """Rows of the first observations."""
        return self.data.starts[:-1] + np.arange(self.data.episodes)

    @property
    def final(self) -> Int[np.ndarray, " episode"]:
        """Rows of the last observations."""
        return self.data.starts[1:] + np.arange(self.data.episodes)

    @property
    def last(self) -> Int[np.ndarray, " episode"]:
        """The last steps."""
        return self.data.starts[1:] - 1

    @property
    def terminated(self) -> Bool[np.ndarray, " episode"]:
        return np.asarray(self.data.terminated[self.last])

    @property
    def truncated(self) -> Bool[np.ndarray, " episode"]:
        return np.asarray(self.data.truncated[self.last])

    def has(self, t: Int[np.ndarray, " n"], ahead: int) -> Bool[np.ndarray, " n"]:
        """Whether the step so far ahead (or behind) is of the same episode."""
        there = t + ahead
        inside = (there >= 0) & (there < self.data.steps)
        there = np.clip(there, 0, self.data.steps - 1)
        return inside & (self.episode[there] == self.episode[t])


def case_of(data: Dataset) -> Case:
    """What is looked at of a dataset; always the same."""
    step, of = np.arange(data.steps), ""
    width = sum(s.size for _, s in [*named("", data.spec.obs)])
    width += sum(s.size for _, s in named("", data.spec.action))
    most = min(STEPS, NUMBERS // max(1, width))
    if data.steps > most and data.episodes > 1:
        chosen = sample(data.lengths, most)
        spans = [np.arange(*data.starts[e : e + 2]) for e in chosen]
        whole, step = data.steps, np.concatenate(spans)
        data = data.subset(chosen)
        of = f"in a sample of {data.steps:,} of {whole:,} steps, "
    obs, names = numbers("observation", data.spec.obs, data.obs)
    action, more = numbers("action", data.spec.action, data.action)
    episode = data.episode
    row = np.arange(data.steps) + episode
    mean, std = obs.mean(axis=0, dtype=float), obs.std(axis=0, dtype=float)
    std = np.where(std > STILL * np.maximum(1, np.abs(mean)), std, np.inf)
    names = [*names, *more]
    return Case(data, step, of, obs, action, names, mean, std, row, episode)


def continuous(case: Case) -> bool:
    """Whether some observed number is a quantity, hardly ever the same twice."""
    some = case.obs[: 10 * VALUES]
    return any(len(np.unique(x)) > min(VALUES, len(some) / 2) for x in some.T)


def sample(lengths: Int[np.ndarray, " episode"], most: int) -> Int[np.ndarray, " some"]:
    """Episodes at random that hold at most so many steps, at least one, in order."""
    order = np.random.default_rng(0).permutation(len(lengths))
    count = np.searchsorted(np.cumsum(lengths[order]), most, side="right")
    return np.sort(order[: max(1, int(count))])


def numbers(
    what: str, space: PyTree, tree: PyTree
) -> tuple[Float[np.ndarray, "n width"], list[str]]:
    """Items as rows of numbers, with the name of each; a choice is one of many."""
    spaces, columns, names = dict(named(what, space)), [], []
    for name, x in named(what, tree):
        one = spaces[name]
        if isinstance(one, Discrete) and one.n <= CHOICES:
            columns.append(np.eye(one.n, dtype=np.float32)[np.clip(x, 0, one.n - 1)])
            names += [f"{name} = {k}" for k in range(one.n)]
            continue
        flat = np.asarray(x, np.float32).reshape(len(x), -1)
        columns.append(flat)
        names += [name + entry(one.shape, i) for i in range(one.size)]
    return np.concatenate(columns, axis=1), names


def entry(shape: tuple[int, ...], i: int) -> str:
    """The place of a number in an array, as one writes it."""
    if not shape:
        return ""
    return f"[{', '.join(map(str, np.unravel_index(i, shape)))}]"
