"""Decision Transformer: what is done next is predicted from what was seen and done, and
from the return that was still to come; to act well is to ask for a high one.

    sequence  R₁, s₁, a₁, R₂, s₂, a₂, ...,  the last K steps of an episode
              Rₜ = rₜ + rₜ₊₁ + ..., to its end and without a discount
    Box       minimise  E[(π(... Rₜ, sₜ) - aₜ)²]
    Discrete  maximise  E[log π(aₜ | ... Rₜ, sₜ)]
    act       R₁ is asked for, Rₜ₊₁ = Rₜ - rₜ

Tokens of one step share what is learned for its time in the episode. AdamW, whose step
size rises linearly and whose gradient is clipped.

Chen, Lu et al., 2021. https://arxiv.org/abs/2106.01345; what the paper leaves open is
taken from the authors' code for Gym, and so are the values.

K steps are read anew for each action, as the authors do: once the oldest is dropped,
the keys and values above the first layer are others than those a cache would hold.

Deliberately different: returns are divided by the dataset's largest one instead of a
number for each task; actions are seen in units of their bounds; ε in the scaling of
observations is 1e-3 (theirs 1e-6), so that a constant entry is no danger. With choices
and images the network and its training are the same (for Atari theirs are 6 layers with
GELU, a table of places in the window, tanh behind each embedding, AdamW on matrices
only, and a step size that falls in the end), and the likeliest choice is shown, not a
sample.

Reference scores: D4RL locomotion 74.7, the mean of nine; `docs/results.md`.
"""

from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from ...core import (
    Action,
    Algorithm,
    Arrays,
    Box,
    Count,
    Discrete,
    Facts,
    fold,
    is_space,
    Key,
    known,
    MultiDiscrete,
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
    zeros,
)
from ...data import Deal
from ...nets import Encoder, fan_in, LayerNorm, Linear, normal, Transformer, Vision
from ...nets.encode import flat
from ...ops import (
    blank,
    descend,
    Number,
    Standard,
    Standardised,
    Trainable,
    trainable,
    unscale,
)
from .bc import decided, distribution, outputs, Served


STATES = slice(1, None, 3)  # where what is done next is predicted from
LATEST = slice(-2, -1)  # the last of those


class Context(eqx.Module):
    """Consecutive steps of an episode: what was seen, done and still to come, how late
    it was, and which of the steps are there at all."""

    obs: PyTree[Shaped[Arrays, "..."]]
    action: Shaped[Arrays, "..."]
    to_go: Float[Arrays, "*n"]
    """In units of `return_scale`."""
    time: Int[Arrays, "*n"]
    there: Bool[Arrays, "*n"]


class Predictor(eqx.Module):
    """What is done next, by what led to it."""

    eye: Encoder
    asked: Linear
    seen: Linear
    done: Linear
    clock: Float[Array, "longest width"]
    norm: LayerNorm
    body: Transformer
    head: Linear
    action: Served = eqx.field(static=True)
    form: Any = eqx.field(static=True)
    """The tree of an observation."""

    def tokens(self, context: Context) -> Float[Array, "tokens width"]:
        """Return, observation and action of each step, in this order."""
        asked = jax.vmap(lambda r: self.asked(r[None]))(context.to_go)
        seen = jax.vmap(lambda o: self.seen(self.eye(o)))(context.obs)
        done = jax.vmap(lambda a: self.done(spelt(self.action, a)))(context.action)
        late = self.clock[jnp.clip(context.time, 0, len(self.clock) - 1)]
        steps = jnp.stack([asked + late, seen + late, done + late], axis=1)
        return jax.vmap(self.norm)(steps.reshape(-1, steps.shape[-1]))

    def __call__(
        self,
        context: Context,
        of: slice,
        *,
        rate: Number = 0.0,
        key: Key | None = None,
    ) -> Float[Array, "asked out"]:
        """What to do at some tokens; numbers drop out at a rate, with a key."""
        there = jnp.repeat(context.there, 3)
        answers = self.body(
            self.tokens(context), there=there, asked=of, rate=rate, key=key
        )
        return jax.vmap(self.head)(answers)


def spelt(space: Served, action: Shaped[Array, "..."]) -> Float[Array, " n"]:
    """An action in numbers: in units of its bounds, or one-hot."""
    if isinstance(space, Box):
        return unscale(space, action).ravel()
    return flat(space, action)


def predictor(
    spec: Spec,
    facts: Facts,
    *,
    width: int,
    layers: int,
    heads: int,
    vision: Vision,
    key: Key,
) -> Predictor:
    """A network that has learned nothing yet; the transformer begins as GPT-2, all
    around it as PyTorch's layers do."""
    eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"), vision=vision)
    linear = lambda n, m, name: Linear(n, m, fan_in, key=fold(key, name))
    k_body, k_clock = fold(key, "body"), fold(key, "clock")
    size = outputs(spec.action)
    return Predictor(
        eye,
        linear(1, width, "asked"),
        linear(eye.size, width, "seen"),
        linear(size, width, "done"),
        normal(1.0)(k_clock, (facts.longest, width)),
        LayerNorm(width),
        Transformer(width, layers, heads, activation=jax.nn.relu, key=k_body),
        linear(width, size, "head"),
        spec.action,
        jax.tree.structure(spec.obs, is_leaf=is_space),
    )


class Asking(Policy[Context]):
    """Asks for a return, and for what is left of it after each reward."""

    net: Predictor
    target: Float[Array, ""]
    scale: Float[Array, ""]
    steps: int = eqx.field(static=True)

    def asked_for(self, target: Float[Array, ""]) -> "Asking":
        return eqx.tree_at(lambda p: p.target, self, target)

    def begin(self) -> Context:
        net, n = self.net, self.steps
        many = lambda x: jnp.zeros((n, *jnp.shape(x)), jnp.asarray(x).dtype)
        return Context(
            blank(net.eye.spaces, net.form, n),
            many(zeros(net.action)),
            jnp.full(n, self.target / self.scale),
            jnp.full(n, -1, jnp.int32),
            jnp.zeros(n, bool),
        )

    def __call__(
        self, carry: Context, t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, Context, tuple[()]]:
        fresh = lambda new, old: jnp.where(t.first, new, old)
        past = jax.tree.map(fresh, self.begin(), carry)
        earned = jnp.where(t.first, 0.0, t.reward) / self.scale
        now = Context(
            t.obs,
            jnp.zeros_like(past.action[-1]),
            past.to_go[-1] - earned,
            past.time[-1] + 1,
            jnp.array(True),
        )
        roll = lambda old, new: jnp.concatenate([old[1:], jnp.asarray(new)[None]])
        context = jax.tree.map(roll, past, now)
        pi = distribution(self.net.action, self.net(context, LATEST)[0], t.legal)
        action = decided(pi, self.net.action, key=key, explore=explore)
        done = context.action.at[-1].set(action)
        return action, eqx.tree_at(lambda c: c.action, context, done), ()


def loss(
    net: Predictor,
    context: Context,
    legal: Any,
    weight: Float[Arrays, "batch time"],
    *,
    rate: Number,
    key: Key,
) -> Float[Array, ""]:
    """`-E[log π(aₜ | ...)]` over the steps that are there; of a Box, the squared error
    stands for it."""
    box = isinstance(net.action, Box)
    answer = lambda c, k: net(c, STATES, rate=rate, key=k)
    said = jax.vmap(answer)(context, jr.split(key, len(weight)))

    def log_prob(out: Array, legal: Any, action: Array) -> Array:
        done = spelt(net.action, action) if box else action
        return distribution(net.action, out, legal).log_prob(done)

    done = jnp.asarray(context.action)
    likely = jax.vmap(jax.vmap(log_prob))(said, legal, done)
    return -(weight * likely).sum() / weight.sum()


class State(eqx.Module):
    net: Trainable[Predictor]
    standard: Standard
    target: Float[Array, ""]
    scale: Float[Array, ""]
    count: Int[Array, ""]


class DT(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box, Discrete, MultiDiscrete})
    version: ClassVar = 1

    target_return: Real | None = None
    """Return to ask for; none is the highest of the dataset."""
    return_scale: Positive | None = None
    """What returns are divided by; none is the largest of the dataset, in size."""
    context: Count = 20
    """Steps that are read at once."""
    learning_rate: Positive = 1e-4
    """AdamW's step size."""
    warmup: Count = 10_000
    """Updates over which the step size rises."""
    weight_decay: NonNegative = 1e-4
    """How much of every weight is lost in a step of size 1."""
    max_gradient: Positive = 0.25
    """Largest norm of the gradient."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.1
    """Chance of a number to drop out, in the tokens, the attention and its outputs."""
    batch: Count = 64
    """Windows per update."""
    width: Count = 128
    """Numbers per token."""
    layers: Count = 3
    """Blocks of the transformer."""
    heads: Count = 1
    """Heads of its attention."""
    standardise: bool = True
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.max_gradient),
            optax.scale_by_adam(),
            optax.add_decayed_weights(self.weight_decay),
        )

    def store(self, spec: Spec) -> Source[Any, Sample]:
        window = min(self.context, known(self, spec).longest)
        return Deal(self.batch, window, hindsight="return", within=True)

    def init(self, spec: Spec, *, key: Key) -> State:
        facts = known(self, spec)
        net = predictor(
            spec,
            facts,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            vision=self.vision,
            key=key,
        )
        target, scale = self.target_return, self.return_scale
        if target is None:
            target = facts.best
        if scale is None:
            scale = max(abs(facts.best), abs(facts.worst)) or 1.0
        if isinstance(target, int | float):
            facts.warn_if_far(f"DT.target_return = {target:g}", target)
        return State(
            trainable(net, self.tx),
            Standard.known(spec, use=self.standardise),
            jnp.asarray(target, jnp.float32),
            jnp.asarray(scale, jnp.float32),
            jnp.array(0, int),
        )

    def policy(self, state: State) -> Standardised:
        net = state.net.net
        steps = min(self.context, len(net.clock))
        asking = Asking(net, state.target, state.scale, steps)
        return Standardised(asking, state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, count = state.standard.steps(batch.steps), state.count + 1
        to_go = steps.extras.to_go / state.scale
        there = batch.weight > 0
        context = Context(steps.obs, steps.action, to_go, steps.extras.time, there)

        def error(net: Predictor) -> tuple[Float[Array, ""], Float[Array, ""]]:
            value = loss(
                net, context, steps.legal, batch.weight, rate=self.dropout, key=key
            )
            return value, value

        rate = self.learning_rate * jnp.minimum(count / self.warmup, 1.0)
        net, value = descend(self.tx, state.net, error, rate=rate)
        new = State(net, state.standard, state.target, state.scale, count)
        return new, Report({"loss": value})
