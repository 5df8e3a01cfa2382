"""Soft actor-critic with automatic temperature.

    target   y = r + γ (1 - terminated) (minᵢ Q̄ᵢ(s', a') - α log π(a'|s')),  a' ~ π(s')
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²] / 2
    actor    minimise  E[α log π(a|s) - minᵢ Qᵢ(s, a)],  a = tanh(μ(s) + σ(s) ε)
    α        minimise  -log α E[log π(a|s) + H̄],  H̄ = -dim(A)
    targets  move by τ after every step

or, with histograms m of y and p of what a critic says (`online.values`),

    critic   minimise  Σᵢ E[H(m, pᵢ(s, a))], H the cross-entropy

Haarnoja et al., 2018b, algorithm 1. https://arxiv.org/abs/1812.05905 (the first paper,
https://arxiv.org/abs/1801.01290, has a fixed temperature and a value network).

Deliberately different: the temperature's loss is in log α, as in the authors' code,
which keeps α positive; the networks see actions in units of their bounds.

Reference scores: the paper's fig. 1 (curves only); `docs/results.md`.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

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
    fold,
    Key,
    Obs,
    Policy,
    Positive,
    Range,
    Real,
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
    descend,
    Number,
    polyak,
    scale,
    TanhGaussian,
    Trainable,
    trainable,
    unscale,
)
from .td3 import Critic, critic_loss, in_units, twins
from .values import cross_entropy, ValueLoss, Values


LOG_STD = (-20.0, 2.0)  # the authors' bounds
EDGE = 1 - 1e-6  # an action at a bound is taken for one just within


class Actor(eqx.Module):
    """A squashed normal over `[-1, 1]`, the bounds of `space`."""

    encoder: Encoder
    body: MLP
    space: Box = eqx.field(static=True)

    def __call__(self, obs: Obs) -> TanhGaussian:
        mean, log_std = jnp.split(self.body(self.encoder(obs)), 2)
        return TanhGaussian(mean, jnp.clip(log_std, *LOG_STD))


class State(eqx.Module):
    actor: Trainable[Actor]
    critic: Trainable[Ensemble[Critic]]
    target_critic: Ensemble[Critic]
    log_alpha: Trainable[Float[Array, ""]]
    step: Int[Array, ""]


class Stochastic(Policy[tuple[()]]):
    """Samples when exploring, takes the squashed mean when showing; before the first
    update anything within the bounds."""

    actor: Actor
    untrained: Array

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        pi = self.actor(t.obs)
        unit = pi.mode()
        if explore:
            k_sample, k_any = jr.split(key)
            drawn, _ = pi.sample_and_log_prob(key=k_sample)
            anything = jr.uniform(k_any, unit.shape, minval=-1.0, maxval=1.0)
            unit = jnp.where(self.untrained, anything, drawn)
        box = self.actor.space
        return scale(box, unit.reshape(box.shape)), carry, ()

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""]:
        """The density of an action when exploring, in the action's own units."""
        box = self.actor.space
        low, high = jnp.asarray(box.low).ravel(), jnp.asarray(box.high).ravel()
        unit = jnp.clip(unscale(box, action).ravel(), -EDGE, EDGE)
        said = self.actor(t.obs).log_prob(unit)
        uniform = -jnp.log(2.0) * box.size
        return (
            jnp.where(self.untrained, uniform, said) + jnp.log(2 / (high - low)).sum()
        )


def draw(
    actor: Actor, obs: Obs, *, key: Key
) -> tuple[Float[Array, "batch act"], Float[Array, " batch"]]:
    """An action for each observation, and its log-probability."""
    pi = jax.vmap(actor)(obs)
    keys = jr.split(key, pi.mean.shape[0])
    return jax.vmap(lambda p, k: p.sample_and_log_prob(key=k))(pi, keys)


def target(
    actor: Actor,
    critic: Ensemble[Critic],
    steps: Transition,
    alpha: Number,
    *,
    gamma: Number,
    key: Key,
) -> Float[Arrays, " batch"]:
    """`y`: the entropy of the next action is part of its worth (eqs. 3 and 5)."""
    action, log_prob = draw(actor, steps.next_obs, key=key)
    value = jax.vmap(critic)(steps.next_obs, action).min(axis=-1) - alpha * log_prob
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)


def actor_loss(
    actor: Actor, critic: Ensemble[Critic], obs: Obs, alpha: Number, *, key: Key
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`E[α log π - min Q]` (eq. 7) and `E[log π]`."""
    action, log_prob = draw(actor, obs, key=key)
    value = jax.vmap(critic)(obs, action).min(axis=-1)
    return (alpha * log_prob - value).mean(), log_prob.mean()


def alpha_loss(
    log_alpha: Float[Array, ""], log_prob: Float[Array, ""], entropy: Number
) -> tuple[Float[Array, ""], tuple[()]]:
    """`-log α (E[log π] + H̄)`: up while the policy is too certain."""
    return -log_alpha * (log_prob + entropy), ()


CriticLoss = Callable[
    [Ensemble[Critic], Transition, Float[Arrays, " batch"], Float[Arrays, " batch"]],
    tuple[Float[Array, ""], Float[Array, "batch member"]],
]


def bellman(
    critic: Ensemble[Critic],
    steps: Transition,
    y: Float[Arrays, " batch"],
    weight: Float[Arrays, " batch"],
) -> tuple[Float[Array, ""], Float[Array, "batch member"]]:
    """`Σᵢ E[w (Qᵢ - y)²] / 2` and the errors (eq. 5)."""
    total, td = critic_loss(critic, steps.obs, steps.action, y, weight)
    return total / 2, td


class SAC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
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
    target_entropy: Real | None = None
    """Entropy to meet; None is minus the number of action entries."""
    batch: Count = 256
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps."""
    warmup: Whole = 10_000
    """Steps before the first update; until then actions are random."""
    every: Count = 1
    """Steps between updates, over all environments."""
    value_loss: ValueLoss = "mse"
    """How values are learned: by regression on the target, or as a histogram by its
    cross-entropy."""
    value_low: Real | None = None
    """Histograms: the lowest value there is, entropy included."""
    value_high: Real | None = None
    """Histograms: the highest value there is, entropy included."""
    bins: Annotated[int, Range(2)] = 51
    """Histograms: numbers from the lowest to the highest."""
    sigma: Positive = 0.75
    """HL-Gauss: deviation of the normal, in distances of two numbers."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of actor and critics each."""
    layer_norm: bool = False
    """LayerNorm after every hidden layer of the critics."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    def __check_init__(self):
        self.values.check("SAC")

    @property
    def values(self) -> Values:
        low, high = self.value_low, self.value_high
        return Values(self.value_loss, low, high, self.bins, self.sigma)

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup, self.every)

    def init(self, spec: Spec, *, key: Key) -> State:
        return begin(self, spec, key=key)

    def policy(self, state: State) -> Stochastic:
        return Stochastic(state.actor.net, state.step == 0)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        loss = bellman
        if self.value_loss != "mse":
            loss = functools.partial(cross_entropy, values=self.values)
        return step(self, state, batch, loss, key=key)


def begin(hp: SAC, spec: Spec, *, key: Key, members: int = 2) -> State:
    """An actor and so many critics that have learned nothing."""
    k_actor = fold(key, "actor")
    eye = Encoder(spec.obs, init=fan_in, key=fold(k_actor, "eye"), vision=hp.vision)
    body = MLP([eye.size, *hp.hidden, 2 * spec.action.size], key=k_actor)
    actor = Actor(eye, body, spec.action)
    critic = twins(
        spec,
        hp.hidden,
        hp.vision,
        hp.layer_norm,
        key=fold(key, "critic"),
        members=members,
        outputs=hp.values.outputs,
    )
    return State(
        trainable(actor, hp.tx),
        trainable(critic, hp.tx),
        critic,
        trainable(jnp.log(jnp.array(hp.alpha, jnp.float32)), hp.tx),
        jnp.array(0, int),
    )


def step(
    hp: SAC, state: State, batch: Sample, loss: CriticLoss, *, key: Key
) -> tuple[State, Report]:
    """The critics a step down `loss`, then the actor, the temperature, the targets."""
    steps = in_units(batch.steps, state.actor.net.space)
    alpha = jnp.exp(state.log_alpha.net)
    k_target, k_actor = jr.split(key)
    y = target(
        state.actor.net,
        hp.values.read(state.target_critic),
        steps,
        alpha,
        gamma=hp.gamma,
        key=k_target,
    )
    critic, td = descend(
        hp.tx,
        state.critic,
        lambda q: loss(q, steps, y, batch.weight),
        rate=hp.learning_rate,
    )
    values = hp.values.read(critic.net)
    actor, log_prob = descend(
        hp.tx,
        state.actor,
        lambda pi: actor_loss(pi, values, steps.obs, alpha, key=k_actor),
        rate=hp.learning_rate,
    )
    log_alpha = state.log_alpha
    if hp.automatic:
        entropy = hp.target_entropy
        if entropy is None:
            entropy = -float(steps.action.shape[-1])
        log_alpha, _ = descend(
            hp.tx,
            log_alpha,
            lambda la: alpha_loss(la, log_prob, entropy),
            rate=hp.learning_rate,
        )
    after = polyak(state.target_critic, critic.net, hp.tau)
    state = State(actor, critic, after, log_alpha, state.step + 1)
    report = {
        "critic_loss": jnp.square(td).sum(axis=-1).mean() / 2,
        "value": (td + y[:, None]).mean(),
        "entropy": -log_prob,
        "alpha": alpha,
    }
    return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))
