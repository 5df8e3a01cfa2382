"""Q-Transformer: every entry of an action is a choice of its own, made after those
before it, and a transformer says what each choice is worth.

    Q(s, a¹ ... aⁱ)  ←  max over aⁱ⁺¹ of Q̄(s, a¹ ... aⁱ, aⁱ⁺¹)            i < d
    Q(s, a¹ ... a^d) ←  r + γ (1 - terminated) max over a¹ of Q̄(s', a¹)
                        and no less than what was earned from there on
    minimise  E[(Q - target)²] / 2 + α E[(Q - lowest)²] / 2,
              the latter over the choices that were not made

s are the last observations. No discount lies between the entries of one action. With
histograms the squared errors are cross-entropies, of values on evenly spaced atoms.

Chebotar et al., 2023, section 4. https://arxiv.org/abs/2309.10150; histograms:
Farebrother et al., 2024, https://arxiv.org/abs/2403.03950.

Deliberately different: the paper's rewards are 0 or 1, at the end, and its lowest value
is 0; here values are counted from `lowest` to `highest`, so that any rewards will do,
and what was earned counts only where the episode died. Its tokens come from images and
words by networks of their own; here every observation is one token. Its n-step returns
over entries, which make learning faster, are left out.

Reference scores: none that can be had without the authors' robots; `docs/results.md`.
"""

from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, Shaped

from ...core import (
    Action,
    Algorithm,
    BadConfig,
    Box,
    Count,
    Facts,
    fold,
    is_space,
    Key,
    known,
    NonNegative,
    Policy,
    Positive,
    Range,
    Real,
    Report,
    Sample,
    Source,
    Spec,
    TimeStep,
    Unit,
)
from ...data import Deal
from ...nets import Encoder, fan_in, Linear, normal, Transformer, Vision
from ...ops import (
    binned,
    blank,
    descend,
    encoded,
    expected,
    polyak,
    recent,
    scale,
    Standard,
    Standardised,
    Trainable,
    trainable,
    unbinned,
    unscale,
)


ATOMS = np.linspace(0.0, 1.0, 51, dtype=np.float32)  # of a histogram
Loss = Literal["mse", "two-hot", "hl-gauss"]
Seen = PyTree[Shaped[Array, "time ..."]]
Choice = Int[Array, " entry"]


class Values(eqx.Module):
    """What every choice for every entry is worth, after those for the entries before:
    0 is the lowest value, 1 the highest."""

    eye: Encoder
    seen: Linear
    chosen: Float[Array, "entry bin width"]
    place: Float[Array, "token width"]
    body: Transformer
    head: Linear
    action: Box = eqx.field(static=True)
    bins: int = eqx.field(static=True)
    form: Any = eqx.field(static=True)
    """The tree of an observation."""

    @property
    def entries(self) -> int:
        return self.chosen.shape[0]

    def past(self, seen: Seen) -> Float[Array, "time width"]:
        """A token for each observation."""
        x = jax.vmap(lambda o: self.seen(self.eye(o)))(seen)
        return x + self.place[: len(x)]

    def says(self, answer: Float[Array, " width"]) -> Float[Array, "bin out"]:
        """What stands for the value of each choice: a number, or logits."""
        return self.head(answer).reshape(self.bins, -1)

    def __call__(self, seen: Seen, choice: Choice) -> Float[Array, "entry bin out"]:
        past, made = self.past(seen), choice[:-1]
        told = self.chosen[jnp.arange(len(made)), made] + self.place[len(past) :]
        tokens = jnp.concatenate([past, told])
        answers = self.body(tokens, asked=slice(len(past) - 1, None))
        return jax.vmap(self.says)(answers)

    def first(self, seen: Seen) -> Float[Array, "bin out"]:
        """Of the first entry alone."""
        return self.says(self.body(self.past(seen), asked=slice(-1, None))[0])

    def best(self, seen: Seen) -> Choice:
        """The best choice for each entry in turn."""
        past, chosen = self.past(seen), []
        cache = self.body.begin(len(self.place))
        answers, cache = self.body.extend(past, cache)
        for i in range(self.entries):
            chosen.append(read(self.says(answers[-1])).argmax())
            if i + 1 < self.entries:
                token = self.chosen[i, chosen[i]] + self.place[len(past) + i]
                answers, cache = self.body.extend(token[None], cache)
        return jnp.stack(chosen)


def read(said: Float[Array, "*n out"]) -> Float[Array, "*n"]:
    """The values that stand there."""
    return said[..., 0] if said.shape[-1] == 1 else expected(said, jnp.asarray(ATOMS))


def written(y: Float[Array, ""], *, how: Loss, sigma: Any) -> Float[Array, " out"]:
    """What should stand for a value: itself, or a histogram."""
    if how == "mse":
        return y[None]
    atoms = jnp.asarray(ATOMS)
    return encoded(y, atoms, how=how, sigma=sigma)


def miss(
    said: Float[Array, "*n out"], aim: Float[Array, "*n out"]
) -> Float[Array, "*n"]:
    """How far off values are."""
    if said.shape[-1] == 1:
        return optax.losses.l2_loss(said, aim)[..., 0]
    return optax.losses.softmax_cross_entropy(said, aim)


class Greedy(Policy[Seen]):
    """Makes the best choice for each entry in turn; it remembers what it saw."""

    net: Values
    history: int = eqx.field(static=True)

    def begin(self) -> Seen:
        net = self.net
        return blank(net.eye.spaces, net.form, self.history)

    def __call__(
        self, carry: Seen, t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, Seen, tuple[()]]:
        seen = recent(carry, t.obs, t.first)
        unit = unbinned(self.net.best(seen), self.net.bins)
        return scale(self.net.action, unit.reshape(self.net.action.shape)), seen, ()


class State(eqx.Module):
    net: Trainable[Values]
    target: Values
    standard: Standard
    low: Float[Array, ""]
    high: Float[Array, ""]


class QTransformer(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    min_q_weight: NonNegative = 1.0
    """α: how much it counts that choices nobody made are worth the lowest value."""
    lowest: Real | None = None
    """The lowest value there is; none is the dataset's worst return, or 0 if less."""
    highest: Real | None = None
    """The highest value there is; none is the dataset's best return, or 0 if more."""
    earned: bool = True
    """A target is no less than what was earned from there on, where that is known."""
    value_loss: Loss = "mse"
    """How values are learned: by regression, or as histograms by classification."""
    sigma: Positive = 0.75
    """HL-Gauss: deviation of the normal, in distances of two atoms."""
    bins: Annotated[int, Range(2)] = 256
    """Evenly spaced numbers per entry of the action, both bounds among them."""
    history: Count = 6
    """Observations that are read at once."""
    gamma: Unit = 0.98
    """Discount."""
    tau: Unit = 0.01
    """How far the target network moves towards the other per update."""
    learning_rate: Positive = 3e-4
    """Adam's step size."""
    max_gradient: Positive = 1.0
    """Largest norm of the gradient."""
    batch: Count = 256
    """Steps per update."""
    width: Count = 128
    """Numbers per token."""
    layers: Count = 3
    """Blocks of the transformer."""
    heads: Count = 4
    """Heads of its attention."""
    standardise: bool = True
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        guard = optax.clip_by_global_norm(self.max_gradient)
        return optax.chain(guard, optax.scale_by_adam())

    def store(self, spec: Spec) -> Source[Any, Sample]:
        return Deal(
            self.batch,
            self.history,
            hindsight="least",
            before=self.history - 1,
            discount=self.gamma,
        )

    def init(self, spec: Spec, *, key: Key) -> State:
        low, high = between(self, known(self, spec))
        eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"), vision=self.vision)
        linear = lambda n, m, name: Linear(n, m, fan_in, key=fold(key, name))
        entries, width = spec.action.size, self.width
        outputs = 1 if self.value_loss == "mse" else len(ATOMS)
        table, tokens = (entries, self.bins, width), self.history + entries - 1
        net = Values(
            eye,
            linear(eye.size, width, "seen"),
            normal(1.0)(fold(key, "chosen"), table),
            normal(0.02)(fold(key, "place"), (tokens, width)),
            Transformer(width, self.layers, self.heads, key=fold(key, "body")),
            linear(width, self.bins * outputs, "head"),
            spec.action,
            self.bins,
            jax.tree.structure(spec.obs, is_leaf=is_space),
        )
        target = jax.tree.map(jnp.copy, net)
        standard = Standard.known(spec, use=self.standardise)
        bounds = (jnp.asarray(x, jnp.float32) for x in (low, high))
        return State(trainable(net, self.tx), target, standard, *bounds)

    def policy(self, state: State) -> Standardised:
        return Standardised(Greedy(state.net.net, self.history), state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, net = state.standard.steps(batch.steps), state.net.net
        last = jax.tree.map(lambda x: x[:, -1], steps)
        now = jax.tree.map(jnp.asarray, steps.obs)
        then = jax.vmap(lambda old, new: recent(old, new, False))(now, last.next_obs)
        unit = jax.vmap(lambda a: unscale(net.action, a).ravel())(last.action)
        choice = binned(unit, self.bins)

        span = state.high - state.low
        old = jax.vmap(state.target)(now, choice)
        next_value = read(jax.vmap(state.target.first)(then)).max(axis=-1)
        follows = jnp.where(last.terminated, 0.0, state.low + span * next_value)
        whole = (last.reward + self.gamma * follows - state.low) / span
        y = jnp.append(read(old).max(axis=-1)[:, 1:], whole[:, None], axis=1)
        if self.earned:
            y = jnp.maximum(y, ((last.extras - state.low) / span)[:, None])
        taken = jax.nn.one_hot(choice, self.bins, dtype=bool)
        aim = lambda y: written(y, how=self.value_loss, sigma=self.sigma)
        made, least = jax.vmap(jax.vmap(aim))(y)[:, :, None], aim(jnp.zeros(()))

        def loss(net: Values) -> Any:
            said = jax.vmap(net)(now, choice)
            wide = lambda x: jnp.broadcast_to(x, said.shape)
            wrong = miss(
                said, jnp.where(wide(taken[..., None]), wide(made), wide(least))
            )
            error = jnp.where(taken, wrong, 0.0).sum(axis=-1).mean()
            rest = jnp.where(taken, 0.0, wrong).sum(axis=-1).mean() / (self.bins - 1)
            value = jnp.where(taken, read(said), 0.0).sum(axis=-1)[:, -1]
            return error + self.min_q_weight * rest, (error, rest, value)

        new, (error, rest, value) = descend(
            self.tx, state.net, loss, rate=self.learning_rate
        )
        target = polyak(state.target, new.net, self.tau)
        report = {"loss": error, "conservative_loss": rest}
        report["value"] = (state.low + span * value).mean()
        new_state = State(new, target, state.standard, state.low, state.high)
        return new_state, Report(report)


def between(self: QTransformer, facts: Facts) -> tuple[Any, Any]:
    """The lowest and the highest value. Raises `BadConfig` where nothing lies between
    them."""
    low = min(facts.worst, 0.0) if self.lowest is None else self.lowest
    high = max(facts.best, 0.0) if self.highest is None else self.highest
    told = isinstance(low, int | float) and isinstance(high, int | float)
    if told and not low < high:
        raise BadConfig(
            f"QTransformer: nothing lies between lowest = {low:g} and highest = "
            f"{high:g}; say what values there are"
        )
    return low, high
