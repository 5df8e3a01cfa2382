"""Dealing from a fixed dataset.

What is drawn is decided by a key alone, what it holds is looked up afterwards: a
dataset too large for the device is dealt the very same batches, read where it lies.
"""

import dataclasses
from typing import Annotated, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from ..core import (
    Arrays,
    BadConfig,
    check_fields,
    Count,
    Key,
    Range,
    Report,
    Sample,
    Source,
    Spec,
    Store,
    Transition,
    zeros,
)
from ..core.spaces import choices
from .dataset import Dataset
from .replay import Prioritised, Replay


class Shelves(eqx.Module):
    """A dataset as it is dealt from: on the device, or on the host."""

    obs: PyTree[Shaped[Arrays, "row ..."]]
    action: PyTree[Shaped[Arrays, "step ..."]]
    reward: Float[Arrays, " step"]
    terminated: Bool[Arrays, " step"]
    truncated: Bool[Arrays, " step"]
    row: Int[Arrays, " step"]
    """The row of `obs` that each step saw; the next row is its successor."""
    legal: PyTree[Bool[Arrays, "row ..."]] | None
    extras: PyTree[Shaped[Arrays, "step ..."]] = ()
    """What else is dealt with every step."""
    end: Int[Arrays, " step"] | None = None
    """The last row of every step's episode, where goals are drawn."""

    @property
    def steps(self) -> int:
        return self.reward.shape[0]

    def gather(self, step: Int[Arrays, "*n"]) -> Transition:
        """These steps, `(*n, ...)`."""
        row = self.row[step]
        take = lambda tree, at: jax.tree.map(lambda x: x[at], tree)
        return Transition(
            take(self.obs, row),
            take(self.action, step),
            self.reward[step],
            self.terminated[step],
            self.truncated[step],
            take(self.obs, row + 1),
            take(self.legal, row + 1),
            take(self.legal, row),
            take(self.extras, step),
        )


class Drawn(eqx.Module):
    """Which steps were drawn; and where between its successor (0) and the end of its
    episode (1) the goal of each lies."""

    step: Int[Arrays, "*n"]
    luck: Float[Arrays, "*n"] | None = None


class Deal(Source[Shelves, Sample]):
    """Steps of a fixed dataset, drawn uniformly with replacement."""

    batch: Count = 256
    """Items per update."""
    window: int | None = None
    """Consecutive steps per item; None deals single steps without a time axis."""
    top: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """Only this share of the episodes, those with the highest returns."""
    hindsight: Literal["none", "reward", "goal"] = "none"
    """What came of a step, dealt with it as its `extras`: the mean reward from there
    on, or any later observation of its episode."""

    def __check_init__(self):
        check_fields(self)

    def shelve(self, data: Dataset) -> Shelves:
        """The dataset as it is dealt from, still on the host."""
        data = best(data, self.top)
        if data.steps < (self.window or 1):
            raise BadConfig(
                f"a dataset of {data.steps} steps is too small for windows of "
                f"{self.window}"
            )
        return Shelves(
            data.obs,
            data.action,
            np.asarray(data.reward, np.float32),
            np.asarray(data.terminated),
            np.asarray(data.truncated),
            (np.arange(data.steps) + data.episode).astype(np.int32),
            data.legal,
            mean_to_come(data) if self.hindsight == "reward" else (),
            last_row(data) if self.hindsight == "goal" else None,
        )

    def draw(self, steps: int, *, key: Key) -> Drawn:
        """Which of so many steps the next batch holds."""
        k_step, k_goal = jr.split(key) if self.hindsight == "goal" else (key, None)
        step = jr.randint(k_step, (self.batch,), 0, steps - (self.window or 1) + 1)
        if self.window is not None:
            step = step[:, None] + jnp.arange(self.window)[None]
        return Drawn(step, None if k_goal is None else jr.uniform(k_goal, step.shape))

    def lookup(self, kept: Shelves, drawn: Drawn) -> Sample:
        """What was drawn, for one update or for many."""
        steps, first = kept.gather(drawn.step), drawn.step
        if self.window is not None:
            first = first[..., 0]
        if kept.end is not None and drawn.luck is not None:
            row = later(kept.row[drawn.step], kept.end[drawn.step], drawn.luck)
            goal = jax.tree.map(lambda x: x[row], kept.obs)
            steps = dataclasses.replace(steps, extras=goal)
        return Sample(steps, np.ones(first.shape, np.float32), first)

    def sample(self, kept: Shelves, *, key: Key) -> Sample:
        return self.lookup(kept, self.draw(kept.steps, key=key))

    def heed(self, kept: Shelves, batch: Sample, report: Report) -> Shelves:
        return kept


def mean_to_come(data: Dataset) -> Float[np.ndarray, " step"]:
    """The rewards from each step to the end of its episode, divided by how many steps
    the longest episode has left there: an end that comes early earns nothing more."""
    total = np.cumsum(data.reward, dtype=np.float64)
    last, first = data.starts[1:][data.episode] - 1, data.starts[data.episode]
    to_come = total[last] - total + np.asarray(data.reward, np.float64)
    left = data.lengths.max() - (np.arange(data.steps) - first)
    return (to_come / left).astype(np.float32)


def last_row(data: Dataset) -> Int[np.ndarray, " step"]:
    """The row of the last observation of each step's episode."""
    return (data.starts[1:] + np.arange(data.episodes))[data.episode].astype(np.int32)


def later(
    row: Int[Arrays, "*n"], end: Int[Arrays, "*n"], luck: Float[Arrays, "*n"]
) -> Int[Arrays, "*n"]:
    """Any row after the first and up to the end, each as likely."""
    ahead = (luck * (end - row).astype(np.float32)).astype(np.int32)
    return (row + 1 + ahead).clip(None, end)  # where the product was rounded up


def best(data: Dataset, share: float) -> Dataset:
    """The episodes with the highest returns, in their order: the first that hold so
    large a share of all episodes, at least one."""
    if share == 1:
        return data
    count = max(1, round(share * data.episodes))
    order = np.argsort(-data.returns(), kind="stable")
    return data.subset(np.sort(order[:count]))


def dealt(source: Source | Store) -> Deal:
    """How a dataset is dealt to who would keep fresh experience so. Raises `BadConfig`
    for who learns from nothing but what it does itself."""
    match source:
        case Deal():
            return source
        case Replay():
            return Deal(source.batch, source.window)
        case Prioritised():
            return dealt(source.base)
    raise BadConfig(
        "this algorithm learns from its own fresh steps only: leave out --data"
    )


def sketch(spec: Spec, deal: Deal) -> Shelves:
    """A dataset of nothing, for its shapes."""
    n = 2 * (deal.window or 1)
    many = lambda x: np.broadcast_to(x, (n + 1, *np.shape(x)))
    legal = None
    if spec.masked:
        legal = np.ones((n + 1, choices(spec.action)), bool)
    return Shelves(
        jax.tree.map(many, zeros(spec.obs)),
        jax.tree.map(lambda x: many(x)[1:], zeros(spec.action)),
        np.zeros(n, np.float32),
        np.zeros(n, bool),
        np.zeros(n, bool),
        np.arange(n, dtype=np.int32),
        legal,
        np.zeros(n, np.float32) if deal.hindsight == "reward" else (),
        np.full(n, n, np.int32) if deal.hindsight == "goal" else None,
    )


class Queue(eqx.Module):
    """Batches that were looked up in advance, and which is next."""

    batches: Sample
    at: Int[Arrays, "*seed"]


class Queued(Source[Queue, Sample]):
    """Deals batches that were looked up in advance, in their order."""

    def sample(self, kept: Queue, *, key: Key) -> Sample:
        return jax.tree.map(lambda x: x[kept.at], kept.batches)

    def heed(self, kept: Queue, batch: Sample, report: Report) -> Queue:
        return Queue(kept.batches, kept.at + 1)
