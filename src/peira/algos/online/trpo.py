"""Trust region policy optimisation.

    maximise  L(θ) = E[ρ Â],  ρ = π(a|s) / π_old(a|s),  Â as PPO's (GAE)
    subject to  E[KL(π_old(·|s) | π(·|s))] <= δ

    g = ∇L,  F the Hessian of the mean KL at θ_old (the Fisher matrix)
    x ≈ (F + damping)⁻¹ g          by conjugate gradients, from products F v alone
    θ = θ_old + shrinkʲ √(2δ / xᵀ(F + damping)x) x
                                   with the first j at which KL <= δ and L is better
    then  minimise  E[(V - V̂)²] / 2  over several epochs of minibatches

Schulman, Levine, Moritz, Jordan & Abbeel, 2015. https://arxiv.org/abs/1502.05477
(sections 5 and 6, appendix C); advantages: Schulman et al., 2016,
https://arxiv.org/abs/1506.02438.

Around this stand the same nine code-level options as around PPO, which make it TRPO+
(Engstrom et al., 2020, https://arxiv.org/abs/2005.12729). That paper's plain TRPO has
none of them but the scaling of observations.

Deliberately different from the paper, as in the code of its followers: advantages are
estimated by GAE and normalised, F has damping, and is of all the steps of a rollout.
Where the networks see images, what sees is moved by the policy's step only.

Reference scores: the paper's fig. 4 (curves only); `docs/results.md`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
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
from ...nets import MLP, Vision
from ...ops import (
    backtracked,
    conjugate_gradient,
    fisher_product,
    mean_metrics,
    Number,
    settle,
    stride,
    Trainable,
)
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


class Trust(NamedTuple):
    """The policy's problem at some rows, in terms of its weights laid end to end."""

    weights: Float[Array, " n"]
    """Those it was made with."""
    gain: Callable[[Float[Array, " n"]], Float[Array, ""]]
    """`E[ρ Â]`."""
    kl: Callable[[Float[Array, " n"]], Float[Array, ""]]
    """`E[KL(π_old | π)]`."""
    policy: Callable[[Float[Array, " n"]], ActorCritic]
    """The networks, without the critic."""


def trust(net: ActorCritic, rows: Rows, advantage: Float[Array, " batch"]) -> Trust:
    """What is to be gained by other weights of the policy, and how far off they are."""
    weights, policy = ravel_pytree(eqx.tree_at(critic_of, net, None))

    def decided(weights: Float[Array, " n"]) -> Any:
        return jax.vmap(policy(weights).distribution)(rows.obs, rows.legal)

    old = decided(weights)

    def gain(weights: Float[Array, " n"]) -> Float[Array, ""]:
        each = jax.vmap(lambda p, a: p.log_prob(a))
        log_prob = each(decided(weights), rows.memory.choice)
        return (jnp.exp(log_prob - rows.memory.log_prob) * advantage).mean()

    def kl(weights: Float[Array, " n"]) -> Float[Array, ""]:
        return jax.vmap(lambda p, q: p.kl(q))(old, decided(weights)).mean()

    return Trust(weights, gain, kl, policy)


def critic_of(net: ActorCritic) -> Any:
    """None where it was left out."""
    return net.critic


def ascend(
    problem: Trust,
    *,
    max_kl: Number,
    damping: Number,
    shrink: Number,
    cg_steps: int,
    tries: int,
) -> tuple[Float[Array, " n"], Metrics]:
    """The weights after one step in the region of trust, or the old ones where no try
    will do; and what to log of it."""
    before, slope = jax.value_and_grad(problem.gain)(problem.weights)
    fisher = fisher_product(problem.kl, problem.weights)
    damped = lambda v: fisher(v) + damping * v
    natural = conjugate_gradient(damped, slope, steps=cg_steps)
    curve = natural @ damped(natural)
    step = jnp.sqrt(2 * max_kl / jnp.maximum(curve, 1e-30)) * natural

    def good(share: Float[Array, ""]) -> Array:
        there = problem.weights + share * step
        near = problem.kl(there) <= max_kl
        return near & (problem.gain(there) > before)

    share = backtracked(good, shrink=shrink, tries=tries)
    moved = jnp.where(share > 0, problem.weights + share * step, problem.weights)
    return moved, {
        "policy_loss": -problem.gain(moved),
        "kl": problem.kl(moved),
        "share": share,
    }


class TRPO(Algorithm[State, Transition]):
    serves: ClassVar = frozenset({Discrete, MultiDiscrete, Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 8

    max_kl: Positive = 0.01
    """Largest mean KL divergence of one step (δ)."""
    cg_steps: Count = 10
    """Iterations of conjugate gradients."""
    damping: NonNegative = 0.1
    """Added to the diagonal of the Fisher matrix."""
    tries: Count = 10
    """Lengths of a step that are tried."""
    shrink: Unit = 0.8
    """From one length to the next."""
    critic_rate: Positive = 1e-3
    """Adam's step size, of the critic."""
    gamma: Unit = 0.99
    """Discount."""
    gae_lambda: Unit = 0.95
    """Trade between bias (0) and variance (1) of the advantages."""
    epochs: Count = 10
    """Passes of the critic over each rollout."""
    minibatches: Count = 32
    """Gradient steps of the critic per pass."""
    rollout: Count = 256
    """Steps of each environment between updates."""
    hidden: Widths = (64, 64)
    """Widths of the hidden layers of actor and critic each."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""
    initial_log_std: Real = 0.0
    """Logarithm of the standard deviation of real-valued actions at the beginning."""
    normalize_advantages: bool = True
    """Advantages of each rollout to zero mean and unit variance."""
    clip_value: bool = False
    """Option 1: the value is held near where it was."""
    clip: Positive = 0.2
    """How far the clipped value may move from where it was."""
    scale_rewards: bool = True
    """Option 2: divide rewards by the deviation of their discounted sum."""
    orthogonal: bool = True
    """Option 3: orthogonal initialisation and layer scaling."""
    anneal: bool = True
    """Option 4: the critic's step size falls linearly to zero over the run."""
    clip_rewards: bool = True
    """Option 5: rewards are clipped to plus and minus 10 (after scaling)."""
    normalize_obs: bool = True
    """Option 6: real-valued observations to zero mean and unit variance."""
    clip_obs: bool = True
    """Option 7: normalised observations are clipped to plus and minus 10."""
    activation: Activation = "tanh"
    """Option 8: tanh, or relu."""
    clip_gradients: bool = True
    """Option 9: the norm of the critic's gradient is at most `max_gradient`."""
    max_gradient: Positive = 0.5
    """Largest norm of the critic's gradient of one minibatch."""

    @property
    def tx(self) -> optax.GradientTransformation:
        guard = optax.clip_by_global_norm(self.max_gradient)
        adam = optax.scale_by_adam(eps=1e-5)
        return optax.chain(guard, adam) if self.clip_gradients else adam

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
        zero, horizon = jnp.array(0, int), jnp.array(spec.updates, int)
        learner = Trainable(net, self.tx.init(critic_of(net)), zero)
        return State(learner, moments, zero, horizon)

    def policy(self, state: State) -> Actor:
        return Actor(state.net.net, state.moments, self.obs_clip)

    def update(
        self, state: State, batch: Transition, *, key: Key
    ) -> tuple[State, Report]:
        check_even("TRPO", self.minibatches, batch)
        old = state.net
        rated_rows = rated(
            old.net,
            state.moments,
            batch,
            gamma=self.gamma,
            lam=self.gae_lambda,
            clip=self.obs_clip,
        )
        rows = rated_rows.flat()
        advantage = rows.advantage
        if self.normalize_advantages:
            advantage = standard(advantage)
        problem = trust(old.net, rows, advantage)
        weights, report = ascend(
            problem,
            max_kl=self.max_kl,
            damping=self.damping,
            shrink=self.shrink,
            cg_steps=self.cg_steps,
            tries=self.tries,
        )
        policy = problem.policy(weights)
        critic, metrics = self._fit(state, policy, rows, key=key)
        net = eqx.tree_at(critic_of, policy, critic.net, is_leaf=lambda x: x is None)
        net = settle(Trainable(net, critic.opt, old.refused), old)
        pi = jax.vmap(net.net.distribution)(rows.obs, rows.legal)
        report |= mean_metrics(metrics) | rated_rows.appraised
        report["entropy"] = jax.vmap(lambda p: p.entropy())(pi).mean()
        moments = see(state.moments, batch.obs)
        return State(net, moments, state.step + 1, state.horizon), Report(report)

    def _fit(
        self, state: State, policy: ActorCritic, rows: Rows, *, key: Key
    ) -> tuple[Trainable[MLP], Any]:
        """The critic after learning the rollout's targets; and what to log of it."""
        rate = annealed(self.critic_rate, state, anneal=self.anneal)
        seen = jax.vmap(policy.encoder)(rows.obs)

        def minibatch(critic: Trainable[MLP], rows: Any) -> Any:
            seen, old_value, target = rows

            def loss(net: MLP) -> tuple[Float[Array, ""], Metrics]:
                miss = value_loss(
                    jax.vmap(net)(seen)[:, 0],
                    old_value,
                    target,
                    clip=self.clip if self.clip_value else None,
                )
                return miss, {"value_loss": miss}

            return stride(self.tx, critic, loss, rate=rate)

        old = state.net
        return passes(
            minibatch,
            Trainable(critic_of(old.net), old.opt, old.refused),
            (seen, rows.value, rows.target),
            epochs=self.epochs,
            minibatches=self.minibatches,
            key=key,
        )
