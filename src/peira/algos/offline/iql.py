"""Implicit Q-learning, for numbers and for choices.

    value    minimise  E[L_τ(minᵢ Q̄ᵢ(s, a) - V(s))],  L_τ(u) = |τ - 1(u < 0)| u²
    actor    maximise  E[min(exp(β (minᵢ Q̄ᵢ(s, a) - V(s))), 100) log π(a|s)]
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²],  y = r + γ (1 - terminated) V(s')
    targets  move after every step

in the order of the authors' code. V is an upper expectile over the actions in the data:
their best as τ goes to 1, and no other action is ever asked for.

Kostrikov, Nair & Levine, 2021. https://arxiv.org/abs/2110.06169 (eqs. 5 to 7). As in
the authors' code: the actor is a normal with mean in the bounds and one standard
deviation for all states, its step size falls along a cosine, and rewards are scaled so
that the returns in the dataset span 1000. Its settings for AntMaze are `--expectile 0.9
--inverse-temperature 10 --no-scale-rewards`, with 1 taken from every reward.

Deliberately different: weights begin as everywhere here (uniform, by fan-in; there
orthogonal), the networks see actions in units of their bounds, and there is no dropout
(which the paper has for Kitchen and Adroit). For choices, which the paper leaves open,
the actor is a softmax and the critic has a value for each.

Reference scores: the paper's tables (D4RL); `docs/results.md`.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    Arrays,
    Box,
    Count,
    Discrete,
    fold,
    Key,
    NonNegative,
    Obs,
    Policy,
    Positive,
    Report,
    Sample,
    Spec,
    Store,
    TimeStep,
    Transition,
    Unit,
    Whole,
    Widths,
)
from ...data import Replay
from ...nets import Encoder, Ensemble, fan_in, MLP, Vision
from ...ops import (
    Categorical,
    descend,
    expectile_loss,
    Gaussian,
    Number,
    polyak,
    scale,
    Standard,
    Standardised,
    Trainable,
    trainable,
)
from ..online.sac_discrete import Head
from ..online.td3 import critic_loss, in_units, twins


LOG_STD = (-5.0, 2.0)  # the authors' bounds
SPAN = 1000.0  # between the highest and the lowest return, after scaling

Distribution = Gaussian | Categorical
Acting = Callable[[Obs, Any], Distribution]


class Actor(eqx.Module):
    """A normal around a point in `[-1, 1]`, or a preference for each choice."""

    encoder: Encoder
    body: MLP
    log_std: Float[Array, " act"]
    space: Box | Discrete = eqx.field(static=True)

    def __call__(self, obs: Obs, legal: Any = None) -> Distribution:
        out = self.body(self.encoder(obs))
        if isinstance(self.space, Discrete):
            return Categorical(out, legal)
        return Gaussian(jnp.tanh(out), jnp.clip(self.log_std, *LOG_STD))


class Value(eqx.Module):
    """The value of a state."""

    encoder: Encoder
    body: MLP

    def __call__(self, obs: Obs) -> Float[Array, ""]:
        return self.body(self.encoder(obs))[0]


class Chosen(eqx.Module):
    """The value of one choice."""

    head: Head

    def __call__(self, obs: Obs, action: Int[Array, ""]) -> Float[Array, ""]:
        return self.head(obs)[action]


class State(eqx.Module):
    actor: Trainable[Actor]
    critic: Trainable[Ensemble]
    value: Trainable[Value]
    target_critic: Ensemble
    standard: Standard
    unit: Float[Array, ""]
    """What a reward of one is learned as."""
    step: Int[Array, ""]
    horizon: Int[Array, ""]


class Stochastic(Policy[tuple[()]]):
    """Samples when exploring, takes the likeliest action when showing; before the
    first update anything that is allowed."""

    actor: Acting
    space: Box | Discrete = eqx.field(static=True)
    untrained: Array

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        pi = self.actor(t.obs, t.legal)
        choice = pi.mode()
        if explore:
            k_sample, k_any = jr.split(key)
            anything = self.anything(pi, t.legal, key=k_any)
            choice = jnp.where(self.untrained, anything, pi.sample(key=k_sample))
        if isinstance(self.space, Discrete):
            return choice, carry, ()
        unit = jnp.clip(choice, -1.0, 1.0).reshape(self.space.shape)
        return scale(self.space, unit), carry, ()

    def anything(self, pi: Distribution, legal: Any, *, key: Key) -> Array:
        """Any choice or number that is allowed, each as likely."""
        if isinstance(pi, Categorical):
            return Categorical(jnp.zeros_like(pi.logits), legal).sample(key=key)
        return jr.uniform(key, pi.mean.shape, minval=-1.0, maxval=1.0)


def value_loss(
    value: Value,
    obs: Obs,
    q: Float[Array, " batch"],
    weight: Float[Arrays, " batch"],
    *,
    expectile: Number,
) -> tuple[Float[Array, ""], tuple[()]]:
    """`E[w L_τ(Q̄ - V)]` (eq. 5)."""
    miss = expectile_loss(q - jax.vmap(value)(obs), expectile)
    return (weight * miss).mean(), ()


def actor_loss(
    actor: Acting, steps: Transition, weight: Float[Arrays, " batch"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`-E[w log π(a|s)]` (eq. 7) and `E[log π(a|s)]`."""
    pi = jax.vmap(actor)(steps.obs, steps.legal)
    log_prob = jax.vmap(lambda p, a: p.log_prob(a))(pi, steps.action)
    return -(weight * log_prob).mean(), log_prob.mean()


def unit_of(spec: Spec) -> float:
    """What makes the returns of a dataset span 1000; 1 where they are all the same."""
    known = spec.data
    if known is None or known.best <= known.worst:
        return 1.0
    return SPAN / (known.best - known.worst)


class IQL(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box, Discrete})
    version: ClassVar = 1

    expectile: Unit = 0.7
    """τ of the value: 0.5 is the behaviour's own value, 1 that of its best actions."""
    inverse_temperature: NonNegative = 3.0
    """β: how much an advantage counts in cloning; 0 is behaviour cloning."""
    max_weight: Positive = 100.0
    """Largest weight of an action in cloning."""
    learning_rate: Positive = 3e-4
    """Adam's step size, of all networks."""
    anneal: bool = True
    """The actor's step size falls to zero over the run, along a cosine."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    batch: Count = 256
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of each network."""
    scale_rewards: bool = True
    """Scale rewards so that the returns in the dataset span 1000."""
    standardise: bool = False
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup)

    def init(self, spec: Spec, *, key: Key) -> State:
        def eye(k: Key) -> Encoder:
            return Encoder(
                spec.obs, init=fan_in, key=fold(k, "eye"), vision=self.vision
            )

        def body(n: int, k: Key) -> tuple[Encoder, MLP]:
            encoder = eye(k)
            return encoder, MLP([encoder.size, *self.hidden, n], key=k)

        k_actor, k_critic, k_value = (
            fold(key, n) for n in ("actor", "critic", "value")
        )
        if isinstance(spec.action, Discrete):
            n, real = spec.action.n, 0
            make = lambda k: Chosen(Head(*body(n, k)))
            critic = Ensemble(make, 2, key=k_critic)
        else:
            n = real = spec.action.size
            critic = twins(spec, self.hidden, self.vision, False, key=k_critic)
        return State(
            trainable(Actor(*body(n, k_actor), jnp.zeros(real), spec.action), self.tx),
            trainable(critic, self.tx),
            trainable(Value(*body(1, k_value)), self.tx),
            critic,
            Standard.known(spec, use=self.standardise),
            jnp.array(unit_of(spec) if self.scale_rewards else 1.0, float),
            jnp.array(0, int),
            jnp.array(spec.updates, int),
        )

    def policy(self, state: State) -> Standardised:
        actor = state.actor.net
        policy = Stochastic(actor, actor.space, state.step == 0)
        return Standardised(policy, state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        space = state.actor.net.space
        steps, weight = state.standard.steps(batch.steps), batch.weight
        if isinstance(space, Box):
            steps = in_units(steps, space)

        q = jax.vmap(state.target_critic)(steps.obs, steps.action).min(axis=-1)
        value, _ = descend(
            self.tx,
            state.value,
            lambda v: value_loss(v, steps.obs, q, weight, expectile=self.expectile),
            rate=self.learning_rate,
        )
        advantage = q - jax.vmap(value.net)(steps.obs)
        count = jnp.exp(self.inverse_temperature * advantage)
        count = jnp.minimum(count, self.max_weight)
        actor, log_prob = descend(
            self.tx,
            state.actor,
            lambda pi: actor_loss(pi, steps, weight * count),
            rate=self.learning_rate * self._left(state),
        )
        after = jnp.where(steps.terminated, 0.0, jax.vmap(value.net)(steps.next_obs))
        y = state.unit * steps.reward + self.gamma * after
        critic, td = descend(
            self.tx,
            state.critic,
            lambda c: critic_loss(c, steps.obs, steps.action, y, weight),
            rate=self.learning_rate,
        )
        report = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean(),
            "value": (td + y[:, None]).mean() / state.unit,
            "advantage": advantage.mean() / state.unit,
            "weight": count.mean(),
            "log_prob": log_prob,
        }
        state = State(
            actor,
            critic,
            value,
            polyak(state.target_critic, critic.net, self.tau),
            state.standard,
            state.unit,
            state.step + 1,
            state.horizon,
        )
        return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))

    def _left(self, state: State) -> Number:
        """The share of the step size that is left."""
        if not self.anneal:
            return 1.0
        done = jnp.minimum(state.step / state.horizon, 1.0)
        return 0.5 * (1 + jnp.cos(jnp.pi * done))
