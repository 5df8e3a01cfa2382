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
    Facts,
    Key,
    Range,
    Report,
    Sample,
    Source,
    Spec,
    Store,
    Transition,
    Unit,
    Whole,
    zeros,
)
from ..core.spaces import choices
from .dataset import Dataset
from .quantiles import quantiles
from .replay import Prioritised, Replay
from .to_come import at_least, discounted, elapsed, mean_to_come, to_come


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
    """The last row of every step's episode, where goals are drawn or windows end."""
    start: Int[Arrays, " step"] | None = None
    """The first row of it, where windows reach back."""

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


class Outlook(eqx.Module):
    """What was still to come at a step, and how far into its episode it was."""

    to_go: Float[Arrays, "*n"]
    """The rewards from there to the end of the episode."""
    time: Int[Arrays, "*n"]
    """Steps of the episode before it."""


class Deal(Source[Shelves, Sample]):
    """Steps of a fixed dataset, drawn uniformly with replacement."""

    batch: Count = 256
    """Items per update."""
    window: int | None = None
    """Consecutive steps per item; None deals single steps without a time axis."""
    top: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """Only this share of the episodes, those with the highest returns."""
    hindsight: Literal["none", "reward", "goal", "end", "return", "least"] = "none"
    """What came of a step, dealt with it as its `extras`: the mean reward from there
    on, any later observation of its episode, the last one, an `Outlook`, or what it is
    worth at least."""
    within: bool = False
    """Windows end with their episode at the latest. What is missing is padded in front,
    where the weight, one for every step, is zero. Every step is as likely to be the
    first."""
    before: Whole | None = None
    """Windows begin so many steps before the one that was drawn. Where its episode does
    not reach, its nearest step stands in, with the weight zero."""
    discount: Unit = 1.0
    """Of the rewards to come, in an `Outlook` and in what a step is worth at least."""
    quantiles: Count | None = None
    """In so many parts of equal mass is every column cut, for the algorithm to know
    where; None cuts none."""

    def __check_init__(self):
        check_fields(self)
        if self.within and self.before is not None:
            raise BadConfig("Deal.within = True: windows that reach back end anywhere")
        if (self.within or self.before is not None) and self.window is None:
            name = "within" if self.within else "before"
            value = getattr(self, name)
            raise BadConfig(f"Deal.{name} = {value}: say how long a window is")

    @property
    def span(self) -> int:
        """Steps that must follow each other in the dataset."""
        free = self.within or self.before is not None
        return 1 if free or self.window is None else self.window

    def shelve(self, data: Dataset) -> Shelves:
        """The dataset as it is dealt from, still on the host."""
        data = best(data, self.top)
        if data.steps < self.span:
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
            came_of(data, self.hindsight, self.discount),
            last_row(data) if self.bounded else None,
            None if self.before is None else first_row(data),
        )

    @property
    def bounded(self) -> bool:
        """Whether it must know where episodes end."""
        ends = self.hindsight in ("goal", "end")
        return self.within or self.before is not None or ends

    def informed(self, facts: Facts, data: Dataset) -> Facts:
        """What is known of a dataset, and the quantiles of its columns if those are
        wanted."""
        if self.quantiles is None:
            return facts
        edges = quantiles(data, self.quantiles, discount=self.discount)
        return dataclasses.replace(facts, edges=edges)

    def draw(self, steps: int, *, key: Key) -> Drawn:
        """Which of so many steps the next batch holds."""
        k_step, k_goal = jr.split(key) if self.hindsight == "goal" else (key, None)
        step = jr.randint(k_step, (self.batch,), 0, steps - self.span + 1)
        if self.window is not None:
            step = step[:, None] + jnp.arange(self.window)[None]
        return Drawn(step, None if k_goal is None else jr.uniform(k_goal, step.shape))

    def lookup(self, kept: Shelves, drawn: Drawn) -> Sample:
        """What was drawn, for one update or for many."""
        step = drawn.step
        if self.within:
            step, weight = slid_back(kept, step)
            index = step
        elif self.before is not None:
            step, weight = clamped(kept, step, self.before)
            index = step
        else:
            index = step if self.window is None else step[..., 0]
            weight = np.ones(index.shape, np.float32)
        steps = kept.gather(step)
        if kept.end is not None and drawn.luck is not None:
            row = later(kept.row[step], kept.end[step], drawn.luck)
            steps = dataclasses.replace(steps, extras=rows(kept.obs, row))
        if kept.end is not None and self.hindsight == "end":
            steps = dataclasses.replace(steps, extras=rows(kept.obs, kept.end[step]))
        return Sample(steps, weight, index)

    def sample(self, kept: Shelves, *, key: Key) -> Sample:
        return self.lookup(kept, self.draw(kept.steps, key=key))

    def heed(self, kept: Shelves, batch: Sample, report: Report) -> Shelves:
        return kept


def slid_back(
    kept: Shelves, step: Int[Arrays, "*n window"]
) -> tuple[Int[Arrays, "*n window"], Float[Arrays, "*n window"]]:
    """Windows moved so that they end with the episode of their first step, if they
    reached beyond it, and the weight of each step: nothing where one lies before the
    first, which stands in for it."""
    if kept.end is None:
        raise BadConfig("this dataset was shelved without the ends of its episodes")
    first = step[..., :1]
    left = kept.end[first] - kept.row[first]
    step = step - (step.shape[-1] - left).clip(0)
    return step.clip(first), (step >= first).astype(np.float32)


def clamped(
    kept: Shelves, step: Int[Arrays, "*n window"], before: int
) -> tuple[Int[Arrays, "*n window"], Float[Arrays, "*n window"]]:
    """Windows that begin so many steps before their first, and the weight of each step:
    nothing where the episode does not reach, whose nearest step stands in for it."""
    if kept.end is None or kept.start is None:
        raise BadConfig("this dataset was shelved without the ends of its episodes")
    drawn = step[..., :1]
    here = kept.row[drawn]
    least = drawn - (here - kept.start[drawn])
    most = drawn + (kept.end[drawn] - here) - 1
    wanted = step - before
    inside = (wanted >= least) & (wanted <= most)
    return wanted.clip(least, most), inside.astype(np.float32)


def rows(obs: PyTree[Shaped[Arrays, "row ..."]], row: Int[Arrays, "*n"]) -> PyTree:
    """Some of the observations."""
    return jax.tree.map(lambda x: x[row], obs)


def came_of(
    data: Dataset, hindsight: str, discount: float
) -> PyTree[Shaped[np.ndarray, " step"]]:
    """What came of every step; nothing where that is not asked, or looked up later."""
    match hindsight:
        case "reward":
            return mean_to_come(data)
        case "return":
            to_go = discounted(data, discount) if discount < 1 else to_come(data)
            return Outlook(to_go.astype(np.float32), elapsed(data))
        case "least":
            return at_least(data, discount)
    return ()


def came_alone(
    reward: Float[Arrays, " step"], hindsight: str
) -> PyTree[Shaped[Arrays, " step"]]:
    """What came of steps that are episodes of their own."""
    match hindsight:
        case "reward" | "least":
            return reward
        case "return":
            return Outlook(reward, (0 * reward).astype(np.int32))
    return ()


def last_row(data: Dataset) -> Int[np.ndarray, " step"]:
    """The row of the last observation of each step's episode."""
    return (data.starts[1:] + np.arange(data.episodes))[data.episode].astype(np.int32)


def first_row(data: Dataset) -> Int[np.ndarray, " step"]:
    """The row of the first observation of each step's episode."""
    return (data.starts[:-1] + np.arange(data.episodes))[data.episode].astype(np.int32)


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
        came_alone(np.zeros(n, np.float32), deal.hindsight),
        np.full(n, n, np.int32) if deal.bounded else None,
        None if deal.before is None else np.zeros(n, np.int32),
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
