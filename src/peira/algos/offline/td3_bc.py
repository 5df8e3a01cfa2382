"""TD3 with behaviour cloning.

    critics  as in TD3
    actor    maximise  λ E[Q₁(s, π(s))] - E[(π(s) - a)²],  λ = α / E[|Q₁(s, π(s))|]

λ is a number, not a function: no gradient passes through it. Observations are scaled to
zero mean and unit variance over the dataset.

Fujimoto & Gu, 2021. https://arxiv.org/abs/2106.06860 (eqs. 5 and 6)

Deliberately different: the networks, and so the cloned error, see actions in units of
their bounds.

Reference scores: the paper's table 1 (D4RL, 1M steps, 5 seeds); `docs/results.md`.
"""

import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...core import (
    Algorithm,
    Box,
    Count,
    Key,
    NonNegative,
    Positive,
    Report,
    Sample,
    Spec,
    Store,
    Transition,
    Unit,
    Whole,
    Widths,
)
from ...nets import Ensemble, Vision
from ...ops import Number, Standard, Standardised
from ..online import td3
from ..online.td3 import Actor, Critic, TD3


class State(eqx.Module):
    td3: td3.State
    standard: Standard


def actor_loss(
    actor: Actor, critic: Ensemble[Critic], steps: Transition, *, alpha: Number
) -> Float[Array, ""]:
    """`E[(π(s) - a)²] - λ E[Q₁(s, π(s))]`."""
    first = jax.tree.map(lambda x: x[0], critic.members)
    action = jax.vmap(actor)(steps.obs)
    value = jax.vmap(first)(steps.obs, action)
    weight = jax.lax.stop_gradient(alpha / jnp.abs(value).mean())
    return jnp.square(action - steps.action).mean() - weight * value.mean()


class TD3BC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    alpha: NonNegative = 2.5
    """Weight of the value against the cloned error; 0 is behaviour cloning."""
    learning_rate: Positive = 3e-4
    """Adam's step size, actor and critics alike."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    delay: Count = 2
    """Critic steps per actor step."""
    exploration_noise: NonNegative = 0.1
    """Standard deviation of exploration, where an environment is learned from too."""
    target_noise: NonNegative = 0.2
    """Standard deviation of the target policy's smoothing, in units of the bounds."""
    target_clip: NonNegative = 0.5
    """Largest smoothing."""
    batch: Count = 256
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of actor and critics each."""
    standardise: bool = True
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def td3(self) -> TD3:
        return TD3(
            learning_rate=self.learning_rate,
            gamma=self.gamma,
            tau=self.tau,
            delay=self.delay,
            exploration_noise=self.exploration_noise,
            target_noise=self.target_noise,
            target_clip=self.target_clip,
            batch=self.batch,
            capacity=self.capacity,
            warmup=self.warmup,
            hidden=self.hidden,
            vision=self.vision,
        )

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return self.td3.store(spec)

    def init(self, spec: Spec, *, key: Key) -> State:
        standard = Standard.known(spec, use=self.standardise)
        return State(self.td3.init(spec, key=key), standard)

    def policy(self, state: State) -> Standardised:
        return Standardised(self.td3.policy(state.td3), state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = state.standard.steps(batch.steps)
        batch = Sample(steps, batch.weight, batch.index)
        loss = functools.partial(actor_loss, alpha=self.alpha)
        learned, report = td3.step(self.td3, state.td3, batch, loss, key=key)
        return State(learned, state.standard), report
