"""Conservative Q-learning, CQL(H), on soft actor-critic.

    target   y = r + γ (1 - terminated) minᵢ Q̄ᵢ(s', a'),  a' ~ π(s')
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²] + w Σᵢ gapᵢ
             gapᵢ = E[log ∫ exp Qᵢ(s, b) db - Qᵢ(s, a)]
    actor    minimise  E[α log π(a|s) - minᵢ Qᵢ(s, a)],  a ~ π(s)
    α        as in soft actor-critic
    targets  move after every step

The integral is estimated by importance sampling: as many actions each from the uniform
distribution, from π(s) and from π(s'), all weighed by their densities. With a threshold
τ (the Lagrange variant) the second term is w' (w gapᵢ - τ), and w' climbs it.

Kumar, Zhou, Tucker & Levine, 2020. https://arxiv.org/abs/2006.04779 (eq. 4, algorithm
1). As in the authors' code: the squared error is not halved (so that w is twice eq. 4's
α), the target holds no entropy (`--backup`), the estimate is the log of a sum and not
of a mean (it adds log 3 N to every gap, which a threshold must allow for), and the
defaults are those of its README for MuJoCo, where the paper has the Lagrange variant.
AntMaze there: `--threshold 5`.

Deliberately different: the critics step before the actor and the temperature after it,
as in `online.sac` (the code steps the temperature first); the actor does not clone for
its first 40 000 steps, which that code finds to matter little; the networks see actions
in units of their bounds.

Reference scores: the paper's tables and D4RL's, which disagree; `docs/results.md`.
"""

from typing import Any, ClassVar, Literal

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
    Real,
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
    Number,
    polyak,
    Standard,
    Standardised,
    Trainable,
    trainable,
)
from ..online import sac
from ..online.sac import Actor
from ..online.td3 import Critic, critic_loss, in_units, twins


MOST = 1e6  # of the multiplier, in the authors' code


class State(eqx.Module):
    actor: Trainable[Actor]
    critic: Trainable[Ensemble[Critic]]
    target_critic: Ensemble[Critic]
    log_alpha: Trainable[Float[Array, ""]]
    log_multiplier: Trainable[Float[Array, ""]]
    standard: Standard
    step: Int[Array, ""]


def several(
    actor: Actor, obs: Obs, n: int, *, key: Key
) -> tuple[Float[Array, "batch sample act"], Float[Array, "batch sample"]]:
    """Some actions for each observation, and their log-probabilities."""
    pi = jax.vmap(actor)(obs)
    keys = jr.split(key, (pi.mean.shape[0], n))
    one = lambda p, k: p.sample_and_log_prob(key=k)
    return jax.vmap(lambda p, ks: jax.vmap(lambda k: one(p, k))(ks))(pi, keys)


def proposals(
    actor: Actor, steps: Transition, n: int, *, key: Key
) -> tuple[Float[Array, "batch sample act"], Float[Array, "batch sample"]]:
    """Actions to judge each state by, and the logarithms of their densities: some at
    random, some of the actor's here, some of what it would do next."""
    k_any, k_now, k_next = jr.split(key, 3)
    now, log_now = several(actor, steps.obs, n, key=k_now)
    after, log_after = several(actor, steps.next_obs, n, key=k_next)
    anything = jr.uniform(k_any, now.shape, minval=-1.0, maxval=1.0)
    log_any = jnp.full_like(log_now, -now.shape[-1] * jnp.log(2.0))
    actions = jnp.concatenate([anything, after, now], axis=1)
    return actions, jnp.concatenate([log_any, log_after, log_now], axis=1)


def judged(
    critic: Ensemble[Critic], obs: Obs, action: Float[Array, "batch sample act"]
) -> Float[Array, "batch sample member"]:
    """The value of several actions in each state."""
    return jax.vmap(lambda o, each: jax.vmap(lambda a: critic(o, a))(each))(obs, action)


def gap(
    critic: Ensemble[Critic],
    steps: Transition,
    action: Float[Array, "batch sample act"],
    log_density: Float[Array, "batch sample"],
) -> Float[Array, "batch member"]:
    """`log Σ exp(Q(s, b)) / p(b) - Q(s, a)`: how far the data's action is from being
    the best, softly."""
    q = judged(critic, steps.obs, action) - log_density[..., None]
    soft = jax.nn.logsumexp(q, axis=1)
    return soft - jax.vmap(critic)(steps.obs, steps.action)


def best_target(
    actor: Actor,
    critic: Ensemble[Critic],
    steps: Transition,
    *,
    gamma: Number,
    samples: int,
    key: Key,
) -> Float[Arrays, " batch"]:
    """`y` with the best of several of the actor's actions, for each critic."""
    action, _ = several(actor, steps.next_obs, samples, key=key)
    value = judged(critic, steps.next_obs, action).max(axis=1).min(axis=-1)
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)


def multiplier_loss(
    log_multiplier: Float[Array, ""], excess: Float[Array, ""]
) -> tuple[Float[Array, ""], tuple[()]]:
    """`-w' (w gap - τ)`: up while the gap is too wide."""
    return -multiplier(log_multiplier) * excess, ()


def multiplier(log_multiplier: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.minimum(jnp.exp(log_multiplier), MOST)


class CQL(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    min_q_weight: NonNegative = 5.0
    """w: how much being conservative counts against the error of the critics."""
    threshold: Positive | None = None
    """τ: adapt a multiplier until w times the gap meets it; None keeps w as it is."""
    samples: Count = 10
    """Actions from each of the three distributions that a state is judged by."""
    backup: Literal["policy", "entropy", "best"] = "policy"
    """Next value: of one of the actor's actions, of it with its entropy, or of the best
    of several."""
    learning_rate: Positive = 3e-4
    """Adam's step size for critics and multiplier."""
    actor_learning_rate: Positive = 1e-4
    """Adam's step size for actor and temperature."""
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
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256, 256)
    """Widths of the hidden layers of actor and critics each."""
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
        k_actor = fold(key, "actor")
        eye = Encoder(
            spec.obs, init=fan_in, key=fold(k_actor, "eye"), vision=self.vision
        )
        body = MLP([eye.size, *self.hidden, 2 * spec.action.size], key=k_actor)
        critic = twins(spec, self.hidden, self.vision, False, key=fold(key, "critic"))
        return State(
            trainable(Actor(eye, body, spec.action), self.tx),
            trainable(critic, self.tx),
            critic,
            trainable(jnp.log(jnp.array(self.alpha, jnp.float32)), self.tx),
            trainable(jnp.zeros(()), self.tx),
            Standard.known(spec, use=self.standardise),
            jnp.array(0, int),
        )

    def policy(self, state: State) -> Standardised:
        policy = sac.Stochastic(state.actor.net, state.step == 0)
        return Standardised(policy, state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        k_target, k_actor, k_several = jr.split(key, 3)
        old, alpha = state.actor.net, jnp.exp(state.log_alpha.net)
        steps = in_units(state.standard.steps(batch.steps), old.space)
        y = self._target(state, steps, alpha, key=k_target)
        judges = proposals(old, steps, self.samples, key=k_several)
        factor, free = self.min_q_weight, self.threshold is not None
        if free:
            factor = factor * multiplier(state.log_multiplier.net)

        def conservative(critic: Ensemble[Critic]) -> Any:
            total, td = critic_loss(critic, steps.obs, steps.action, y, batch.weight)
            wide = (batch.weight[:, None] * gap(critic, steps, *judges)).mean(axis=0)
            return total + factor * wide.sum(), (td, wide.mean())

        critic, (td, wide) = descend(
            self.tx, state.critic, conservative, rate=self.learning_rate
        )
        log_multiplier = state.log_multiplier
        if self.threshold is not None:
            excess = self.min_q_weight * wide - self.threshold
            log_multiplier, _ = descend(
                self.tx,
                log_multiplier,
                lambda lm: multiplier_loss(lm, excess),
                rate=self.learning_rate,
            )
        actor, log_prob = descend(
            self.tx,
            state.actor,
            lambda pi: sac.actor_loss(pi, critic.net, steps.obs, alpha, key=k_actor),
            rate=self.actor_learning_rate,
        )
        log_alpha = self._temperature(state, log_prob)
        state = State(
            actor,
            critic,
            polyak(state.target_critic, critic.net, self.tau),
            log_alpha,
            log_multiplier,
            state.standard,
            state.step + 1,
        )
        report = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean(),
            "value": (td + y[:, None]).mean(),
            "gap": wide,
            "min_q_weight": jnp.asarray(factor, float),
            "entropy": -log_prob,
            "alpha": alpha,
        }
        return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))

    def _target(
        self, state: State, steps: Transition, alpha: Number, *, key: Key
    ) -> Float[Arrays, " batch"]:
        actor, critic = state.actor.net, state.target_critic
        if self.backup == "best":
            n = self.samples
            return best_target(
                actor, critic, steps, gamma=self.gamma, samples=n, key=key
            )
        soft = alpha if self.backup == "entropy" else 0.0
        return sac.target(actor, critic, steps, soft, gamma=self.gamma, key=key)

    def _temperature(
        self, state: State, log_prob: Float[Array, ""]
    ) -> Trainable[Float[Array, ""]]:
        """The temperature after a step, if it takes any."""
        if not self.automatic:
            return state.log_alpha
        entropy = self.target_entropy
        if entropy is None:
            entropy = -float(state.actor.net.space.size)
        loss = lambda la: sac.alpha_loss(la, log_prob, entropy)
        rate = self.actor_learning_rate
        return descend(self.tx, state.log_alpha, loss, rate=rate)[0]
