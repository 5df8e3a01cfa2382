"""KL-control, or Way Off-Policy learning: what the policy does, the data should be
likely to do as well.

    prior    maximise  E[log p(a|s)],  for the first `cloning` updates; then it is
             fixed, and (`from_prior`) the values begin as its logits
    psi      y = r + α log p(a|s) + γ (1 - terminated) minₘ α log Σ exp(Q̄ₘ(s', ·) / α)
    q        y = r + α log p(a|s) - α log π(a|s) + γ (1 - terminated) minₘ max Q̄ₘ(s', ·)
    loss     E[Huber(Q(s, a) - y)]
    π(a|s)   = softmax(Q(s, ·) / α);  act  argmax Q(s, ·)

Q̄₁ ... Q̄_M are passes through the target network with hidden units dropped at random:
the smallest is a lower bound without a second network. With psi, π converges to the
optimum of `E Σ γᵗ (r - α KL(π | p))`. With q, π is fed back into what it is made of:
where an episode ends next, its logits come out half as large, with the same argmax.

Jaques et al., 2019. https://arxiv.org/abs/1907.00456; defaults are those of the
authors' best dialog model (psi, five passes, c = 0.5).

Deliberately different: Q is in units of reward, c = α times the paper's, which moves
only where Huber's loss bends; the prior is learned from the same data in the same run,
where the paper has a language model of other data (until it is done, it acts). The
authors' code subtracts log π in psi, too, the paper does not. Averaging the priors of
several models is left out.

Reference scores: `docs/algorithms/kl_control.md`.
"""

from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    Count,
    Discrete,
    fold,
    Key,
    Metrics,
    Obs,
    Policy,
    Positive,
    Range,
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
from ...nets import dropped, Encoder, fan_in, MLP, Vision
from ...ops import Categorical, descend, Number, polyak, Trainable, trainable, when
from ..online.dqn import NEVER
from ..online.sac_discrete import Head


Learning = Literal["psi", "q"]


class State(eqx.Module):
    net: Trainable[Head]
    target: Head
    prior: Trainable[Head]
    step: Int[Array, ""]


Seen = tuple[State, Metrics, Float[Array, " batch"]]
"""What an update changes: the state, what is reported, how surprising each item was."""


class Soft(Policy[tuple[()]]):
    """Samples `softmax(Q / α)` when exploring, takes the best when showing."""

    net: Head
    alpha: Float[Array, ""]

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        pi = Categorical(self.net(t.obs) / self.alpha, t.legal)
        return (pi.sample(key=key) if explore else pi.mode()), carry, ()


def passed(head: Head, obs: Obs, *, rate: float, key: Key) -> Float[Array, " action"]:
    """One pass with hidden units dropped."""
    return dropped(head.body, head.encoder(obs), rate=rate, key=key)


def backup(
    target: Head,
    obs: Obs,
    legal: Any,
    learning: Learning,
    alpha: Number,
    *,
    passes: int,
    rate: float,
    key: Key,
) -> Float[Array, ""]:
    """What a state is worth by the smallest of several passes."""

    def one(k: Key) -> Float[Array, ""]:
        q = passed(target, obs, rate=rate, key=k)
        q = q if legal is None else jnp.where(legal, q, NEVER)
        if learning == "q":
            return q.max()
        return alpha * jax.nn.logsumexp(q / alpha)

    return jax.vmap(one)(jr.split(key, passes)).min()


def prior_loss(
    prior: Head, obs: Obs, legal: Any, action: Int[Array, " batch"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`-E[log p(a|s)]`, and the likelihood."""
    log_p = jax.vmap(lambda s, m, a: Categorical(prior(s), m).log_prob(a))
    likely = log_p(obs, legal, action).mean()
    return -likely, likely


class KLControl(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    learning: Literal["psi", "q"] = "psi"
    """How the entropy of the policy enters: softly in what a state is worth, or as a
    reward."""
    alpha: Positive = 0.5
    """Weight of the divergence from the prior, in units of reward: the paper's c."""
    passes: Count = 5
    """Passes through the target network, of which the smallest counts."""
    dropout: Annotated[float, Range(0, 0.99)] = 0.2
    """Chance of a hidden unit to be dropped."""
    cloning: Whole = 100_000
    """First updates, in which nothing but the prior is learned."""
    from_prior: bool = True
    """Begin the values as the prior's logits."""
    learning_rate: Positive = 1e-4
    """Adam's step size, values and prior alike."""
    max_gradient: Positive = 1.0
    """Largest entry of the values' gradient."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target network."""
    batch: Count = 64
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of values and prior each."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        clip = lambda g: jnp.clip(g, -self.max_gradient, self.max_gradient)
        guard = optax.stateless(lambda grads, _: jax.tree.map(clip, grads))
        return optax.chain(guard, optax.scale_by_adam())

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup)

    def init(self, spec: Spec, *, key: Key) -> State:
        def make(name: str) -> Head:
            k = fold(key, name)
            eye = Encoder(spec.obs, init=fan_in, key=fold(k, "eye"), vision=self.vision)
            return Head(eye, MLP([eye.size, *self.hidden, spec.action.n], key=k))

        net, prior = make("net"), make("prior")
        return State(
            trainable(net, self.tx),
            net,
            trainable(prior, optax.scale_by_adam()),
            jnp.array(0, int),
        )

    def policy(self, state: State) -> Soft:
        """The values' after the prior's; at first anything is as likely."""
        alpha = jnp.asarray(self.alpha, jnp.float32)
        early = state.step <= self.cloning
        pick = lambda p, q: jnp.where(early, p, q)
        net = jax.tree.map(pick, state.prior.net, state.net.net)
        heat = jnp.where(state.step == 0, jnp.inf, jnp.where(early, 1.0, alpha))
        return Soft(net, heat)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = batch.steps

        def clone(seen: Seen) -> Seen:
            s, metrics, surprise = seen
            prior, likely = descend(
                optax.scale_by_adam(),
                s.prior,
                lambda p: prior_loss(p, steps.obs, steps.legal, steps.action),
                rate=self.learning_rate,
            )
            s = eqx.tree_at(lambda s: s.prior, s, prior)
            return s, metrics | {"log_likelihood": likely}, surprise

        def learn(seen: Seen) -> Seen:
            s, metrics, _ = seen
            s, more, surprise = self._learn(s, batch, key=key)
            return s, metrics | more, surprise

        names = ("td_error", "value", "log_prior", "log_likelihood")
        blank = {name: jnp.zeros(()) for name in names}
        early = state.step < self.cloning
        seen = when(early, clone, (state, blank, jnp.zeros(steps.reward.shape)))
        state, metrics, surprise = when(~early, learn, seen)
        count = state.step + 1
        state = eqx.tree_at(lambda s: s.step, state, count)
        if self.from_prior:
            state = when(count == self.cloning, lambda s: self._begin(s), state)
        return state, Report(metrics, surprise)

    def _begin(self, state: State) -> State:
        """The values are the prior's logits, in units of reward."""
        where = lambda h: [h.body.layers[-1].weight, h.body.layers[-1].bias]
        scaled = [self.alpha * x for x in where(state.prior.net)]
        net = eqx.tree_at(where, state.prior.net, scaled)
        learned = Trainable(net, state.net.opt, state.net.refused)
        return State(learned, net, state.prior, state.step)

    def _learn(self, state: State, batch: Sample, *, key: Key) -> Seen:
        """The values, once."""
        steps, rows = batch.steps, jnp.arange(batch.weight.shape[0])
        k_target, k_net = (jr.split(k, rows.size) for k in jr.split(key))
        log_p = jax.vmap(lambda s, m: Categorical(state.prior.net(s), m).logits)(
            steps.obs, steps.legal
        )[rows, steps.action]
        worth = lambda s, m, k: backup(
            state.target,
            s,
            m,
            self.learning,
            self.alpha,
            passes=self.passes,
            rate=self.dropout,
            key=k,
        )
        value = jax.vmap(worth)(steps.next_obs, steps.next_legal, k_target)
        y = steps.reward + self.alpha * log_p
        y += self.gamma * jnp.where(steps.terminated, 0.0, value)

        def loss(net: Head) -> Any:
            q = jax.vmap(lambda s, k: passed(net, s, rate=self.dropout, key=k))(
                steps.obs, k_net
            )
            aim = y
            if self.learning == "q":
                pi = jax.vmap(Categorical)(q / self.alpha, steps.legal)
                log_pi = jax.lax.stop_gradient(pi.logits[rows, steps.action])
                aim = y - self.alpha * log_pi
            q = q[rows, steps.action]
            huber = optax.losses.huber_loss(q, aim)
            return (batch.weight * huber).mean(), (q - aim, q.mean())

        net, (td, q) = descend(self.tx, state.net, loss, rate=self.learning_rate)
        target = polyak(state.target, net.net, self.tau)
        more = {"td_error": jnp.abs(td).mean(), "value": q, "log_prior": log_p.mean()}
        return State(net, target, state.prior, state.step), more, jnp.abs(td)
