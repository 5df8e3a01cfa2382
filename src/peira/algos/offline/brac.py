"""Behaviour-regularised actor-critic: one algorithm, in which what keeps the policy
near the data can be chosen, and where it enters.

    clone    maximise  E[log b(a|s)] (+ entropy, weighted so that it meets -dim(A));
             for the first `cloning` updates, then it is fixed
    target   y = r + γ (1 - terminated) (q(s', a') - α D(s')),  a' ~ π(s')
             q = λ minᵢ Q̄ᵢ + (1 - λ) maxᵢ Q̄ᵢ;  without D if `penalty` is policy
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²]
    actor    maximise  E[q(s, a) - α D(s)],  a ~ π(s)  (q after `warm_start` updates)
    α        maximise  α (E[D] - ε),  0 ≤ α ≤ `alpha_max`,  if `automatic`
    act      the action of highest Q₁ among 10 of π(s); targets move by τ

    D(s) =   kl           E_π[log π(a|s) - log b(a|s)]                    by the clone
             mmd          MMD²(π, b), Laplacian kernel                    by its samples
             dual-kl      max_T E_π[log T(s, a)] - E_data[T(s, a)] + 1    by the data
             wasserstein  max_c E_π[c(s, a)] - E_data[c(s, a)], |∇c| ≤ 1  by the data

The judges T and c are learned with a penalty on |∇| > 1 between the two actions.
Wu, Tucker & Nachum, 2019. https://arxiv.org/abs/1911.11361; sizes and step sizes are
those of the authors' code (google-research/behavior_regularized_offline_rl) and of its
example.

Deliberately different: cloning and learning are one run (until the clone is done, it is
what acts); the judge makes its steps on one batch, with fresh actions of the policy; a
dual D knows no next action where an episode ends, and is 0 there; the weights are
clipped after their steps; actions are shown by the same noise at every state; the
networks see actions in units of their bounds. Adapting the policy's own entropy is
left out (the authors have it off).

Reference scores: `docs/algorithms/brac.md`.
"""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int

from ...core import (
    Algorithm,
    Arrays,
    Box,
    Count,
    fold,
    Key,
    Metrics,
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
    BestOf,
    Critics,
    descend,
    fixed_noise,
    Number,
    polyak,
    soft_clipped,
    Trainable,
    trainable,
    when,
)
from ..online.td3 import Critic, critic_loss, in_units, twins
from .behaviour import (
    Actor,
    apart,
    clipped,
    Clone,
    Divergence,
    draws,
    DUAL,
    Known,
    learn_clone,
    learn_judge,
    Sampled,
)


class State(eqx.Module):
    actor: Trainable[Actor]
    critic: Trainable[Ensemble[Critic]]
    target_critic: Ensemble[Critic]
    alpha: Trainable[Float[Array, ""]]
    behaviour: Known
    step: Int[Array, ""]


Seen = tuple[State, Metrics, Float[Array, " batch"]]
"""What an update changes: the state, what is reported, how surprising each item was."""


def target(
    actor: Actor,
    critic: Critics,
    steps: Transition,
    penalty: Float[Array, " batch"],
    *,
    entropy: Number,
    mix: Number,
    gamma: Number,
    key: Key,
) -> Float[Arrays, " batch"]:
    """`y`, less the penalty `α D(s')`."""
    keys = jr.split(key, penalty.shape[0])

    def one(s: Obs, k: Key) -> Float[Array, ""]:
        (action,), (log_prob,) = draws(actor(s), 1, key=k)
        return soft_clipped(critic(s, action), mix) - entropy * log_prob

    value = jax.vmap(one)(steps.next_obs, keys) - penalty
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)


def actor_loss(
    actor: Actor,
    critic: Critics,
    obs: Obs,
    apart: Float[Array, " batch"],
    alpha: Number,
    started: Bool[Array, ""],
    *,
    entropy: Number,
    mix: Number,
    key: Key,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`E[α D + w log π - q]`, without q until `started`; and `E[D]`."""
    keys = jr.split(key, apart.shape[0])

    def one(s: Obs, k: Key) -> tuple[Float[Array, ""], Float[Array, ""]]:
        (action,), (log_prob,) = draws(actor(s), 1, key=k)
        return soft_clipped(critic(s, action), mix), log_prob

    value, log_prob = jax.vmap(one)(obs, keys)
    worth = jnp.where(started, value, 0.0)
    return (alpha * apart + entropy * log_prob - worth).mean(), apart.mean()


class BRAC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    divergence: Divergence = "kl"
    """What keeps the policy near the data."""
    penalty: Literal["value", "policy"] = "value"
    """Whether the divergence counts in what a state is worth, or for the actor only."""
    alpha: NonNegative = 0.1
    """Weight of the divergence (at the beginning, if `automatic`)."""
    automatic: bool = False
    """Adapt the weight until the divergence meets its target."""
    target_divergence: NonNegative = 0.0
    """Divergence to meet, if `automatic`."""
    alpha_max: Positive = 500.0
    """Largest weight."""
    critics: Count = 2
    """How many of them."""
    mix: Unit = 1.0
    """Weight of the smallest critic; the largest has the rest."""
    entropy: NonNegative = 0.0
    """Weight of the policy's entropy."""
    samples: Count = 4
    """Samples of policy and clone each, for kl and mmd."""
    sigma: Positive = 20.0
    """Width of the kernel of mmd, in units where the bounds are -1 and 1."""
    judge_steps: Count = 3
    """Steps of the judge per update, for the dual divergences."""
    gradient_penalty: NonNegative = 5.0
    """Weight of the judge's steepness."""
    cloning: Whole = 300_000
    """First updates, in which nothing but the clone is learned, for kl and mmd."""
    warm_start: Whole = 20_000
    """Updates after that, in which the actor only nears the data."""
    shown: Count = 10
    """Actions of the policy to act by; 1 is the mode alone."""
    learning_rate: Positive = 3e-4
    """Adam's step size for the actor."""
    critic_rate: Positive = 1e-3
    """Adam's step size for critics, judge and weight."""
    clone_rate: Positive = 5e-4
    """Adam's step size for the clone."""
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
    hidden: Widths = (200, 200)
    """Widths of the hidden layers of actor and clone each."""
    critic_hidden: Widths = (300, 300)
    """Widths of the hidden layers of critics and judge each."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    @property
    def looks_ahead(self) -> bool:
        """Whether the data's next action is needed, and so windows of two steps."""
        return self.divergence in DUAL and self.penalty == "value"

    @property
    def until_cloned(self) -> int:
        """Updates before the learning begins."""
        return 0 if self.divergence in DUAL else self.cloning

    def store(self, spec: Spec) -> Store[Any, Sample]:
        window = 2 if self.looks_ahead else None
        return Replay(self.capacity, self.batch, self.warmup, window=window)

    def init(self, spec: Spec, *, key: Key) -> State:
        def actor(name: str) -> Actor:
            k = fold(key, name)
            eye = Encoder(spec.obs, init=fan_in, key=fold(k, "eye"), vision=self.vision)
            body = MLP([eye.size, *self.hidden, 2 * spec.action.size], key=k)
            return Actor(eye, body, spec.action)

        def critics(name: str, n: int) -> Ensemble[Critic]:
            k, wide = fold(key, name), self.critic_hidden
            return twins(spec, wide, self.vision, False, key=k, members=n)

        critic = critics("critic", self.critics)
        if self.divergence in DUAL:
            one = jax.tree.map(lambda x: x[0], critics("judge", 1).members)
            behaviour = trainable(one, self.tx)
        else:
            entropy = trainable(jnp.ones(()), self.tx)
            behaviour = Clone(trainable(actor("clone"), self.tx), entropy)
        return State(
            trainable(actor("actor"), self.tx),
            trainable(critic, self.tx),
            critic,
            trainable(jnp.array(self.alpha, jnp.float32), self.tx),
            behaviour,
            jnp.array(0, int),
        )

    def policy(self, state: State) -> BestOf:
        actor = state.actor.net
        if isinstance(state.behaviour, Clone):
            early = state.step <= self.cloning
            pick = lambda c, a: jnp.where(early, c, a)
            actor = jax.tree.map(pick, state.behaviour.actor.net, actor)
        first = jax.tree.map(lambda x: x[0], state.critic.net.members)
        noise = fixed_noise(self.shown, actor.space.size)
        return BestOf(Sampled(actor), first, noise, state.step == 0, actor.space)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        k_clone, k_learn = jr.split(key)
        space, steps, ahead = state.actor.net.space, batch.steps, None
        if self.looks_ahead:
            steps = jax.tree.map(lambda x: x[:, 0], batch.steps)
            after = jax.tree.map(lambda x: x[:, 1], batch.steps)
            ahead = in_units(after, space).action
        steps = in_units(steps, space)

        def learn(seen: Seen) -> Seen:
            s, metrics, _ = seen
            s, more, surprise = self._learn(s, steps, ahead, batch.weight, key=k_learn)
            return s, metrics | more, surprise

        names = ("critic_loss", "value", "divergence", "alpha", "log_likelihood")
        blank = {name: jnp.zeros(()) for name in names}
        seen = state, blank, jnp.zeros(steps.reward.shape)
        early = state.step < self.until_cloned
        if isinstance(state.behaviour, Clone):
            seen = when(early, lambda x: self._clone(x, steps, key=k_clone), seen)
        state, metrics, surprise = when(~early, learn, seen)
        state = eqx.tree_at(lambda s: s.step, state, state.step + 1)
        return state, Report(metrics, surprise)

    def _clone(self, seen: Seen, steps: Transition, *, key: Key) -> Seen:
        """The clone, once."""
        state, metrics, surprise = seen
        assert isinstance(state.behaviour, Clone)
        clone, likely = learn_clone(
            self.tx,
            state.behaviour,
            steps.obs,
            steps.action,
            rate=self.clone_rate,
            key=key,
        )
        state = eqx.tree_at(lambda s: s.behaviour, state, clone)
        return state, metrics | {"log_likelihood": likely}, surprise

    def _learn(
        self,
        state: State,
        steps: Transition,
        ahead: Float[Array, "batch act"] | None,
        weight: Float[Arrays, " batch"],
        *,
        key: Key,
    ) -> Seen:
        """Critics, actor, judge and the divergence's weight, once."""
        known = state.behaviour

        def away(pi: Actor, obs: Obs, theirs: Any, *, key: Key) -> Any:
            how = {"samples": self.samples, "sigma": self.sigma, "key": key}
            return apart(known, self.divergence, pi, obs, theirs, **how)

        k_penalty, k_target, k_apart, k_actor, k_judge = jr.split(key, 5)
        old, alpha = state.actor.net, state.alpha.net
        how = {"entropy": self.entropy, "mix": self.mix}

        penalty = jnp.zeros(steps.reward.shape)
        if self.penalty == "value":
            there = away(old, steps.next_obs, ahead, key=k_penalty)
            unknown = steps.over if self.looks_ahead else False
            penalty = alpha * jnp.where(unknown, 0.0, there)
        targets = state.target_critic
        y = target(old, targets, steps, penalty, gamma=self.gamma, key=k_target, **how)
        critic, td = descend(
            self.tx,
            state.critic,
            lambda q: critic_loss(q, steps.obs, steps.action, y, weight),
            rate=self.critic_rate,
        )
        started = state.step >= self.until_cloned + self.warm_start

        def improve(pi: Actor) -> tuple[Float[Array, ""], Float[Array, ""]]:
            d = away(pi, steps.obs, steps.action, key=k_apart)
            return actor_loss(
                pi, critic.net, steps.obs, d, alpha, started, key=k_actor, **how
            )

        actor, d = descend(self.tx, state.actor, improve, rate=self.learning_rate)
        targets = polyak(targets, critic.net, self.tau)
        known = self._judge(known, actor.net, steps, key=k_judge)
        heavier = self._weight(state.alpha, d)
        more = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean(),
            "value": (td + y[:, None]).mean(),
            "divergence": d,
            "alpha": alpha,
        }
        state = State(actor, critic, targets, heavier, known, state.step)
        return state, more, jnp.abs(td).mean(axis=-1)

    def _judge(
        self, known: Known, actor: Actor, steps: Transition, *, key: Key
    ) -> Known:
        """A judge, some times; a clone stays as it is."""
        if isinstance(known, Clone):
            return known
        return learn_judge(
            self.tx,
            known,
            actor,
            steps.obs,
            steps.action,
            kind=self.divergence,
            penalty=self.gradient_penalty,
            times=self.judge_steps,
            rate=self.critic_rate,
            key=key,
        )

    def _weight(
        self, alpha: Trainable[Float[Array, ""]], apart: Float[Array, ""]
    ) -> Trainable[Float[Array, ""]]:
        """α, up while the divergence is above its target."""
        if not self.automatic:
            return alpha
        loss = lambda a: (-a * (apart - self.target_divergence), ())
        alpha, _ = descend(self.tx, alpha, loss, rate=self.critic_rate)
        return clipped(alpha, 0.0, self.alpha_max)
