"""The search for the best sentence that goes on.

Of `offline.tt`: Janner, Li & Levine, 2021, https://arxiv.org/abs/2106.02039. By reward
it is the authors' planner, by likelihood a plain beam search.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from ...core import Key
from ...nets import Cache
from ...ops import Bins, extended, narrowed
from .sentences import Layout, Model


FAR = -1e30  # the score of a beam that is none
T = TypeVar("T")


class Beams(eqx.Module):
    """Plans side by side, and what is known of each."""

    past: Int[Array, "beam step column"]
    """The last steps before the present one, the first `count` of these rows."""
    count: Int[Array, " beam"]
    now: Int[Array, "beam column"]
    """The present step, as far as it is there."""
    first: Int[Array, "beam action"]
    """What the plan begins with."""
    score: Float[Array, " beam"]
    """What plans are chosen by: a log-likelihood, or a return."""
    earned: Float[Array, " beam"]
    """The rewards so far."""


Thoughts = tuple[Float[Array, "beam width"], Cache]  # answers to the last words
Grown = tuple[Float[Array, " beam"], Int[Array, " beam"], Int[Array, " beam"]]
Grow = Callable[[Float[Array, " beam"], Float[Array, "beam word"], Array], Grown]
"""The scores of the beams that are one word longer, which beam each was, and the word;
from the scores before, the logits and the column."""


class Search(eqx.Module):
    """How a plan is looked for."""

    bins: Bins
    gamma: Float[Array, ""]
    cdf_actions: Float[Array, ""]
    cdf_obs: Float[Array, ""]
    percentile: Float[Array, ""] | None
    beam: int = eqx.field(static=True)
    tries: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    top_actions: int = eqx.field(static=True)
    top_obs: int = eqx.field(static=True)
    by_reward: bool = eqx.field(static=True)
    """Or else by likelihood."""

    def grow(self, layout: Layout, key: Key) -> Grow:
        """By likelihood every beam with every word, and of those the best; or every
        beam with one word, drawn among the likelier ones."""
        if not self.by_reward:
            return lambda score, logits, _: extended(score, jax.nn.log_softmax(logits))
        kinds = (layout.obs, layout.action, 2)
        of_each = lambda *x: jnp.concatenate(list(map(jnp.full, kinds, x)))
        top = of_each(self.top_obs, self.top_actions, 1)
        cdf = of_each(self.cdf_obs, self.cdf_actions, 0.0)

        def draw(score: Array, logits: Array, column: Array) -> Grown:
            some = jax.vmap(lambda x: narrowed(x, top=top[column], cdf=cdf[column]))
            token = jr.categorical(jr.fold_in(key, column), some(logits))
            return score, jnp.arange(len(score)), token

        return draw

    def judged(
        self, probs: Float[Array, "2 bin"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Reward, and what comes after it: expected, or at a percentile."""
        pays = self.bins.of(slice(-2, None))
        if self.percentile is None:
            return tuple(pays.mean(probs))
        return tuple(pays.percentile(probs, self.percentile))


def picked(tree: T, at: Int[Array, " some"]) -> T:
    return jax.tree.map(lambda x: x[at], tree)


def grown(
    model: Model,
    beams: Beams,
    thoughts: Thoughts,
    columns: slice,
    grow: Grow,
    given: Bool[Array, ""],
) -> tuple[Beams, Thoughts, Float[Array, "column beam bin"]]:
    """The beams with some columns more, unless those are given; and what was thought of
    each number."""

    def one(
        now: tuple[Beams, Thoughts], column: Int[Array, ""]
    ) -> tuple[tuple[Beams, Thoughts], Array]:
        beams, (answer, cache) = now
        logits = answer @ model.heads[column]
        score, parent, token = grow(beams.score, logits, column)
        parent = jnp.where(given, jnp.arange(len(score)), parent)
        token = jnp.where(given, beams.now[:, column], token)
        score = jnp.where(given, beams.score, score)
        beams, cache = picked((beams, cache), parent)
        row = beams.now.at[:, column].set(token.astype(jnp.int32))
        beams = dataclasses.replace(beams, now=row, score=score)
        thoughts = jax.vmap(model.extend)(token[:, None], cache)
        return (beams, thoughts), jax.nn.softmax(logits)[:, :-1]

    over = jnp.arange(columns.start, columns.stop)
    (beams, thoughts), probs = jax.lax.scan(one, (beams, thoughts), over)
    return beams, thoughts, probs


def appended(
    past: Int[Array, "step column"], count: Int[Array, ""], row: Int[Array, " column"]
) -> tuple[Int[Array, "step column"], Int[Array, ""]]:
    """One row more; the oldest is dropped where there is no room."""
    room = len(past)
    past = jnp.where(count == room, jnp.roll(past, -1, axis=0), past)
    past = past.at[jnp.minimum(count, room - 1)].set(row)
    return past, jnp.minimum(count + 1, room)


def ahead(
    model: Model,
    search: Search,
    beams: Beams,
    step: Int[Array, ""],
    goal: Int[Array, " obs"],
    key: Key,
) -> Beams:
    """One step more: what is seen, unless that is the present, what is done, and what
    that earns."""
    layout, now = model.layout, step == 0
    grow = search.grow(layout, jr.fold_in(key, step))
    thoughts = jax.vmap(lambda p, n: model.read(p, n, goal))(beams.past, beams.count)
    seen, done = slice(0, layout.obs), slice(layout.obs, layout.size)
    beams, thoughts, _ = grown(model, beams, thoughts, seen, grow, now)
    if search.by_reward:
        again = jnp.tile(jnp.arange(search.beam), search.tries)
        beams, thoughts = picked((beams, thoughts), again)
    no = jnp.array(False)
    beams, _, probs = grown(model, beams, thoughts, done, grow, no)
    if search.by_reward:
        reward, rest = jax.vmap(search.judged, in_axes=1)(probs[-2:])
        power = search.gamma**step
        earned = beams.earned + power * reward
        score, best = jax.lax.top_k(earned + power * rest, search.beam)
        beams = dataclasses.replace(beams, earned=earned)
        beams = dataclasses.replace(picked(beams, best), score=score)
    past, count = jax.vmap(appended)(beams.past, beams.count, beams.now)
    first = jnp.where(now, beams.now[:, layout.acts], beams.first)
    return dataclasses.replace(beams, past=past, count=count, first=first)


def planned(
    model: Model,
    search: Search,
    past: Int[Array, "step column"],
    count: Int[Array, ""],
    obs: Int[Array, " obs"],
    goal: Int[Array, " obs"],
    *,
    key: Key,
) -> tuple[Int[Array, " action"], Float[Array, ""]]:
    """What the best plan begins with, and its score."""
    layout, n = model.layout, search.beam
    wide = lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x)))
    now = jnp.zeros(layout.size, jnp.int32).at[: layout.obs].set(obs)
    score = jnp.zeros(n)
    if not search.by_reward:  # all are the same: only one of them counts
        score = jnp.full(n, FAR).at[0].set(0.0)
    first = jnp.zeros((n, layout.action), jnp.int32)
    beams = Beams(wide(past), wide(count), wide(now), first, score, jnp.zeros(n))
    turn = lambda b, step: (ahead(model, search, b, step, goal, key), None)
    beams, _ = jax.lax.scan(turn, beams, jnp.arange(search.steps))
    best = beams.score.argmax()
    return beams.first[best], beams.score[best]
