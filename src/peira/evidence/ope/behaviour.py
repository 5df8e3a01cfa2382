"""Cloning the behaviour of a dataset: how likely it was to do what it did, where nobody
wrote that down.

    minimise  -E[log b(a|s)]

b is categorical for choices; for real numbers it is normal, in units where the bounds
are -1 and 1. Weights made with a clone are as good as the clone: Hanna, Niekum & Stone,
2019. https://arxiv.org/abs/1806.01347
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from ...core import (
    Action,
    Algorithm,
    Box,
    Count,
    Discrete,
    fold,
    Key,
    MultiDiscrete,
    Obs,
    Policy,
    Positive,
    Report,
    Sample,
    Source,
    Space,
    Spec,
    TimeStep,
    Widths,
)
from ...data import Dataset, Deal
from ...engine.from_data import beat_from, FromData
from ...engine.plan import Plan
from ...nets import Encoder, fan_in, MLP
from ...ops import (
    Categorical,
    descend,
    Gaussian,
    MultiCategorical,
    scale,
    Standard,
    Trainable,
    trainable,
    unscale,
)
from .likelihood import likelihoods, Refusal


LOG_STD = (-5.0, 2.0)


class Clone(eqx.Module):
    """b(·|s)."""

    encoder: Encoder
    body: MLP
    space: Space = eqx.field(static=True)

    def __call__(
        self, obs: Obs, legal: PyTree | None
    ) -> Categorical | MultiCategorical | Gaussian:
        out = self.body(self.encoder(obs))
        match self.space:
            case Discrete():
                return Categorical(out, legal)
            case MultiDiscrete(nvec):
                return MultiCategorical(out, nvec, legal)
        mean, log_std = jnp.split(out, 2)
        return Gaussian(mean, jnp.clip(log_std, *LOG_STD))

    def log_prob(
        self, obs: Obs, action: Action, legal: PyTree | None
    ) -> Float[Array, ""]:
        """log b(a|s); a density is of actions in their own units."""
        pi = self(obs, legal)
        if not isinstance(self.space, Box):
            return pi.log_prob(action)
        steep = np.log(2 / (self.space.high - self.space.low)).sum()
        return pi.log_prob(unscale(self.space, action).ravel()) + steep


class Cloned(Policy[tuple[()]]):
    """Does what the behaviour might have done."""

    clone: Clone
    standard: Standard

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        pi = self.clone(self.standard(t.obs), t.legal)
        action = pi.sample(key=key) if explore else pi.mode()
        if isinstance(box := self.clone.space, Box):
            action = scale(box, jnp.clip(action, -1.0, 1.0).reshape(box.shape))
        return action, carry, ()

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""]:
        return self.clone.log_prob(self.standard(t.obs), action, t.legal)


class State(eqx.Module):
    clone: Trainable[Clone]
    standard: Standard


class Behaviour(Algorithm[State, Sample]):
    """Maximum likelihood, learned as any algorithm is."""

    serves: ClassVar = frozenset({Box, Discrete, MultiDiscrete})
    version: ClassVar = 1

    learning_rate: Positive = 1e-3
    """Adam's step size."""
    batch: Count = 256
    """Items per update."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers."""

    def store(self, spec: Spec) -> Source[Any, Sample]:
        return Deal(self.batch)

    def init(self, spec: Spec, *, key: Key) -> State:
        eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"))
        match spec.action:
            case Discrete(n):
                out = n
            case MultiDiscrete(nvec):
                out = sum(nvec)
            case _:
                out = 2 * spec.action.size
        body = MLP([eye.size, *self.hidden, out], key=fold(key, "body"))
        clone = Clone(eye, body, spec.action)
        return State(trainable(clone, optax.scale_by_adam()), Standard.known(spec))

    def policy(self, state: State) -> Cloned:
        return Cloned(state.clone.net, state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = state.standard.steps(batch.steps)

        def loss(clone: Clone) -> tuple[Float[Array, ""], Float[Array, ""]]:
            said = jax.vmap(clone.log_prob)(steps.obs, steps.action, steps.legal)
            return -said.mean(), -said.mean()

        clone, surprise = descend(
            optax.scale_by_adam(), state.clone, loss, rate=self.learning_rate
        )
        return State(clone, state.standard), Report({"surprise": surprise})


def propensities(
    data: Dataset, algorithm: Behaviour, *, updates: int, seed: int = 0
) -> Float[np.ndarray, " step"]:
    """b(a|s) of every step, by a clone. Raises `Refusal`."""
    plan = Plan(steps=updates, seeds=(seed,))
    beat = beat_from(algorithm, data, plan)
    loop = FromData(beat, data, plan.seeds, resident=plan.resident * 2**20)
    loop.advance(updates)
    if loop.failed[0] >= 0:
        raise Refusal("cloning the behaviour met a number that is not finite")
    return likelihoods(algorithm.policy(loop.learner(0)), data, explore=True)
