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
unbounded in units of its bounds, and clipped when executed. What TRPO has too is in
`actor_critic.py`.

Reference scores: MuJoCo v1 at 1M steps (the paper's fig. 3); `docs/results.md`.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ...core import (
    Algorithm,
    Box,
    Count,
    Discrete,
    Key,
    Metrics,
    MultiDiscrete,
    NonNegative,
    Positive,
    Real,
    Report,
    Spec,
    Store,
    Transition,
    Unit,
    Widths,
)
from ...nets import Vision
from ...ops import mean_metrics, settle, stride, Trainable, trainable
from .actor_critic import (
    Activation,
    Actor,
    ActorCritic,
    annealed,
    check_even,
    FAR,
    kept,
    passes,
    rated,
    Rows,
    see,
    standard,
    State,
    unseen,
    untrained,
    value_loss,
)


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
    activation: Activation = "tanh"
    """Option 8: the paper's networks use tanh."""
    clip_gradients: bool = True
    """Option 9: the gradient's norm is at most `max_gradient`."""
    max_gradient: Positive = 0.5
    """Largest norm of the gradient of one minibatch."""

    @property
    def tx(self) -> optax.GradientTransformation:
        guard = optax.clip_by_global_norm(self.max_gradient)
        adam = optax.scale_by_adam(eps=1e-5)
        # All parameters as one row: a step layer by layer takes longer.
        return optax.flatten(optax.chain(guard, adam) if self.clip_gradients else adam)

    @property
    def obs_clip(self) -> float | None:
        return FAR if self.clip_obs else None

    def store(self, spec: Spec) -> Store[Any, Transition]:
        return kept(
            self.rollout,
            gamma=self.gamma,
            divide=self.scale_rewards,
            clip=self.clip_rewards,
        )

    def init(self, spec: Spec, *, key: Key) -> State:
        net = untrained(
            spec,
            self.hidden,
            self.vision,
            self.activation,
            scaled=self.orthogonal,
            initial_log_std=self.initial_log_std,
            key=key,
        )
        moments = unseen(net.encoder) if self.normalize_obs else ()
        horizon = jnp.array(spec.updates, int)
        return State(trainable(net, self.tx), moments, jnp.array(0, int), horizon)

    def policy(self, state: State) -> Actor:
        return Actor(state.net.net, state.moments, self.obs_clip)

    def update(
        self, state: State, batch: Transition, *, key: Key
    ) -> tuple[State, Report]:
        check_even("PPO", self.minibatches, batch)
        rate = annealed(self.learning_rate, state, anneal=self.anneal)
        rows = rated(
            state.net.net,
            state.moments,
            batch,
            gamma=self.gamma,
            lam=self.gae_lambda,
            clip=self.obs_clip,
        )

        def minibatch(net: Trainable[ActorCritic], rows: Rows) -> Any:
            return stride(self.tx, net, lambda n: self._loss(n, rows), rate=rate)

        net, metrics = passes(
            minibatch,
            state.net,
            rows.flat(),
            epochs=self.epochs,
            minibatches=self.minibatches,
            key=key,
        )
        moments = see(state.moments, batch.obs)
        report = mean_metrics(metrics) | rows.appraised
        report["learning_rate"] = jnp.asarray(rate)
        net = settle(net, state.net)
        return State(net, moments, state.step + 1, state.horizon), Report(report)

    def _loss(self, net: ActorCritic, rows: Rows) -> tuple[Float[Array, ""], Metrics]:
        """The objective, negated, on one minibatch; and what to log of it."""
        obs, legal, memory, old_value, advantage, target = rows
        if self.normalize_advantages:
            advantage = standard(advantage)
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
