"""Episodes as sentences, and what a transformer says of the next word.

Of `offline.tt`: Janner, Li & Levine, 2021, https://arxiv.org/abs/2106.02039. A step is
a row of tokens, one for each column: the numbers of an observation, those of an action
and perhaps, `valued`, the reward and what came after it. After a death comes one token
again and again, in every column.
"""

import dataclasses
import functools as ft
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from ...core import Box, fold, Key, Obs, Sample
from ...nets import Cache, fan_in, normal, Transformer
from ...ops import Bins, Number


GELU = ft.partial(jax.nn.gelu, approximate=False)


class Layout(NamedTuple):
    """What the columns of a step are."""

    obs: int
    action: int
    valued: bool

    @property
    def size(self) -> int:
        return self.obs + self.action + 2 * self.valued

    @property
    def acts(self) -> slice:
        return slice(self.obs, self.obs + self.action)

    @property
    def pays(self) -> slice:
        """Reward, and what comes after it."""
        return slice(self.obs + self.action, self.size)


class Model(eqx.Module):
    """What comes next, for every column by words and a head of its own."""

    words: Float[Array, "entry width"]
    """Those of one column after another; the last stands for the end in all."""
    places: Float[Array, "place width"]
    goals: Float[Array, "wish width"] | None
    body: Transformer
    heads: Float[Array, "column width word"]
    layout: Layout = eqx.field(static=True)
    action: Box = eqx.field(static=True)

    @property
    def end(self) -> int:
        """The token after a death."""
        return self.heads.shape[2] - 1

    @property
    def prefix(self) -> int:
        """Tokens that stand before the first step."""
        return 0 if self.goals is None else self.layout.obs

    def embed(
        self, token: Int[Array, " time"], place: Int[Array, " time"]
    ) -> Float[Array, "time width"]:
        word = token + place % self.layout.size * self.end
        word = jnp.where(token == self.end, len(self.words) - 1, word)
        return self.words[word] + self.places[place]

    def told(self, goal: Int[Array, " obs"]) -> Float[Array, "goal width"]:
        """What stands before the first step."""
        if self.goals is None:
            return jnp.zeros((0, self.words.shape[1]))
        return self.goals[goal + jnp.arange(len(goal)) * self.end]

    def seen(self, places: int) -> Bool[Array, " place"]:
        """Nobody sees what came after a reward: it is predicted, never known."""
        column = jnp.arange(places) % self.layout.size
        seen = (column < self.layout.size - 1) | (not self.layout.valued)
        return jnp.concatenate([jnp.ones(self.prefix, bool), seen])

    def __call__(
        self,
        tokens: Int[Array, " time"],
        goal: Int[Array, " obs"],
        *,
        rate: Number = 0.0,
        key: Key | None = None,
    ) -> Float[Array, "time word"]:
        """The logits of what follows each token."""
        n, size = len(tokens), self.layout.size
        x = jnp.concatenate([self.told(goal), self.embed(tokens, jnp.arange(n))])
        here = slice(self.prefix, None)
        x = self.body(x, there=self.seen(n), asked=here, rate=rate, key=key)
        rows = jnp.pad(x, ((0, -n % size), (0, 0))).reshape(-1, size, x.shape[1])
        heads = jnp.roll(self.heads, -1, axis=0)
        logits = jnp.einsum("scw,cwv->scv", rows, heads)
        return logits.reshape(-1, logits.shape[2])[:n]

    def read(
        self, past: Int[Array, "step column"], count: Int[Array, ""], goal: Array
    ) -> tuple[Float[Array, " width"], Cache]:
        """The answer to the last of so many first rows, and the cache with room for one
        more behind them."""
        tokens = past.ravel()
        cache = self.body.begin(self.prefix + tokens.size + self.layout.size)
        x = self.embed(tokens, jnp.arange(tokens.size))
        seen = self.seen(tokens.size + self.layout.size)
        x = jnp.concatenate([self.told(goal), x])
        answers, cache = self.body.extend(x, cache, there=seen)
        length = self.prefix + count * self.layout.size
        cache = dataclasses.replace(cache, length=length.astype(cache.length.dtype))
        return answers[jnp.maximum(length - 1, 0)], cache

    def extend(
        self, tokens: Int[Array, " time"], cache: Cache
    ) -> tuple[Float[Array, " width"], Cache]:
        """The answer to the last of some tokens more."""
        place = cache.length - self.prefix + jnp.arange(len(tokens))
        seen = self.seen(len(cache.keys[0]) - self.prefix)
        answers, cache = self.body.extend(self.embed(tokens, place), cache, there=seen)
        return answers[-1], cache


def model(
    layout: Layout,
    action: Box,
    bins: int,
    context: int,
    *,
    goals: bool,
    width: int,
    layers: int,
    heads: int,
    key: Key,
) -> Model:
    """A network that has learned nothing yet, as the authors' begins."""
    small, part = normal(0.02), lambda name: fold(key, name)
    head = lambda k: fan_in(k, (width, bins + 1))
    return Model(
        small(part("words"), (layout.size * bins + 1, width)),
        jnp.zeros((context * layout.size, width)),
        small(part("goals"), (layout.obs * bins, width)) if goals else None,
        Transformer(width, layers, heads, activation=GELU, key=part("body")),
        jax.vmap(head)(jr.split(part("heads"), layout.size)),
        layout,
        action,
    )


def numbers(obs: Obs) -> Float[Array, " obs"]:
    """All of an observation's in a row."""
    flat = [jnp.ravel(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves(obs)]
    return jnp.concatenate(flat)


def words(
    bins: Bins, layout: Layout, batch: Sample
) -> tuple[Int[Array, "batch step column"], Bool[Array, "batch step"]]:
    """Windows as tokens, and which steps of them there is something to learn from:
    those that are there, and those that a death leaves out."""
    steps, (n, k) = batch.steps, batch.weight.shape
    obs = jax.vmap(jax.vmap(numbers))(steps.obs)
    columns = [obs, jnp.asarray(steps.action, jnp.float32).reshape(n, k, -1)]
    if layout.valued:
        pays = (steps.reward, steps.extras.to_go - steps.reward)
        columns.append(jnp.stack(pays, axis=2))
    x = jnp.concatenate(columns, axis=2)
    tokens = jax.vmap(jax.vmap(bins.of(slice(layout.size)).encode))(x)
    there = jnp.asarray(batch.weight > 0)
    return jnp.where(there[:, :, None], tokens, bins.size), there | steps.terminated
