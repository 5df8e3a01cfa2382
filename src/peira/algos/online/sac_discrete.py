"""Soft actor-critic for a finite set of actions: every expectation over actions is a
sum, so nothing is sampled in the update.

    target   y = r + γ (1 - terminated) Σₐ π(a|s') (minᵢ Q̄ᵢ(s', a) - α log π(a|s'))
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²] / 2
    actor    minimise  E Σₐ π(a|s) (α log π(a|s) - minᵢ Qᵢ(s, a))
    α        minimise  -log α E[Σₐ π(a|s) log π(a|s) + H̄],  H̄ = ratio · log |A|

Differs from `online.sac` in the policy's form only; the temperature is the same.
Christodoulou, 2019. https://arxiv.org/abs/1910.07207 (the paper's target entropy is
0.98 log |A|). Reference scores: `docs/results.md`.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    Count,
    Discrete,
    fold,
    Key,
    Obs,
    Policy,
    Positive,
    Report,
    Sample,
    Spec,
    Store,
    TimeStep,
    Unit,
    Whole,
    Widths,
)
from ...data import Replay
from ...nets import Encoder, Ensemble, fan_in, MLP, Vision
from ...ops import Categorical, descend, Number, polyak, Trainable, trainable
from . import sac


class Head(eqx.Module):
    """One number for every action: preferences of the actor, values of a critic."""

    encoder: Encoder
    body: MLP

    def __call__(self, obs: Obs) -> Float[Array, " action"]:
        return self.body(self.encoder(obs))


class State(eqx.Module):
    actor: Trainable[Head]
    critic: Trainable[Ensemble[Head]]
    target_critic: Ensemble[Head]
    log_alpha: Trainable[Float[Array, ""]]
    step: Int[Array, ""]


class Stochastic(Policy[tuple[()]]):
    """Samples when exploring, takes the likeliest action when showing; before the
    first update any legal action."""

    actor: Head
    untrained: Array

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        logits = self.actor(t.obs)
        if not explore:
            return Categorical(logits, t.legal).mode(), carry, ()
        pi = Categorical(jnp.where(self.untrained, 0.0, logits), t.legal)
        return pi.sample(key=key), carry, ()

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""]:
        """Of a choice when exploring."""
        logits = jnp.where(self.untrained, 0.0, self.actor(t.obs))
        return Categorical(logits, t.legal).log_prob(action)


def soft_value(
    pi: Categorical, q: Float[Array, "member action"], alpha: Number
) -> Float[Array, ""]:
    """`Σₐ π(a) (minᵢ Qᵢ(a) - α log π(a))` of one state (eq. 10)."""
    return (jnp.exp(pi.logits) * q.min(axis=0)).sum() + alpha * pi.entropy()


class DiscreteSAC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    learning_rate: Positive = 3e-4
    """Adam's step size for actor, critics and temperature."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    alpha: Positive = 1.0
    """Temperature at the beginning (and for good, unless `automatic`)."""
    automatic: bool = True
    """Adapt the temperature until the policy's entropy meets the target."""
    entropy_ratio: Unit = 0.98
    """Entropy to meet, as a fraction of the largest possible."""
    batch: Count = 64
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps."""
    warmup: Whole = 1_000
    """Steps before the first update; until then actions are random."""
    every: Count = 1
    """Steps between updates, over all environments."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of actor and critics each."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup, self.every)

    def init(self, spec: Spec, *, key: Key) -> State:
        def make(k: Key) -> Head:
            eye = Encoder(spec.obs, init=fan_in, key=fold(k, "eye"), vision=self.vision)
            return Head(eye, MLP([eye.size, *self.hidden, spec.action.n], key=k))

        critic = Ensemble(make, 2, key=fold(key, "critic"))
        return State(
            trainable(make(fold(key, "actor")), self.tx),
            trainable(critic, self.tx),
            critic,
            trainable(jnp.log(jnp.array(self.alpha, jnp.float32)), self.tx),
            jnp.array(0, int),
        )

    def policy(self, state: State) -> Stochastic:
        return Stochastic(state.actor.net, state.step == 0)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, rows = batch.steps, jnp.arange(batch.weight.shape[0])
        alpha = jnp.exp(state.log_alpha.net)

        def policies(actor: Head, obs: Obs, legal: Any) -> Categorical:
            return jax.vmap(lambda o, m: Categorical(actor(o), m))(obs, legal)

        pi = policies(state.actor.net, steps.next_obs, steps.next_legal)
        q = jax.vmap(state.target_critic)(steps.next_obs)
        value = jax.vmap(lambda p, q: soft_value(p, q, alpha))(pi, q)
        y = steps.reward + self.gamma * jnp.where(steps.terminated, 0.0, value)

        def bellman(critic: Ensemble[Head]) -> Any:
            q = jax.vmap(critic)(steps.obs)[rows, :, steps.action]
            td = q - y[:, None]
            return (batch.weight * jnp.square(td).sum(axis=-1)).mean() / 2, td

        critic, td = descend(self.tx, state.critic, bellman, rate=self.learning_rate)
        q = jax.vmap(critic.net)(steps.obs)

        def improve(actor: Head) -> Any:
            pi = policies(actor, steps.obs, steps.legal)
            worth = jax.vmap(lambda p, q: soft_value(p, q, alpha))(pi, q)
            return -worth.mean(), jax.vmap(lambda p: p.entropy())(pi).mean()

        actor, entropy = descend(self.tx, state.actor, improve, rate=self.learning_rate)
        log_alpha = state.log_alpha
        if self.automatic:
            wanted = self.entropy_ratio * jnp.log(q.shape[-1])
            log_alpha, _ = descend(
                self.tx,
                log_alpha,
                lambda la: sac.alpha_loss(la, -entropy, wanted),
                rate=self.learning_rate,
            )
        state = State(
            actor,
            critic,
            polyak(state.target_critic, critic.net, self.tau),
            log_alpha,
            state.step + 1,
        )
        report = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean() / 2,
            "value": (td + y[:, None]).mean(),
            "entropy": entropy,
            "alpha": alpha,
        }
        return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))
