"""The nouns everyone shares: what an actor sees, does, remembers and reports."""

import dataclasses
import warnings
from typing import Any, dataclass_transform, TypeAlias, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped


Arrays: TypeAlias = Array | np.ndarray  # on the device, or still on the host
Key: TypeAlias = PRNGKeyArray
Obs: TypeAlias = PyTree[Shaped[Arrays, "..."]]
Action: TypeAlias = PyTree[Shaped[Arrays, "..."]]
Extras: TypeAlias = PyTree[Shaped[Arrays, "..."]]
Metrics: TypeAlias = dict[str, Float[Array, ""]]


T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """A frozen dataclass that is a pytree. A module is one too, but takes some twenty
    times as long to make, and a world on the host makes some in every step."""
    made: Any = dataclasses.dataclass(frozen=True, eq=False)(kind)
    names = [field.name for field in dataclasses.fields(made)]

    def parts(x: T) -> tuple[tuple[Any, ...], None]:
        return tuple(getattr(x, name) for name in names), None

    def named(x: T) -> tuple[tuple[Any, ...], None]:
        return tuple((jax.tree_util.GetAttrKey(n), getattr(x, n)) for n in names), None

    def joined(_: None, leaves: Any) -> T:
        new = object.__new__(made)
        new.__dict__.update(zip(names, leaves, strict=True))
        return new

    jax.tree_util.register_pytree_with_keys(made, named, joined, parts)
    return made


class Facts(eqx.Module):
    """What is known of a fixed dataset before any of it is learned from."""

    mean: PyTree[Float[Arrays, "..."]]
    """Of every number of an observation, over all steps."""
    std: PyTree[Float[Arrays, "..."]]
    """Standard deviation of the same."""
    steps: int = eqx.field(static=True)
    episodes: int = eqx.field(static=True)
    longest: int = eqx.field(static=True)
    """Steps of the longest episode."""
    best: float = eqx.field(static=True)
    """Highest return of an episode."""
    worst: float = eqx.field(static=True)
    """Lowest return of an episode."""
    edges: Float[Arrays, "column edge"] | None = None
    """Where an algorithm asks for them, quantiles of every number of an observation and
    of an action, of the reward and of what came after it."""

    def warn_if_far(self, asked: str, total: float) -> None:
        """Say so where a return that is asked for lies further outside those of the
        dataset than they lie apart."""
        apart = self.best - self.worst
        if not self.worst - apart <= total <= self.best + apart:
            warnings.warn(
                f"{asked}: the returns of the dataset go from {self.worst:g} to "
                f"{self.best:g}; nothing like it was ever seen",
                stacklevel=2,
            )


class Spec(eqx.Module):
    """What an algorithm may know of a problem before it has seen any of it."""

    obs: PyTree = eqx.field(static=True)
    """Pytree of spaces."""
    action: PyTree = eqx.field(static=True)
    """Pytree of spaces."""
    masked: bool = eqx.field(static=True, default=False)
    """Whether every time step says which actions are legal."""
    updates: int = eqx.field(static=True, default=1_000_000)
    """How many updates the run intends: the horizon of every schedule."""
    data: Facts | None = None
    """Where a dataset is learned from, what is known of it."""


@record
class TimeStep:
    """What an actor is handed at each instant; `*n` is whatever axes are batched
    (environments, agents, seeds).

    `first` is true when `obs` opens an episode. `reward` is what the last action
    earned, also across the boundary: an agent that learns from trial to trial must
    see how the last trial ended. `legal` is the mask of legal actions, where the
    problem has one.
    """

    obs: Obs
    reward: Float[Arrays, "*n"]
    first: Bool[Arrays, "*n"]
    legal: PyTree[Bool[Arrays, "..."]] | None = None


@record
class Transition:
    """One step of experience.

    `terminated`: the problem ended; never bootstrap. `truncated`: time ran out;
    always bootstrap. `next_obs` is the true successor, never the first frame of the
    next episode. `extras` is what the policy wished to remember (log-probabilities,
    search statistics, its memory before the step).
    """

    obs: Obs
    action: Action
    reward: Float[Arrays, "*n"]
    terminated: Bool[Arrays, "*n"]
    truncated: Bool[Arrays, "*n"]
    next_obs: Obs
    next_legal: PyTree[Bool[Arrays, "..."]] | None = None
    legal: PyTree[Bool[Arrays, "..."]] | None = None
    extras: Extras = ()

    @classmethod
    def of(
        cls, t: TimeStep, action: Action, out: "Outcome", extras: Extras
    ) -> "Transition":
        """What was seen, what was done there, and what the world answered."""
        return cls(
            t.obs,
            action,
            out.reward.astype(np.float32),
            out.terminated,
            out.truncated,
            out.obs,
            out.legal,
            t.legal,
            extras,
        )

    @property
    def over(self) -> Bool[Arrays, "*n"]:
        """Whether the episode ended here, for either reason."""
        return self.terminated | self.truncated


class Sample(eqx.Module):
    """What a replay or a dataset deals out for one update.

    `weight` corrects for how the items were drawn (one when uniform); `index` says
    where they lie, so that the store can heed how surprising they were. Where windows
    are padded each step has both, and padding has the weight zero.
    """

    steps: Transition
    weight: Float[Arrays, "*n"]
    index: Int[Arrays, "*n"]


class Report(eqx.Module):
    """What an update has to say: numbers to log and, for a store that asks, how
    surprising each item of the batch was."""

    metrics: Metrics
    surprise: Float[Array, " batch"] | None = None


@record
class Outcome:
    """What a world answers to one action. `obs` is the true successor."""

    obs: Obs
    reward: Float[Arrays, "*n"]
    terminated: Bool[Arrays, "*n"]
    truncated: Bool[Arrays, "*n"]
    legal: PyTree[Bool[Arrays, "..."]] | None = None
