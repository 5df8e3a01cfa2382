"""ARSQ, auto-regressive soft Q-learning: an action is a row of small choices, from
coarse to fine, each made after those before it, and what a choice adds to the value of
a state is its soft advantage.

    Q(s, a) = V(s) + Σᵢ A(s, a¹ ... aⁱ)
    π(aⁱ | s, a¹ ... aⁱ⁻¹) = exp(A(s, a¹ ... aⁱ) / α),  which sum to 1 over aⁱ
    minimise  E[(Q(s, a) - y)²] / 2,   y = r + γ (1 - terminated) V̄(s')

So V is α log Σ exp(Q/α) over whole actions, whatever the networks say. The first choice
for every entry of an action is a bin of its range, the next a bin of that bin.

Liu et al., 2025, section 4. https://arxiv.org/abs/2502.00288; bins in bins: Seo et al.,
2024, https://arxiv.org/abs/2407.07787, whose levels and bins are the defaults.

Deliberately different: `automatic` adapts α, as in SAC, to whatever rewards there are;
V and A are networks of their own, in which a choice is told as the middles of the bins
chosen so far. Step sizes and widths are those of SAC. Demonstrations are mixed into
batches by the engine (`--data ... --online ...`), for every algorithm alike.

Reference scores: `docs/results.md`.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    Box,
    Count,
    fold,
    Key,
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
from ...nets import Encoder, fan_in, MLP, normal, Vision
from ...ops import descend, polyak, scale, Trainable, trainable, unscale
from . import sac


Middle = Float[Array, " entry"]  # of the bins chosen so far, in units of the range
Digits = Int[Array, "level entry"]  # the bin chosen in the bin before, for each entry
Pick = Callable[[Int[Array, ""], Float[Array, " bin"]], Int[Array, ""]]
"""The bin that is taken, by which choice it is and the log-probabilities."""


class Worth(eqx.Module):
    """The soft value of a state."""

    eye: Encoder
    body: MLP

    def __call__(self, obs: Obs) -> Float[Array, ""]:
        return self.body(self.eye(obs))[0]


class Choices(eqx.Module):
    """How likely every bin is for an entry at a level, given the choices before."""

    eye: Encoder
    body: MLP
    action: Box = eqx.field(static=True)
    levels: int = eqx.field(static=True)
    bins: int = eqx.field(static=True)
    told: bool = eqx.field(static=True)
    """Whether a choice is told those of its own level."""

    def ask(
        self,
        x: Float[Array, " feature"],
        middle: Middle,
        level: Int[Array, ""],
        entry: Int[Array, ""],
    ) -> Float[Array, " bin"]:
        """The logarithms of the probabilities of one choice."""
        place = jax.nn.one_hot(level * len(middle) + entry, self.levels * len(middle))
        return jax.nn.log_softmax(self.body(jnp.concatenate([x, middle, place])))

    def __call__(self, obs: Obs, digits: Digits) -> Float[Array, "level entry bin"]:
        """Of all choices, each given those that were made before it."""
        x, done = self.eye(obs), middles(digits, self.bins)
        level, entry = jnp.indices(digits.shape)
        now, before = done[1:][:, None], done[:-1][:, None]
        earlier = jnp.tri(digits.shape[1], k=-1, dtype=bool)[None] & self.told
        known = jnp.where(earlier, now, before)
        return jax.vmap(jax.vmap(lambda *at: self.ask(x, *at)))(known, level, entry)

    def unroll(self, obs: Obs, pick: Pick) -> Middle:
        """The middles of the bins that are picked in turn."""
        x, entries = self.eye(obs), self.action.size

        def one(chosen: tuple[Middle, Middle], i: Array) -> Any:
            level, entry = i // entries, i % entries
            middle, before = chosen
            before = jnp.where(entry == 0, middle, before)
            log_prob = self.ask(x, middle if self.told else before, level, entry)
            part = moved(pick(i, log_prob), level, self.bins)
            return (middle.at[entry].add(part), before), None

        blank = jnp.zeros(entries)
        places = jnp.arange(self.levels * entries)
        return jax.lax.scan(one, (blank, blank), places)[0][0]

    def digits(self, action: Action) -> Digits:
        """The choices that lead nearest to an action of the box."""
        return digits(unscale(self.action, action).ravel(), self.levels, self.bins)

    def scaled(self, middle: Middle) -> Action:
        return scale(self.action, middle.reshape(self.action.shape))


def digits(unit: Middle, levels: int, bins: int) -> Digits:
    """From numbers in [-1, 1] to bins in bins, the coarsest first."""
    cells = bins**levels
    cell = jnp.clip(jnp.floor((unit + 1) / 2 * cells), 0, cells - 1).astype(jnp.int32)
    size = bins ** jnp.arange(levels - 1, -1, -1)
    return cell[None] // size[:, None] % bins


def moved(
    digit: Int[Array, "*n"], level: Int[Array, "*#n"], bins: int
) -> Float[Array, "*n"]:
    """How far the middle of a bin that is chosen at a level lies from that of the bin
    it is chosen in."""
    half = float(bins) ** -level.astype(float)
    return half * ((2 * digit + 1) / bins - 1)


def middles(digits: Digits, bins: int) -> Float[Array, "levels_and_one entry"]:
    """The middle of the range, and of the bins chosen at each level."""
    parts = moved(digits, jnp.arange(len(digits))[:, None], bins)
    return jnp.concatenate([jnp.zeros((1, digits.shape[1])), jnp.cumsum(parts, axis=0)])


class Soft(Policy[tuple[()]]):
    """Samples every choice when exploring, takes the likeliest in turn when showing."""

    net: Choices

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        best = lambda i, log_prob: log_prob.argmax()
        any_one = lambda i, log_prob: jax.random.categorical(
            fold(key, "choice", i), log_prob
        )
        middle = self.net.unroll(t.obs, any_one if explore else best)
        return self.net.scaled(middle), carry, ()


class Nets(eqx.Module):
    worth: Worth
    choices: Choices


class State(eqx.Module):
    nets: Trainable[Nets]
    target: Worth
    log_alpha: Trainable[Float[Array, ""]]


class ARSQ(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    levels: Count = 3
    """How often a range is cut into bins, each time the chosen bin of the last."""
    bins: Annotated[int, Range(2)] = 5
    """Into how many."""
    autoregressive: bool = True
    """Every choice is told all before it; or else only the coarser ones."""
    alpha: Positive = 0.1
    """Temperature at the beginning (and for good, unless `automatic`)."""
    automatic: bool = True
    """Adapt the temperature until the policy's entropy meets the target."""
    entropy_ratio: Unit = 0.5
    """Entropy to meet, as a fraction of the largest possible."""
    learning_rate: Positive = 3e-4
    """Adam's step size."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target network."""
    batch: Count = 256
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps."""
    warmup: Whole = 1_000
    """Steps before the first update."""
    every: Count = 1
    """Steps between updates, over all environments."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of both networks each."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup, self.every)

    def init(self, spec: Spec, *, key: Key) -> State:
        entries = spec.action.size
        see = lambda name: Encoder(
            spec.obs, init=fan_in, key=fold(key, name), vision=self.vision
        )
        eye, other = see("eye"), see("other")
        worth = MLP([eye.size, *self.hidden, 1], key=fold(key, "worth"))
        told = other.size + entries + self.levels * entries
        body = MLP(
            [told, *self.hidden, self.bins], last=normal(0.0), key=fold(key, "choices")
        )
        nets = Nets(
            Worth(eye, worth),
            Choices(
                other, body, spec.action, self.levels, self.bins, self.autoregressive
            ),
        )
        log_alpha = jnp.log(jnp.asarray(self.alpha, jnp.float32))
        return State(
            trainable(nets, self.tx), nets.worth, trainable(log_alpha, self.tx)
        )

    def policy(self, state: State) -> Soft:
        return Soft(state.nets.net.choices)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, alpha = batch.steps, jnp.exp(state.log_alpha.net)
        follows = jax.vmap(state.target)(steps.next_obs)
        y = steps.reward + self.gamma * jnp.where(steps.terminated, 0.0, follows)
        made = jax.vmap(state.nets.net.choices.digits)(steps.action)

        def loss(nets: Nets) -> Any:
            value = jax.vmap(nets.worth)(steps.obs)
            log_prob = jax.vmap(nets.choices)(steps.obs, made)
            taken = jax.nn.one_hot(made, self.bins, dtype=bool)
            of_action = jnp.where(taken, log_prob, 0.0).sum(axis=(1, 2, 3))
            td = value + alpha * of_action - y
            entropy = -(jnp.exp(log_prob) * log_prob).sum(axis=-1).mean()
            found = td, value.mean(), entropy
            return (batch.weight * jnp.square(td)).mean() / 2, found

        nets, (td, value, entropy) = descend(
            self.tx, state.nets, loss, rate=self.learning_rate
        )
        log_alpha = state.log_alpha
        if self.automatic:
            wanted = self.entropy_ratio * jnp.log(self.bins)
            log_alpha, _ = descend(
                self.tx,
                log_alpha,
                lambda x: sac.alpha_loss(x, -entropy, wanted),
                rate=self.learning_rate,
            )
        target = polyak(state.target, nets.net.worth, self.tau)
        report = {
            "critic_loss": jnp.square(td).mean() / 2,
            "value": (td + y).mean(),
            "soft_value": value,
            "entropy": entropy,
            "alpha": alpha,
        }
        return State(nets, target, log_alpha), Report(report, surprise=jnp.abs(td))
