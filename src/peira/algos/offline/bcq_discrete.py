"""Batch-constrained deep Q-learning for a finite set of actions: those are never asked
for that the data would hardly ever take.

    allowed  A(s) = {a : G(a|s) / max G(·|s) > τ},  G a clone of the behaviour
    target   y = r + γ (1 - terminated) Q̄(s', argmax Q(s', ·) over A(s'))
    loss     E[Huber(Q(s, a) - y)] - E[log G(a|s)] + θ E[i²],  G = softmax(i)
    act      argmax Q(s, ·) over A(s)

Fujimoto, Conti, Ghavamzadeh & Pineau, 2019. https://arxiv.org/abs/1910.01708
(algorithm 1). The defaults are those of the authors' code for vectors; their Atari
setting is `--learning-rate 6.25e-5 --batch 32 --tau 1 --target-every 8000` (with Adam's
ε at 1.5e-4, which is fixed here at 1e-8). Images pass through one CNN for both heads.

Deliberately different: actions the environment forbids are never allowed.

Reference scores: `docs/algorithms/bcq_discrete.md`.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from ...core import (
    Algorithm,
    Count,
    Discrete,
    fold,
    Key,
    NonNegative,
    Obs,
    Positive,
    Report,
    Sample,
    Spec,
    Store,
    Unit,
    Whole,
    Widths,
)
from ...data import Replay
from ...nets import Encoder, fan_in, MLP, Vision
from ...ops import Categorical, descend, Number, polyak, Trainable, trainable, when
from ..online.dqn import EpsilonGreedy, NEVER


class Heads(eqx.Module):
    """The value of every action, and how the data would choose."""

    encoder: Encoder
    value: MLP
    clone: MLP

    def __call__(
        self, obs: Obs
    ) -> tuple[Float[Array, " action"], Float[Array, " action"]]:
        x = self.encoder(obs)
        return self.value(x), self.clone(x)


class Constrained(eqx.Module):
    """The value of every allowed action; of no other."""

    heads: Heads
    threshold: Number

    def __call__(self, obs: Obs, legal: Any = None) -> Float[Array, " action"]:
        q, logits = self.heads(obs)
        return jnp.where(allowed(logits, legal, self.threshold), q, NEVER)


class State(eqx.Module):
    heads: Trainable[Heads]
    target: Heads
    step: Int[Array, ""]


def allowed(
    logits: Float[Array, " action"], legal: Any, threshold: Number
) -> Bool[Array, " action"]:
    """`G(a) / max G > τ`, for legal actions."""
    clone = Categorical(logits, legal).logits
    likely = jnp.exp(clone - clone.max()) > threshold
    return likely if legal is None else likely & legal


class DiscreteBCQ(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    threshold: Unit = 0.3
    """An action is allowed if it is so likely, in units of the likeliest one; 0 allows
    everything, and near 1 only what the data do most."""
    logit_cost: NonNegative = 1e-2
    """Weight of the clone's squared logits in the loss."""
    learning_rate: Positive = 3e-4
    """Adam's step size."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """How far the target network moves, each time it does."""
    target_every: Count = 1
    """Updates between moves of the target network."""
    epsilon: Unit = 0.1
    """Chance of any action, where an environment is learned from too."""
    batch: Count = 64
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of each head."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup)

    def init(self, spec: Spec, *, key: Key) -> State:
        eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"), vision=self.vision)
        sizes = [eye.size, *self.hidden, spec.action.n]
        value, clone = (MLP(sizes, key=fold(key, name)) for name in ("value", "clone"))
        heads = Heads(eye, value, clone)
        return State(trainable(heads, self.tx), heads, jnp.array(0, int))

    def policy(self, state: State) -> EpsilonGreedy:
        net = Constrained(state.heads.net, jnp.asarray(self.threshold))
        chance = jnp.where(state.step == 0, 1.0, self.epsilon)
        return EpsilonGreedy(net, chance)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, rows = batch.steps, jnp.arange(batch.weight.shape[0])
        chooser = Constrained(state.heads.net, self.threshold)
        choice = jax.vmap(chooser)(steps.next_obs, steps.next_legal).argmax(axis=-1)
        next_q, _ = jax.vmap(state.target)(steps.next_obs)
        y = steps.reward + self.gamma * jnp.where(
            steps.terminated, 0.0, next_q[rows, choice]
        )

        def loss(heads: Heads) -> Any:
            q, logits = jax.vmap(heads)(steps.obs)
            q = q[rows, steps.action]
            clone = jax.vmap(lambda i, m: Categorical(i, m).logits)(logits, steps.legal)
            likely = clone[rows, steps.action].mean()
            value = (batch.weight * optax.losses.huber_loss(q, y)).mean()
            size = self.logit_cost * jnp.square(logits).mean()
            return value - likely + size, (q - y, likely)

        heads, (td, likely) = descend(
            self.tx, state.heads, loss, rate=self.learning_rate
        )
        step = state.step + 1
        moved = when(
            step % self.target_every == 0,
            lambda old: polyak(old, heads.net, self.tau),
            state.target,
        )
        report = {
            "td_error": jnp.abs(td).mean(),
            "value": (td + y).mean(),
            "log_likelihood": likely,
        }
        return State(heads, moved, step), Report(report, surprise=jnp.abs(td))
