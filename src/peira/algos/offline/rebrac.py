"""Revisited behaviour-regularised actor-critic: TD3+BC grown up.

    target   y = r + γ (1 - terminated) (minᵢ Q̄ᵢ(s', ã) - β₂ |ã - a'|²)
             ã = clip(π̄(s') + clip(ε, ±c)),  a' what the data did in s'
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²]
    actor    maximise  λ E[minᵢ Qᵢ(s, π(s))] - β₁ E[|π(s) - a|²],
             λ = 1 / E[|minᵢ Qᵢ(s, π(s))|], once every `delay` critic steps

λ is a number, not a function. |·|² is a sum over the entries of an action, where TD3+BC
has their mean. Three hidden layers, LayerNorm in the critics, large batches.

Tarasov, Kurenkov, Nikulin & Kolesnikov, 2023. https://arxiv.org/abs/2305.09836; what
the paper leaves open is taken from the authors' code.

Deliberately different: where an episode was cut by time, what the data would have done
next is not known, and β₂ is left out there (the authors leave out the step); weights
begin, and normalised layers are ordered, as in our TD3; one step size for both; the
networks see actions in units of their bounds.

Reference scores: D4RL locomotion 89.7, antmaze 78.4 (final scores of CORL); the paper
chooses β₁ and β₂ for each dataset: `docs/results.md`.
"""

import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...core import (
    Algorithm,
    Arrays,
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
from ...data import Replay
from ...nets import Ensemble, Vision
from ...ops import Number, Standard, Standardised
from ..online import td3
from ..online.td3 import Actor, Critic, in_units, smoothed, TD3


class State(eqx.Module):
    td3: td3.State
    standard: Standard


def target(
    actor: Actor,
    critic: Ensemble[Critic],
    steps: Transition,
    done_next: Float[Array, "batch act"],
    *,
    gamma: Number,
    beta: Number,
    noise: Number,
    clip: Number,
    key: Key,
) -> Float[Arrays, " batch"]:
    """`y`; `done_next` is what the data did after each step, where that is known."""
    action = smoothed(actor, steps.next_obs, noise=noise, clip=clip, key=key)
    value = jax.vmap(critic)(steps.next_obs, action).min(axis=-1)
    strayed = jnp.square(action - done_next).sum(axis=-1)
    value = value - beta * jnp.where(steps.over, 0.0, strayed)
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)


def actor_loss(
    actor: Actor, critic: Ensemble[Critic], steps: Transition, *, beta: Number
) -> Float[Array, ""]:
    """`β₁ E[|π(s) - a|²] - λ E[minᵢ Qᵢ(s, π(s))]`."""
    action = jax.vmap(actor)(steps.obs)
    value = jax.vmap(critic)(steps.obs, action).min(axis=-1)
    weight = jax.lax.stop_gradient(1 / jnp.abs(value).mean())
    strayed = jnp.square(action - steps.action).sum(axis=-1)
    return beta * strayed.mean() - weight * value.mean()


class ReBRAC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    actor_beta: NonNegative = 0.01
    """Weight of the cloned error in the actor's loss, β₁."""
    critic_beta: NonNegative = 0.01
    """Weight of the same in the critics' target, β₂."""
    learning_rate: Positive = 1e-3
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
    batch: Count = 1024
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256, 256)
    """Widths of the hidden layers of actor and critics each."""
    layer_norm: bool = True
    """LayerNorm after every hidden layer of the critics."""
    standardise: bool = False
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
            hidden=self.hidden,
            layer_norm=self.layer_norm,
            vision=self.vision,
        )

    def store(self, spec: Spec) -> Store[Any, Sample]:
        """Windows of two steps: the second tells what was done in the successor."""
        return Replay(self.capacity, self.batch, self.warmup, window=2)

    def init(self, spec: Spec, *, key: Key) -> State:
        standard = Standard.known(spec, use=self.standardise)
        return State(self.td3.init(spec, key=key), standard)

    def policy(self, state: State) -> Standardised:
        return Standardised(self.td3.policy(state.td3), state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        windows = state.standard.steps(batch.steps)
        space, hp = state.td3.actor.net.space, self.td3
        at = lambda i: jax.tree.map(lambda x: x[:, i], windows)
        steps, following = (in_units(at(i), space) for i in range(2))
        y = target(
            state.td3.target_actor,
            state.td3.target_critic,
            steps,
            following.action,
            gamma=hp.gamma,
            beta=self.critic_beta,
            noise=hp.target_noise,
            clip=hp.target_clip,
            key=key,
        )
        loss = functools.partial(actor_loss, beta=self.actor_beta)
        learned, report = td3.learn(hp, state.td3, steps, y, batch.weight, loss)
        return State(learned, state.standard), report
