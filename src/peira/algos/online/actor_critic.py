"""What PPO and TRPO have in common: a policy and the value of states, learned from one
rollout after another, and the code-level options around it.

Observations and rewards are scaled by statistics that are fixed during a rollout and
what is learned from it; the bootstrap goes through time limits to the true successor;
actions of a Box are unbounded in units of its bounds, and clipped when executed.

The options: Engstrom et al., 2020, appendix A.1. https://arxiv.org/abs/2005.12729
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PyTree

from ...core import (
    Action,
    BadConfig,
    Box,
    Discrete,
    fold,
    Key,
    Metrics,
    MultiDiscrete,
    Obs,
    Policy,
    Spec,
    Store,
    TimeStep,
    Transition,
    Widths,
)
from ...data import Rollout, ScaledRewards
from ...nets import Encoder, fan_in, MLP, orthogonal, Vision
from ...ops import (
    Categorical,
    gae,
    Gaussian,
    Moments,
    MultiCategorical,
    Number,
    scale,
    Trainable,
)


FAR = 10.0  # at which rewards and observations are clipped, where they are
Activation = Literal["tanh", "relu"]
Distribution = Categorical | MultiCategorical | Gaussian
L = TypeVar("L")


class ActorCritic(eqx.Module):
    """Preferences over actions and the value of a state. What sees is shared (it has
    weights only for images); what decides is not."""

    encoder: Encoder
    actor: MLP
    critic: MLP
    log_std: Float[Array, " act"]
    action: Discrete | MultiDiscrete | Box = eqx.field(static=True)

    def distribution(self, obs: Obs, legal: Any) -> Distribution:
        out = self.actor(self.encoder(obs))
        match self.action:
            case Discrete():
                return Categorical(out, legal)
            case MultiDiscrete(nvec):
                return MultiCategorical(out, nvec, legal)
            case Box():
                return Gaussian(out, self.log_std)

    def value(self, obs: Obs) -> Float[Array, ""]:
        return self.critic(self.encoder(obs))[0]


class State(eqx.Module):
    """The networks, what observations look like, and progress through the schedule."""

    net: Trainable[ActorCritic]
    moments: tuple[Moments, ...]
    step: Int[Array, ""]
    horizon: Int[Array, ""]


class Memory(eqx.Module):
    """What the actor remembers of a step: the action before it was clipped into the
    world's bounds, and how likely it was."""

    choice: Action
    log_prob: Float[Array, "*n"]


class Actor(Policy[tuple[()]]):
    """Samples when exploring, takes the likeliest action when showing."""

    net: ActorCritic
    moments: tuple[Moments, ...]
    clip: float | None = eqx.field(static=True)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], Memory]:
        obs = normalize(self.moments, t.obs, clip=self.clip)
        pi = self.net.distribution(obs, t.legal)
        choice = pi.sample(key=key) if explore else pi.mode()
        space = self.net.action
        action = choice
        if isinstance(space, Box):
            unit = jnp.clip(choice.reshape(space.shape), -1.0, 1.0)
            action = scale(space, unit)
        return action, carry, Memory(choice, pi.log_prob(choice))

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""] | None:
        """Of a choice when exploring; None of real numbers, which are clipped to their
        bounds and so have no density there."""
        if isinstance(self.net.action, Box):
            return None
        obs = normalize(self.moments, t.obs, clip=self.clip)
        return self.net.distribution(obs, t.legal).log_prob(action)


def untrained(
    spec: Spec,
    hidden: Widths,
    vision: Vision,
    activation: Activation,
    *,
    scaled: bool,
    initial_log_std: Number,
    key: Key,
) -> ActorCritic:
    """Networks that have learned nothing; with `scaled`, orthogonal and each layer of
    a size of its own, the actor's last very small."""
    match spec.action:
        case Discrete(n):
            out, real = n, 0
        case MultiDiscrete(nvec):
            out, real = sum(nvec), 0
        case space:
            out = real = space.size
    wide = orthogonal(2**0.5) if scaled else fan_in
    small, one = (orthogonal(0.01), orthogonal(1.0)) if scaled else (fan_in, fan_in)
    encoder = Encoder(spec.obs, init=wide, key=fold(key, "encoder"), vision=vision)

    def mlp(n: int, last: Any, name: str) -> MLP:
        return MLP(
            [encoder.size, *hidden, n],
            activation={"tanh": jnp.tanh, "relu": jax.nn.relu}[activation],
            init=wide,
            last=last,
            key=fold(key, name),
        )

    log_std = jnp.full(real, initial_log_std, float)
    actor, critic = mlp(out, small, "actor"), mlp(1, one, "critic")
    return ActorCritic(encoder, actor, critic, log_std, spec.action)


def unseen(encoder: Encoder) -> tuple[Moments, ...]:
    """What is known of every real-valued part of an observation at first."""
    return tuple(Moments.zero(s.shape) for s in encoder.spaces if s.dtype.kind == "f")


def see(moments: tuple[Moments, ...], obs: Obs) -> tuple[Moments, ...]:
    """Merge a rollout's real-valued observations into what is known of them."""
    real = [x for x in jax.tree.leaves(obs) if is_real(x)]
    return tuple(m.merge(x) for m, x in zip(moments, real, strict=False))


def normalize(moments: tuple[Moments, ...], obs: Obs, *, clip: float | None) -> Obs:
    """Every real-valued part of an observation to zero mean and unit variance."""
    if not moments:
        return obs
    leaves, tree = jax.tree.flatten(obs)
    real = iter(moments)
    out = [next(real).normalize(x, clip=clip) if is_real(x) else x for x in leaves]
    return jax.tree.unflatten(tree, out)


def is_real(x: Array) -> bool:
    """Numbers, not bytes or choices: what normalisation is for."""
    return jnp.issubdtype(x.dtype, jnp.floating)


def kept(
    length: int, *, gamma: float, divide: bool, clip: bool
) -> Store[Any, Transition]:
    """A rollout, its rewards divided by the deviation of their discounted sum, then
    clipped, or only one of these, or neither."""
    rollout = Rollout(length)
    if not (divide or clip):
        return rollout
    return ScaledRewards(rollout, gamma, divide, FAR if clip else None)


class Rows(NamedTuple):
    """The steps of a rollout, `(time, env, ...)` or `(batch, ...)`, and what the
    networks that made them say of them."""

    obs: PyTree
    legal: Bool[Array, "*n action"] | None
    memory: Memory
    value: Float[Array, "*n"]
    advantage: Float[Array, "*n"]
    target: Float[Array, "*n"]

    @property
    def appraised(self) -> Metrics:
        """The mean value, and how much of what came it said beforehand."""
        spread = self.target.var()
        missed = (self.target - self.value).var()
        return {
            "value": self.value.mean(),
            "explained_variance": 1.0 - missed / jnp.maximum(spread, 1e-8),
        }

    def flat(self) -> "Rows":
        """Steps of all environments in one line."""
        n = self.value.size
        return jax.tree.map(lambda x: x.reshape(n, *x.shape[2:]), self)


def rated(
    net: ActorCritic,
    moments: tuple[Moments, ...],
    batch: Transition,
    *,
    gamma: Number,
    lam: Number,
    clip: float | None,
) -> Rows:
    """A rollout with normalised observations, values, advantages and their targets."""
    each = lambda f: jax.vmap(jax.vmap(f))
    seen = each(lambda o: normalize(moments, o, clip=clip))
    obs, next_obs = seen(batch.obs), seen(batch.next_obs)
    value, next_value = each(net.value)(obs), each(net.value)(next_obs)
    estimate = lambda *xs: gae(*xs, gamma=gamma, lam=lam)
    advantage = jax.vmap(estimate, in_axes=1, out_axes=1)(
        batch.reward, value, next_value, batch.terminated, batch.truncated
    )
    target = advantage + value
    return Rows(obs, batch.legal, batch.extras, value, advantage, target)


def standard(advantage: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """To zero mean and unit variance."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def value_loss(
    value: Float[Array, " batch"],
    old_value: Float[Array, " batch"],
    target: Float[Array, " batch"],
    *,
    clip: Number | None,
) -> Float[Array, ""]:
    """`E[(V - V̂)²] / 2`, or the larger of it and the same with V held within `clip` of
    its old value."""
    miss = jnp.square(value - target)
    if clip is not None:
        near = old_value + jnp.clip(value - old_value, -clip, clip)
        miss = jnp.maximum(miss, jnp.square(near - target))
    return 0.5 * miss.mean()


def annealed(rate: Number, state: State, *, anneal: bool) -> Number:
    """The step size, falling linearly to zero over the run where it is annealed."""
    left = 1.0 - state.step / state.horizon if anneal else 1.0
    return rate * jnp.maximum(left, 0.0)


def check_even(name: str, minibatches: int, batch: Transition) -> None:
    """Raise `BadConfig` where the rollout cannot be cut into equal parts."""
    length, envs = batch.reward.shape
    if (length * envs) % minibatches:
        raise BadConfig(
            f"{name}.minibatches = {minibatches} must divide the "
            f"{length} x {envs} steps of a rollout"
        )


def passes(
    learn: Callable[[L, Any], tuple[L, Metrics]],
    learner: L,
    rows: PyTree,
    *,
    epochs: int,
    minibatches: int,
    key: Key,
) -> tuple[L, PyTree]:
    """Learn from minibatches of the rows, shuffled anew in every epoch; and all the
    metrics, `(epoch, minibatch)`."""
    n = jax.tree.leaves(rows)[0].shape[0]

    def epoch(learner: L, k: Key) -> tuple[L, PyTree]:
        order = jr.permutation(k, n).reshape(minibatches, -1)
        return jax.lax.scan(learn, learner, jax.tree.map(lambda x: x[order], rows))

    return jax.lax.scan(epoch, learner, jr.split(key, epochs))
