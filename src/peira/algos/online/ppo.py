"""Proximal policy optimisation.

    δₜ = rₜ + γ (1 - terminatedₜ) V(s'ₜ) - V(sₜ)
    Âₜ = δₜ + γλ (1 - overₜ) Âₜ₊₁,   V̂ₜ = Âₜ + V(sₜ)
    maximise  E[min(ρ Â, clip(ρ, 1±ε) Â)] - c₁ E[(V - V̂)²] / 2 + c₂ E[H(π)]
    over several epochs of minibatches,  ρ = π(a|s) / π_old(a|s)

Schulman, Wolski, Dhariwal, Radford & Klimov, 2017. https://arxiv.org/abs/1707.06347

Around this the code that made PPO famous does nine things the paper does not say
(Engstrom et al., 2020, https://arxiv.org/abs/2005.12729, appendix A.1). Each is a
switch here, and so is the clip itself: value clipping, reward scaling, orthogonal
initialisation, step-size annealing, reward clipping, observation normalisation,
observation clipping, tanh activations, gradient clipping.

Deliberately different: observations and rewards are scaled by statistics that are
fixed during a rollout and its epochs, so that the first ratio is exactly one; the
bootstrap goes through time limits to the true successor; actions of a Box are
unbounded in units of its bounds, and clipped when executed.

Reference scores: MuJoCo v1 at 1M steps (the paper's fig. 3); `docs/results.md`.
"""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    BadConfig,
    Box,
    Count,
    Discrete,
    fold,
    Key,
    Metrics,
    MultiDiscrete,
    NonNegative,
    Obs,
    Policy,
    Positive,
    Real,
    Report,
    Spec,
    Store,
    TimeStep,
    Transition,
    Unit,
    Widths,
)
from ...data import Rollout, ScaledRewards
from ...nets import Encoder, fan_in, MLP, orthogonal, Vision
from ...ops import (
    Categorical,
    gae,
    Gaussian,
    mean_metrics,
    Moments,
    MultiCategorical,
    scale,
    settle,
    stride,
    Trainable,
    trainable,
)


Distribution = Categorical | MultiCategorical | Gaussian


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


def policy_loss(
    log_prob: Float[Array, " batch"],
    old_log_prob: Float[Array, " batch"],
    advantage: Float[Array, " batch"],
    *,
    clip: float | Float[Array, ""],
    clip_ratio: bool = True,
) -> Float[Array, ""]:
    """`-E[min(ρ Â, clip(ρ, 1±ε) Â)]` (eq. 7), or `-E[ρ Â]` (eq. 6) without the clip."""
    ratio = jnp.exp(log_prob - old_log_prob)
    plain = ratio * advantage
    if not clip_ratio:
        return -plain.mean()
    clipped = jnp.clip(ratio, 1 - clip, 1 + clip) * advantage
    return -jnp.minimum(plain, clipped).mean()


def value_loss(
    value: Float[Array, " batch"],
    old_value: Float[Array, " batch"],
    target: Float[Array, " batch"],
    *,
    clip: float | Float[Array, ""] | None,
) -> Float[Array, ""]:
    """`E[(V - V̂)²] / 2`, or the larger of it and the same with V held within `clip` of
    its old value."""
    miss = jnp.square(value - target)
    if clip is not None:
        near = old_value + jnp.clip(value - old_value, -clip, clip)
        miss = jnp.maximum(miss, jnp.square(near - target))
    return 0.5 * miss.mean()


class PPO(Algorithm[State, Transition]):
    serves: ClassVar = frozenset({Discrete, MultiDiscrete, Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 8

    learning_rate: Positive = 3e-4
    """Adam's step size."""
    gamma: Unit = 0.99
    """Discount."""
    gae_lambda: Unit = 0.95
    """Trade between bias (0) and variance (1) of the advantages."""
    clip: Positive = 0.2
    """How far the ratio (and the clipped value) may move from where it was."""
    epochs: Count = 10
    """Passes over each rollout."""
    minibatches: Count = 32
    """Gradient steps per pass."""
    rollout: Count = 256
    """Steps of each environment between updates."""
    value_cost: NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: NonNegative = 0.0
    """Weight of the entropy bonus."""
    hidden: Widths = (64, 64)
    """Widths of the hidden layers of actor and critic each."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""
    initial_log_std: Real = 0.0
    """Logarithm of the standard deviation of real-valued actions at the beginning."""
    clip_ratio: bool = True
    """The clip itself: without it the plain surrogate is maximised."""
    normalize_advantages: bool = True
    """Advantages of each minibatch to zero mean and unit variance."""
    clip_value: bool = False
    """Option 1: the value, too, is held near where it was. Off: in units of scaled
    rewards it holds the critic back (`docs/results.md`)."""
    scale_rewards: bool = True
    """Option 2: divide rewards by the deviation of their discounted sum."""
    orthogonal: bool = True
    """Option 3: orthogonal initialisation and layer scaling."""
    anneal: bool = True
    """Option 4: the step size falls linearly to zero over the run."""
    clip_rewards: bool = True
    """Option 5: rewards are clipped to plus and minus 10 (after scaling)."""
    normalize_obs: bool = True
    """Option 6: real-valued observations to zero mean and unit variance."""
    clip_obs: bool = True
    """Option 7: normalised observations are clipped to plus and minus 10."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Option 8: the paper's networks use tanh."""
    clip_gradients: bool = True
    """Option 9: the gradient's norm is at most `max_gradient`."""
    max_gradient: Positive = 0.5
    """Largest norm of the gradient of one minibatch."""

    @property
    def tx(self) -> optax.GradientTransformation:
        guard = optax.clip_by_global_norm(self.max_gradient)
        adam = optax.scale_by_adam(eps=1e-5)
        return optax.chain(guard, adam) if self.clip_gradients else adam

    @property
    def obs_clip(self) -> float | None:
        return 10.0 if self.clip_obs else None

    def store(self, spec: Spec) -> Store[Any, Transition]:
        rollout = Rollout(self.rollout)
        if not (self.scale_rewards or self.clip_rewards):
            return rollout
        clip = 10.0 if self.clip_rewards else None
        return ScaledRewards(rollout, self.gamma, self.scale_rewards, clip)

    def init(self, spec: Spec, *, key: Key) -> State:
        match spec.action:
            case Discrete(n):
                out, real = n, 0
            case MultiDiscrete(nvec):
                out, real = sum(nvec), 0
            case space:
                out = real = space.size
        wide = orthogonal(2**0.5) if self.orthogonal else fan_in
        small, one = (
            (orthogonal(0.01), orthogonal(1.0)) if self.orthogonal else (fan_in, fan_in)
        )
        encoder = Encoder(
            spec.obs, init=wide, key=fold(key, "encoder"), vision=self.vision
        )

        def mlp(n: int, last: Any, name: str) -> MLP:
            activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[self.activation]
            return MLP(
                [encoder.size, *self.hidden, n],
                activation=activation,
                init=wide,
                last=last,
                key=fold(key, name),
            )

        log_std = jnp.full(real, self.initial_log_std, float)
        net = ActorCritic(
            encoder,
            mlp(out, small, "actor"),
            mlp(1, one, "critic"),
            log_std,
            spec.action,
        )
        spaces = encoder.spaces if self.normalize_obs else ()
        moments = tuple(Moments.zero(s.shape) for s in spaces if s.dtype.kind == "f")
        horizon = jnp.array(spec.updates, int)
        return State(trainable(net, self.tx), moments, jnp.array(0, int), horizon)

    def policy(self, state: State) -> Actor:
        return Actor(state.net.net, state.moments, self.obs_clip)

    def update(
        self, state: State, batch: Transition, *, key: Key
    ) -> tuple[State, Report]:
        length, envs = batch.reward.shape
        if (length * envs) % self.minibatches:
            raise BadConfig(
                f"PPO.minibatches = {self.minibatches} must divide the "
                f"{length} x {envs} steps of a rollout"
            )
        left = 1.0 - state.step / state.horizon if self.anneal else 1.0
        rate = self.learning_rate * jnp.maximum(left, 0.0)
        old = state.net.net

        each = lambda f: jax.vmap(jax.vmap(f))
        seen = each(lambda o: normalize(state.moments, o, clip=self.obs_clip))
        obs, next_obs = seen(batch.obs), seen(batch.next_obs)
        value, next_value = each(old.value)(obs), each(old.value)(next_obs)
        estimate = lambda *xs: gae(*xs, gamma=self.gamma, lam=self.gae_lambda)
        advantage = jax.vmap(estimate, in_axes=1, out_axes=1)(
            batch.reward, value, next_value, batch.terminated, batch.truncated
        )
        target = advantage + value
        rows = jax.tree.map(
            lambda x: x.reshape(length * envs, *x.shape[2:]),
            (obs, batch.legal, batch.extras, value, advantage, target),
        )

        def minibatch(net: Trainable[ActorCritic], rows: Any) -> Any:
            return stride(self.tx, net, lambda n: self._loss(n, rows), rate=rate)

        def epoch(net: Trainable[ActorCritic], k: Key) -> Any:
            order = jr.permutation(k, length * envs).reshape(self.minibatches, -1)
            return jax.lax.scan(minibatch, net, jax.tree.map(lambda x: x[order], rows))

        net, metrics = jax.lax.scan(epoch, state.net, jr.split(key, self.epochs))
        moments = see(state.moments, batch.obs)
        spread = target.var()
        explained = 1.0 - (target - value).var() / jnp.maximum(spread, 1e-8)
        report = mean_metrics(metrics) | {
            "value": value.mean(),
            "explained_variance": explained,
            "learning_rate": jnp.asarray(rate),
        }
        net = settle(net, state.net)
        return State(net, moments, state.step + 1, state.horizon), Report(report)

    def _loss(self, net: ActorCritic, rows: Any) -> tuple[Float[Array, ""], Metrics]:
        """The objective, negated, on one minibatch; and what to log of it."""
        obs, legal, memory, old_value, advantage, target = rows
        if self.normalize_advantages:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        pi = jax.vmap(net.distribution)(obs, legal)
        log_prob = jax.vmap(lambda p, a: p.log_prob(a))(pi, memory.choice)
        entropy = jax.vmap(lambda p: p.entropy())(pi).mean()
        gain = policy_loss(
            log_prob,
            memory.log_prob,
            advantage,
            clip=self.clip,
            clip_ratio=self.clip_ratio,
        )
        miss = value_loss(
            jax.vmap(net.value)(obs),
            old_value,
            target,
            clip=self.clip if self.clip_value else None,
        )
        total = gain + self.value_cost * miss - self.entropy_cost * entropy
        drift = log_prob - memory.log_prob
        return total, {
            "policy_loss": gain,
            "value_loss": miss,
            "entropy": entropy,
            "kl": (jnp.expm1(drift) - drift).mean(),
            "clipped": (jnp.abs(jnp.expm1(drift)) > self.clip).mean(),
        }


def see(moments: tuple[Moments, ...], obs: Obs) -> tuple[Moments, ...]:
    """Merge a rollout's real-valued observations into what is known of them."""
    real = [x for x in jax.tree.leaves(obs) if is_real(x)]
    return tuple(m.merge(x) for m, x in zip(moments, real, strict=False))
