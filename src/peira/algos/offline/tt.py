"""Trajectory Transformer: episodes are sentences, a transformer says how likely each
next word is, and to act is to look for the best sentence that goes on.

    step      s¹ ... sᵈ, a¹ ... aᵉ, r, R,  each number one of N words (bins)
              Rₜ = γ rₜ₊₁ + γ² rₜ₊₂ + ...
    maximise  Σ w log p(word | the words before it),  but no word sees an earlier R
    reward    beams are drawn word by word; of each step's those are kept that have the
              most r₁ + γ r₂ + ... + γᵗ⁻¹ (rₜ + Rₜ), all by their expectation
    likelihood  beams are kept by Σ log p, of every word with every beam: imitation
    goal      the same, where the last observation of the episode stands before all

Bins are cut at quantiles of the dataset's columns, or evenly. After a death comes one
word without end. AdamW, whose step size rises linearly and falls as a cosine.

Janner, Li & Levine, 2021. https://arxiv.org/abs/2106.02039; what the paper leaves open
is taken from the authors' code, and so are the values.

Deliberately different: R has one γ more, by which no bin and no sum changes; a number
that many steps share has a bin of its own (theirs refuse such rewards); percentiles are
those of the bin they fall into (theirs of the one before it); nothing is learned from
what would follow a truncation; a death costs nothing (theirs: -100); the step size
stays low once it is (theirs rises again after the 20 epochs that it is made for); the
goal stands once before the blocks (theirs also runs through them twice), and steps
towards one have no r and R. To show, beams are drawn with one fixed key.

Reference scores: D4RL locomotion 78.9, the mean of nine; `docs/results.md`.
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
    BadConfig,
    Box,
    Count,
    describe,
    fold,
    is_space,
    Key,
    known,
    NonNegative,
    Policy,
    Positive,
    Range,
    Report,
    Sample,
    Source,
    Spec,
    TimeStep,
    Unit,
    Whole,
)
from ...data import Deal
from ...ops import Bins, descend, Number, Trainable, trainable
from .beams import appended, planned, Search
from .sentences import Layout, Model, model, numbers, words


LEAST = 0.1  # share of the step size that is left in the end
BLANK = 3.0  # standard deviations that are cut where no quantiles are known


class History(eqx.Module):
    """The last steps as tokens, the first `count` of these rows; and the present one,
    whose reward is not known yet."""

    past: Int[Array, "step column"]
    count: Int[Array, ""]
    now: Int[Array, " column"]


class Planner(Policy[History]):
    """Does the first action of the best plan, and plans anew."""

    net: Model
    search: Search
    goal: Int[Array, " obs"]
    read: int = eqx.field(static=True)

    def begin(self) -> History:
        size = self.net.layout.size
        past = jnp.zeros((self.read - 1, size), jnp.int32)
        return History(past, jnp.array(0, jnp.int32), jnp.zeros(size, jnp.int32))

    def __call__(
        self, carry: History, t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, History, tuple[()]]:
        layout, bins = self.net.layout, self.search.bins
        paid = carry.now
        if layout.valued:  # what came after is not known, and not looked at
            pays = jnp.stack([jnp.asarray(t.reward, jnp.float32), jnp.inf])
            paid = paid.at[layout.pays].set(bins.of(layout.pays).encode(pays))
        more = appended(carry.past, carry.count, paid)
        past, count = jax.tree.map(lambda x: jnp.where(t.first, 0, x), more)
        obs = bins.of(slice(layout.obs)).encode(numbers(t.obs))
        key = key if explore else jr.key(0)
        done, _ = planned(self.net, self.search, past, count, obs, self.goal, key=key)
        done = jnp.minimum(done, bins.size - 1)
        blank = jnp.zeros(2 * layout.valued, jnp.int32)
        now = jnp.concatenate([obs, done, blank])
        box = self.net.action
        action = bins.of(layout.acts).decode(done).reshape(box.shape)
        action = jnp.clip(action, box.low, box.high).astype(box.dtype)
        return action, History(past, count, now), ()


def loss(
    net: Model,
    tokens: Int[Array, "batch time"],
    goal: Int[Array, "batch obs"],
    weight: Float[Array, "batch time"],
    *,
    rate: Number,
    key: Key,
) -> Float[Array, ""]:
    """`-w log p(word | before)`, a mean over all words but the first, whether they have
    a weight or not."""

    def one(said: Array, goal: Array, key: Key) -> Float[Array, " time"]:
        likely = jax.nn.log_softmax(net(said[:-1], goal, rate=rate, key=key))
        return jnp.take_along_axis(likely, said[1:, None], axis=1)[:, 0]

    likely = jax.vmap(one)(tokens, goal, jr.split(key, len(tokens)))
    return -(weight[:, 1:] * likely).mean()


class State(eqx.Module):
    net: Trainable[Model]
    bins: Bins
    goal: Int[Array, " obs"]
    """To be reached, as tokens; any, where there is none."""
    count: Int[Array, ""]


class TT(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    search: Literal["reward", "likelihood", "goal"] = "reward"
    """What plans are chosen by: the return, how likely they are, or how likely they are
    on the way to a goal."""
    goal: Annotated[tuple[float, ...], Range()] = ()
    """All numbers of the observation that is to be reached."""
    discretise: Literal["quantile", "uniform"] = "quantile"
    """Bins hold equally many numbers of the dataset, or are equally wide."""
    bins: Annotated[int, Range(2)] = 100
    """Words of every number."""
    context: Annotated[int, Range(2)] = 10
    """Steps of a window to learn from."""
    history: Annotated[int, Range(2)] = 5
    """Steps that are read at once to plan, the present one among them."""
    planned: Count = 15
    """Steps of a plan."""
    beam: Count = 128
    """Plans that are kept."""
    tries: Count = 2
    """Actions that are drawn for each of them."""
    cdf_actions: Unit = 0.6
    """Of an action's words, the least likely are left out that have this mass."""
    cdf_observations: Unit = 0.0
    """The same of an observation's."""
    top_actions: Whole = 0
    """Words of an action that are drawn from, the likeliest; 0 are all."""
    top_observations: Whole = 1
    """The same of an observation."""
    percentile: Unit | None = None
    """Share of the mass below the rewards that plans are judged by; none is their
    expectation."""
    gamma: Unit = 0.99
    """Discount."""
    action_weight: NonNegative = 5.0
    """Weight of an action's words in the loss."""
    reward_weight: NonNegative = 1.0
    """Weight of the reward's."""
    value_weight: NonNegative = 1.0
    """Weight of what came after it."""
    learning_rate: Positive = 6e-4
    """AdamW's largest step size."""
    warmup: Count = 4_000
    """Updates over which the step size rises."""
    falling: Count = 80_000
    """Updates after which it has fallen to a tenth, as a cosine."""
    weight_decay: NonNegative = 0.1
    """How much of every matrix is lost in a step of size 1."""
    max_gradient: Positive = 1.0
    """Largest norm of the gradient."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.1
    """Chance of a number to drop out, in the words, the attention and its outputs."""
    batch: Count = 256
    """Windows per update."""
    width: Count = 128
    """Numbers per word."""
    layers: Count = 4
    """Blocks of the transformer."""
    heads: Count = 4
    """Heads of its attention."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.max_gradient),
            optax.scale_by_adam(b1=0.9, b2=0.95),
            optax.add_decayed_weights(self.weight_decay, mask=matrices),
        )

    def store(self, spec: Spec) -> Source[Any, Sample]:
        check_flat(spec)
        came = "end" if self.search == "goal" else "return"
        return Deal(
            self.batch,
            self.context,
            hindsight=came,
            before=0,
            discount=self.gamma,
            quantiles=self.bins,
        )

    def layout(self, spec: Spec) -> Layout:
        spaces = jax.tree.leaves(spec.obs, is_leaf=is_space)
        count = sum(s.size for s in spaces)
        return Layout(count, spec.action.size, self.search != "goal")

    def init(self, spec: Spec, *, key: Key) -> State:
        check_flat(spec)
        if self.history > self.context:
            raise BadConfig(
                f"TT.history = {self.history}: nothing longer than the context, "
                f"{self.context}, is learned from"
            )
        layout = self.layout(spec)
        bins = cut(self, spec)
        net = model(
            layout,
            spec.action,
            self.bins,
            self.context,
            goals=self.search == "goal",
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            key=fold(key, "net"),
        )
        goal = jnp.zeros(layout.obs, jnp.int32)
        if self.search == "goal":
            if len(self.goal) != layout.obs:
                raise BadConfig(
                    f"TT.goal = {self.goal}: say the {layout.obs} numbers of the "
                    "observation that is to be reached"
                )
            wanted = jnp.asarray(self.goal, jnp.float32)
            goal = bins.of(slice(layout.obs)).encode(wanted)
        return State(trainable(net, self.tx), bins, goal, jnp.array(0, int))

    def policy(self, state: State) -> Planner:
        real = lambda x: jnp.asarray(x, jnp.float32)
        search = Search(
            state.bins,
            real(self.gamma),
            real(self.cdf_actions),
            real(self.cdf_observations),
            None if self.percentile is None else real(self.percentile),
            self.beam,
            self.tries,
            self.planned,
            self.top_actions,
            self.top_observations,
            self.search == "reward",
        )
        return Planner(state.net.net, search, state.goal, self.history)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        layout, count = state.net.net.layout, state.count + 1
        tokens, there = words(state.bins, layout, batch)
        kinds = (1.0, self.action_weight, self.reward_weight, self.value_weight)
        many = (layout.obs, layout.action, *(int(layout.valued),) * 2)
        column = jnp.concatenate(
            [jnp.full(n, w) for n, w in zip(many, kinds, strict=True)]
        )
        flat = lambda x: x.reshape(len(x), -1)
        weight = flat(there[:, :, None] * column[None, None])
        goal = jnp.zeros((len(tokens), layout.obs), jnp.int32)
        if not layout.valued:
            ends = jax.tree.map(lambda x: x[:, 0], batch.steps.extras)
            see = state.bins.of(slice(layout.obs)).encode
            goal = jax.vmap(lambda o: see(numbers(o)))(ends)

        def error(net: Model) -> tuple[Float[Array, ""], Float[Array, ""]]:
            value = loss(net, flat(tokens), goal, weight, rate=self.dropout, key=key)
            return value, value

        rate = self.learning_rate * paced(count, self.warmup, self.falling)
        net, value = descend(self.tx, state.net, error, rate=rate)
        return State(net, state.bins, state.goal, count), Report({"loss": value})


def cut(self: TT, spec: Spec) -> Bins:
    """Where columns are cut: as the dataset says; evenly, where nothing but the scale
    is known, as of a policy that is read from a file and brings its own."""
    facts = known(self, spec)
    edges = facts.edges
    if edges is None:
        mean, std = (numbers(x) for x in (facts.mean, facts.std))
        box, returns = spec.action, jnp.array([facts.worst, facts.best])
        bound = lambda x: jnp.nan_to_num(jnp.ravel(x), posinf=1.0, neginf=-1.0)
        pays = lambda x: jnp.stack([x, x]).astype(jnp.float32)
        low = [mean - BLANK * std, bound(box.low), pays(returns[0])]
        high = [mean + BLANK * std, bound(box.high), pays(returns[1])]
        low, high = jnp.concatenate(low), jnp.concatenate(high)
        edges = jnp.linspace(low, high, self.bins + 1, axis=1)
    bins = Bins(jnp.asarray(edges, jnp.float32))
    return bins.even() if self.discretise == "uniform" else bins


def check_flat(spec: Spec) -> None:
    """Raise `BadConfig` for observations that are no numbers in a row."""
    for space in jax.tree.leaves(spec.obs, is_leaf=is_space):
        if len(space.shape) > 1:
            raise BadConfig(
                f"TT reads observations number by number: {describe(space)} is not "
                "flat; name another algorithm, or another environment"
            )


def matrices(net: Model) -> Model:
    """What loses weight: no words, places, norms or biases."""
    none = jax.tree.map(lambda x: False, net)
    wide = jax.tree.map(lambda x: x.ndim > 1, net.body)
    return eqx.tree_at(lambda n: (n.body, n.heads), none, (wide, True))


def paced(count: Int[Array, ""], warmup: int, falling: int) -> Float[Array, ""]:
    """The share of the step size after so many updates: up in a line, down in a cosine
    to a tenth."""
    gone = jnp.clip((count - warmup) / max(1, falling - warmup), 0.0, 1.0)
    fallen = jnp.maximum(LEAST, (1 + jnp.cos(jnp.pi * gone)) / 2)
    return jnp.where(count < warmup, count / warmup, fallen)
