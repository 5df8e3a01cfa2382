"""Conservative Q-learning for choices, on quantile regression.

    target   yⱼ = r + γ (1 - terminated) θ̄ⱼ(s', a*),  a* = argmax Q̄(s', ·),
             or argmax Q(s', ·) when `double`;  Q(s, a) = mean θⱼ(s, a)
    loss     E[Σᵢ meanⱼ ρᵢ(yⱼ - θᵢ(s, a))] + w E[log Σₐ exp Q(s, a) - Q(s, a)]
             ρᵢ(u) = |(i + ½) / n - 1(u < 0)| Huber(u),  i = 0 .. n-1

The paper's Atari agent, which is QR-DQN and not double. With one quantile it is DQN
whose Huber loss counts half; `--quantiles 1 --double` is then CQL on double DQN.

Kumar, Zhou, Tucker & Levine, 2020. https://arxiv.org/abs/2006.04779 (eq. 4); QR-DQN:
Dabney et al., 2018, https://arxiv.org/abs/1710.10044 (algorithm 1). Settings are those
of the authors' code: w = 1 with a tenth of the replay, 4 with a hundredth; targets are
copied every 8000 steps there, of which every fourth is an update.

Deliberately different: networks of linear layers after what sees; where an environment
is learned from too, the chance of a random action does not fall.

Reference scores: the paper's tables (Atari); `docs/results.md`.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Algorithm,
    Arrays,
    Count,
    Discrete,
    fold,
    Key,
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
from ...nets import Encoder, fan_in, MLP, Vision
from ...ops import (
    descend,
    Number,
    quantile_huber_loss,
    Standard,
    Standardised,
    Trainable,
    trainable,
    when,
)
from ..online.dqn import EpsilonGreedy, NEVER


class Quantiles(eqx.Module):
    """How the return of every action is spread: quantiles, of which the mean is the
    value."""

    encoder: Encoder
    body: MLP
    actions: int = eqx.field(static=True)

    def spread(self, obs: Obs) -> Float[Array, "action quantile"]:
        return self.body(self.encoder(obs)).reshape(self.actions, -1)

    def __call__(self, obs: Obs, legal: Any = None) -> Float[Array, " action"]:
        q = self.spread(obs).mean(axis=-1)
        return q if legal is None else jnp.where(legal, q, NEVER)


class State(eqx.Module):
    net: Trainable[Quantiles]
    target: Quantiles
    standard: Standard
    step: Int[Array, ""]


def target(
    net: Quantiles, chooser: Quantiles, steps: Transition, *, gamma: Number
) -> Float[Arrays, "batch quantile"]:
    """`y`, with the action that `chooser` takes for the best."""
    best = jax.vmap(chooser)(steps.next_obs, steps.next_legal).argmax(axis=-1)
    rows = jnp.arange(best.shape[0])
    after = jax.vmap(net.spread)(steps.next_obs)[rows, best]
    after = jnp.where(steps.terminated[:, None], 0.0, after)
    return steps.reward[:, None] + gamma * after


def quantile_loss(
    guess: Float[Array, " quantile"], y: Float[Arrays, " quantile"]
) -> Float[Array, ""]:
    """`Σᵢ meanⱼ ρᵢ(yⱼ - θᵢ)` of one action."""
    n = guess.shape[0]
    tau = (jnp.arange(n) + 0.5) / n
    one = lambda theta, t: quantile_huber_loss(y - theta, t).mean()
    return jax.vmap(one)(guess, tau).sum()


class DiscreteCQL(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1

    min_q_weight: NonNegative = 1.0
    """w: how much being conservative counts against the error of the values."""
    quantiles: Count = 200
    """Quantiles of the return of each action; 1 is plain DQN, its loss halved."""
    double: bool = False
    """Choose the next action by the online network."""
    learning_rate: Positive = 5e-5
    """Adam's step size."""
    gamma: Unit = 0.99
    """Discount."""
    batch: Count = 32
    """Items per update."""
    target_every: Count = 2000
    """Updates between copies to the target network."""
    epsilon: Unit = 0.01
    """Chance of a random action, where an environment is learned from too."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers."""
    standardise: bool = False
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(eps=0.01 / 32)

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup)

    def init(self, spec: Spec, *, key: Key) -> State:
        n = spec.action.n
        eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"), vision=self.vision)
        body = MLP([eye.size, *self.hidden, n * self.quantiles], key=fold(key, "body"))
        net = Quantiles(eye, body, n)
        standard = Standard.known(spec, use=self.standardise)
        return State(trainable(net, self.tx), net, standard, jnp.array(0, int))

    def policy(self, state: State) -> Standardised:
        roam = jnp.where(state.step == 0, 1.0, self.epsilon)
        return Standardised(EpsilonGreedy(state.net.net, roam), state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, rows = state.standard.steps(batch.steps), jnp.arange(len(batch.weight))
        chooser = state.net.net if self.double else state.target
        y = target(state.target, chooser, steps, gamma=self.gamma)

        def loss(net: Quantiles) -> Any:
            guess = jax.vmap(net.spread)(steps.obs)[rows, steps.action]
            q = guess.mean(axis=-1)
            every = jax.vmap(net)(steps.obs, steps.legal)
            gap = jax.nn.logsumexp(every, axis=-1) - q
            miss = jax.vmap(quantile_loss)(guess, y)
            total = (batch.weight * (miss + self.min_q_weight * gap)).mean()
            return total, (miss, gap, q)

        net, (miss, gap, q) = descend(self.tx, state.net, loss, rate=self.learning_rate)
        step = state.step + 1
        new = when(step % self.target_every == 0, lambda _: net.net, state.target)
        report = {"loss": miss.mean(), "gap": gap.mean(), "value": q.mean()}
        surprise = jnp.abs(y.mean(axis=-1) - q)
        return State(net, new, state.standard, step), Report(report, surprise)
