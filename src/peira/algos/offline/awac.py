"""Advantage-weighted actor-critic.

    target   y = r + γ (1 - terminated) minᵢ Q̄ᵢ(s', a'),  a' ~ π(s')
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²]
    actor    maximise  E[w log π(a|s)],  w ∝ exp(A(s, a) / λ)
             A(s, a) = minᵢ Qᵢ(s, a) - minᵢ Qᵢ(s, ã),  ã ~ π(s)
    targets  move after every step

Nair, Gupta, Dalal & Levine, 2020. https://arxiv.org/abs/2006.09359 (algorithm 1). Where
the authors' code differs from the paper, this is the code: the weights of a batch are
a softmax times its size (in the paper each is exp(A / λ): `--no-normalise`, here with
a largest weight); the value of a state is that of one sampled action; the smaller of
two critics is believed in both terms; the actor's weights decay, as a term of the
gradient. The actor is a normal with mean in the bounds and one standard deviation for
all states, between e⁻⁶ and 1, beginning at e⁻³.

Deliberately different: the critics step before the actor, as in the paper's box (the
code takes both gradients first); the networks see actions in units of their bounds.

Reference scores: `docs/results.md`.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Algorithm,
    Arrays,
    Box,
    Count,
    fold,
    Key,
    NonNegative,
    Obs,
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
from ...nets import Encoder, Ensemble, fan_in, MLP, Vision
from ...ops import (
    descend,
    Gaussian,
    Number,
    polyak,
    Standard,
    Standardised,
    Trainable,
    trainable,
)
from ..online.td3 import Critic, critic_loss, in_units, twins
from .iql import actor_loss, Stochastic


LOG_STD = (-6.0, 0.0)  # the authors' bounds


class Actor(eqx.Module):
    """A normal around a point in `[-1, 1]`, the bounds of `space`; how wide it is, as a
    logit between the narrowest and the widest."""

    encoder: Encoder
    body: MLP
    width: Float[Array, " act"]
    space: Box = eqx.field(static=True)

    def __call__(self, obs: Obs, legal: Any = None) -> Gaussian:
        low, high = LOG_STD
        log_std = low + (high - low) * jax.nn.sigmoid(self.width)
        return Gaussian(jnp.tanh(self.body(self.encoder(obs))), log_std)


class State(eqx.Module):
    actor: Trainable[Actor]
    critic: Trainable[Ensemble[Critic]]
    target_critic: Ensemble[Critic]
    standard: Standard
    step: Int[Array, ""]


def worth(
    actor: Actor, critic: Ensemble[Critic], obs: Obs, *, key: Key
) -> Float[Array, " batch"]:
    """`minᵢ Qᵢ(s, a)` of one action `a ~ π(s)` in each state."""
    pi = jax.vmap(actor)(obs)
    keys = jr.split(key, pi.mean.shape[0])
    action = jax.vmap(lambda p, k: p.sample(key=k))(pi, keys)
    return jax.vmap(critic)(obs, action).min(axis=-1)


def advantages(
    actor: Actor, critic: Ensemble[Critic], steps: Transition, *, key: Key
) -> Float[Array, " batch"]:
    """`A(s, a)`: how much better the data's action is than one of the actor's."""
    q = jax.vmap(critic)(steps.obs, steps.action).min(axis=-1)
    return q - worth(actor, critic, steps.obs, key=key)


def softmax_weights(
    advantage: Float[Arrays, " batch"], *, temperature: Number
) -> Float[Array, " batch"]:
    """`exp(A / λ)` as multiples of its mean over the batch."""
    return jax.nn.softmax(advantage / temperature) * advantage.shape[0]


def plain_weights(
    advantage: Float[Arrays, " batch"], *, temperature: Number, most: Number
) -> Float[Array, " batch"]:
    """`exp(A / λ)`, but not more than `most`."""
    return jnp.minimum(jnp.exp(advantage / temperature), most)


class AWAC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    temperature: Positive = 1.0
    """λ: the smaller, the more an advantage counts in cloning."""
    normalise: bool = True
    """Weights are a softmax over the batch, as in the authors' code; off, each is the
    paper's exp(A / λ)."""
    max_weight: Positive = 100.0
    """Largest weight of an action in cloning, where they are not normalised."""
    learning_rate: Positive = 3e-4
    """Adam's step size, actor and critics alike."""
    weight_decay: NonNegative = 1e-4
    """Pull of the actor's weights towards zero, added to their gradient."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    batch: Count = 1024
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256, 256, 256)
    """Widths of the hidden layers of the actor."""
    critic_hidden: Widths = (256, 256)
    """Widths of the hidden layers of each critic."""
    standardise: bool = False
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    @property
    def actor_tx(self) -> optax.GradientTransformation:
        return optax.chain(optax.add_decayed_weights(self.weight_decay), self.tx)

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup)

    def init(self, spec: Spec, *, key: Key) -> State:
        k_actor, n = fold(key, "actor"), spec.action.size
        eye = Encoder(
            spec.obs, init=fan_in, key=fold(k_actor, "eye"), vision=self.vision
        )
        body = MLP([eye.size, *self.hidden, n], key=k_actor)
        actor = Actor(eye, body, jnp.zeros(n), spec.action)
        critic = twins(
            spec, self.critic_hidden, self.vision, False, key=fold(key, "critic")
        )
        return State(
            trainable(actor, self.actor_tx),
            trainable(critic, self.tx),
            critic,
            Standard.known(spec, use=self.standardise),
            jnp.array(0, int),
        )

    def policy(self, state: State) -> Standardised:
        actor = state.actor.net
        policy = Stochastic(actor, actor.space, state.step == 0)
        return Standardised(policy, state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        k_next, k_now = jr.split(key)
        old = state.actor.net
        steps = in_units(state.standard.steps(batch.steps), old.space)

        after = worth(old, state.target_critic, steps.next_obs, key=k_next)
        y = steps.reward + self.gamma * jnp.where(steps.terminated, 0.0, after)
        critic, td = descend(
            self.tx,
            state.critic,
            lambda c: critic_loss(c, steps.obs, steps.action, y, batch.weight),
            rate=self.learning_rate,
        )
        advantage = advantages(old, critic.net, steps, key=k_now)
        count = self._weights(advantage)
        actor, log_prob = descend(
            self.actor_tx,
            state.actor,
            lambda pi: actor_loss(pi, steps, batch.weight * count),
            rate=self.learning_rate,
        )
        state = State(
            actor,
            critic,
            polyak(state.target_critic, critic.net, self.tau),
            state.standard,
            state.step + 1,
        )
        report = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean(),
            "value": (td + y[:, None]).mean(),
            "advantage": advantage.mean(),
            "largest_weight": count.max(),
            "log_prob": log_prob,
        }
        return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))

    def _weights(self, advantage: Float[Arrays, " batch"]) -> Float[Array, " batch"]:
        if self.normalise:
            return softmax_weights(advantage, temperature=self.temperature)
        return plain_weights(
            advantage, temperature=self.temperature, most=self.max_weight
        )
