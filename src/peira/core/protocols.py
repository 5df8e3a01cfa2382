"""The protocols in which problems, algorithms and the engine meet.

Classes are abstract or final: an implementation overrides nothing but the abstract
methods, and `super()` is never called.
"""

import abc
from typing import (
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    Protocol,
    runtime_checkable,
    TypeVar,
)

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .checks import BadConfig, check_fields, Unsupported
from .spaces import Space
from .types import (
    Action,
    Extras,
    Facts,
    Key,
    Obs,
    Outcome,
    Report,
    Spec,
    TimeStep,
    Transition,
)


World = TypeVar("World")  # all that changes in an environment
Carry = TypeVar("Carry")  # what one actor takes from step to step
State = TypeVar("State")  # all that is learned
Kept = TypeVar("Kept")  # experience at rest
Batch = TypeVar("Batch")  # what one update consumes


class Env(eqx.Module, Generic[World]):
    """A world written in JAX, for ONE actor: pure functions that the engine vmaps.

    The engine resets when an episode is over; a world never does.
    """

    @property
    @abc.abstractmethod
    def spec(self) -> Spec: ...

    @abc.abstractmethod
    def reset(self, *, key: Key) -> tuple[World, Obs, PyTree]:
        """Open an episode: the world, its first observation, the mask of legal actions
        (`None` unless `spec.masked`)."""

    @abc.abstractmethod
    def step(
        self, world: World, action: Action, *, key: Key
    ) -> tuple[World, Outcome]: ...


class Policy(eqx.Module, Generic[Carry]):
    """What training produces, evaluation runs and export ships: written for ONE
    actor, batched by `vmap`.

    Memory, plan, option, goal, context window: whatever an actor takes from step to
    step is its carry. The engine never resets it; the policy sees `t.first`.
    """

    @abc.abstractmethod
    def begin(self) -> Carry:
        """The carry of an actor that has seen nothing; `()` when nothing is carried."""

    @abc.abstractmethod
    def __call__(
        self, carry: Carry, t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, Carry, Extras]:
        """Choose one action. `explore` separates playing to learn from showing."""


@runtime_checkable
class Asked(Protocol):
    """What in a policy is told what to reach."""

    def asked_for(self, target: Float[Array, ""]) -> "Asked":
        """The same, told to reach a return; raises `BadConfig` where it is told
        something else."""
        ...


def asked_for(policy: Policy, target: float) -> Policy:
    """The same policy, told to reach a return, wherever in it that is said. Raises
    `BadConfig` for one that is told nothing of the kind."""
    is_asked = lambda node: isinstance(node, Asked)
    if not any(map(is_asked, jax.tree.leaves(policy, is_leaf=is_asked))):
        raise BadConfig("this policy is not told what to reach (those of dt, rvs are)")
    tell = lambda node: node.asked_for(jnp.float32(target)) if is_asked(node) else node
    return jax.tree.map(tell, policy, is_leaf=is_asked)


class Rhythm(NamedTuple):
    """When to learn, counted in steps of one environment after another."""

    warmup: int
    """Environment steps kept before the first update."""
    every: int
    """Environment steps between learnings."""
    updates: int
    """Updates per learning."""


class Source(eqx.Module, Generic[Kept, Batch]):
    """What is only dealt from: a dataset, which does not grow."""

    @abc.abstractmethod
    def sample(self, kept: Kept, *, key: Key) -> Batch: ...

    @abc.abstractmethod
    def heed(self, kept: Kept, batch: Batch, report: Report) -> Kept:
        """Take note of how surprising a batch was."""


class Store(eqx.Module, Generic[Kept, Batch]):
    """How fresh experience is kept and dealt out again."""

    @abc.abstractmethod
    def rhythm(self, *, envs: int) -> Rhythm:
        """When the engine should ask for a batch, given so many environments."""

    @abc.abstractmethod
    def init(self, example: Transition, *, envs: int) -> Kept:
        """Empty shelves for transitions like `example` (one step of one env)."""

    @abc.abstractmethod
    def add(self, kept: Kept, steps: Transition) -> Kept:
        """Keep a block of steps, shaped `(time, env, ...)`, in order."""

    @abc.abstractmethod
    def cut(self, kept: Kept, lost: Bool[Array, " env"]) -> Kept:
        """Nothing follows the newest step of the environments that were lost: their
        next step opens an episode."""

    @abc.abstractmethod
    def sample(self, kept: Kept, *, key: Key) -> Batch: ...

    @abc.abstractmethod
    def heed(self, kept: Kept, batch: Batch, report: Report) -> Kept:
        """Take note of how surprising a batch was."""


class Algorithm(eqx.Module, Generic[State, Batch]):
    """A frozen pytree of hyper-parameters with four pure functions.

    The fields are the configuration: the command line is made from them, and a float
    field may be an array, so that a sweep is a `vmap`.
    """

    serves: ClassVar[frozenset[type[Space]]]
    """Spaces of action it can act in."""
    version: ClassVar[int]
    """Raised when its numbers change, not when its code does."""

    def __check_init__(self):
        check_fields(self)

    @abc.abstractmethod
    def store(self, spec: Spec) -> Store[Any, Batch] | Source[Any, Batch]:
        """How it wants experience kept and dealt out; a `Source` where it learns from
        a fixed dataset only."""

    @abc.abstractmethod
    def init(self, spec: Spec, *, key: Key) -> State:
        """All that is learned, before any learning."""

    @abc.abstractmethod
    def policy(self, state: State) -> Policy[Any]: ...

    @abc.abstractmethod
    def update(self, state: State, batch: Batch, *, key: Key) -> tuple[State, Report]:
        """Learn once from one batch."""


def check_serves(algorithm: Algorithm, spec: Spec) -> None:
    """Raise `Unsupported` if the algorithm cannot act in the problem's action space."""
    if not isinstance(spec.action, tuple(algorithm.serves)):
        raise Unsupported(type(algorithm), spec.action)


def keeper(algorithm: Algorithm, spec: Spec) -> Store:
    """How it keeps fresh experience; raises `BadConfig` if it keeps none."""
    store = algorithm.store(spec)
    if not isinstance(store, Store):
        raise from_data_only(algorithm)
    return store


def known(algorithm: Algorithm, spec: Spec) -> Facts:
    """What is known of the dataset; raises `BadConfig` where there is none."""
    if spec.data is None:
        raise from_data_only(algorithm)
    return spec.data


def from_data_only(algorithm: Algorithm) -> BadConfig:
    name = type(algorithm).__name__
    return BadConfig(f"{name} learns from a dataset only: name one with --data")


def is_space(x: Any) -> bool:
    """Whether this is a leaf of a pytree of spaces."""
    return isinstance(x, Space)


def actors(policy: Policy, n: int) -> PyTree:
    """The carries of `n` actors that have seen nothing, stacked."""
    return jax.vmap(lambda _: policy.begin())(jax.numpy.arange(n))
