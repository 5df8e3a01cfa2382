"""A causal transformer: every token is answered by itself and by those before it.

Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, with the norms before the
layers and GELU as in GPT-2 (Radford et al., 2019). It knows the order of tokens by what
a caller adds to them, or by rotation: Su et al., 2021,
https://arxiv.org/abs/2104.09864.
"""

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core import BadConfig, fold, Key
from .blocks import Activation, LayerNorm, Linear
from .dropout import silenced
from .initialise import normal


BASE = 10_000.0  # of the wave lengths of rotations
NEVER = -1e30  # a logit so low that its softmax is exactly zero
Heads: TypeAlias = Float[Array, "time head dim"]
Rate: TypeAlias = float | Float[Array, ""]
start = normal(0.02)


class Cache(eqx.Module):
    """Keys and values of the tokens so far, and how many those are."""

    keys: tuple[Heads, ...]
    values: tuple[Heads, ...]
    length: Int[Array, ""]


class Block(eqx.Module):
    """Attention, then a layer four times as wide; both add to what comes in."""

    before: LayerNorm
    looks: Float[Array, "width looks"]
    """Queries, keys and values in one product; the norm's shift is all their bias, for
    a softmax does not see one of keys alone."""
    seen: Linear
    between: LayerNorm
    wide: Linear
    narrow: Linear
    heads: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    def __init__(
        self, width: int, heads: int, rotary: bool, activation: Activation, *, key: Key
    ):
        linear = lambda n_in, n_out, name: Linear(
            n_in, n_out, start, key=fold(key, name)
        )
        self.before, self.between = LayerNorm(width), LayerNorm(width)
        self.looks = start(fold(key, "looks"), (width, 3 * width))
        self.seen = linear(width, width, "seen")
        self.wide = linear(width, 4 * width, "wide")
        self.narrow = linear(4 * width, width, "narrow")
        self.heads, self.rotary, self.activation = heads, rotary, activation

    def look(
        self, x: Float[Array, "time width"], place: Int[Array, " time"]
    ) -> tuple[Heads, Heads, Heads]:
        """What every token asks, offers and says."""
        every = jax.vmap(self.before)(x) @ self.looks
        every = every.reshape(len(x), 3 * self.heads, -1)
        query, key, value = jnp.split(every, 3, axis=1)
        if self.rotary:
            query, key = rotated(query, place), rotated(key, place)
        return query, key, value

    def answer(
        self,
        x: Float[Array, "asking width"],
        query: Float[Array, "asking head dim"],
        keys: Heads,
        values: Heads,
        visible: Bool[Array, "asking time"],
        *,
        rate: Rate,
        key: Key | None,
    ) -> Float[Array, "asking width"]:
        """What becomes of tokens that have looked at others."""
        k_look, k_seen, k_wide = parts(key, 3)
        found = attended(query, keys, values, visible, rate=rate, key=k_look)
        x = x + silenced(jax.vmap(self.seen)(found), rate=rate, key=k_seen)
        thought = jax.vmap(self.think)(x)
        return x + silenced(thought, rate=rate, key=k_wide)

    def think(self, token: Float[Array, " width"]) -> Float[Array, " width"]:
        """The wide layer."""
        return self.narrow(self.activation(self.wide(self.between(token))))


class Transformer(eqx.Module):
    """Blocks and a last norm, for one sequence of tokens that are embedded already."""

    blocks: tuple[Block, ...]
    norm: LayerNorm

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        *,
        key: Key,
        rotary: bool = False,
        activation: Activation = jax.nn.gelu,
    ):
        """Raises `BadConfig` unless the heads share the width evenly."""
        check_heads(width, heads, rotary=rotary)
        make = lambda i: Block(
            width, heads, rotary, activation, key=fold(key, "block", i)
        )
        self.blocks = tuple(make(i) for i in range(layers))
        self.norm = LayerNorm(width)

    def __call__(
        self,
        x: Float[Array, "time width"],
        *,
        there: Bool[Array, " time"] | None = None,
        asked: slice = slice(None),
        rate: Rate = 0.0,
        key: Key | None = None,
    ) -> Float[Array, "asked width"]:
        """The answers to the tokens `asked`, without the cost of the others' in the
        last layer. Nobody sees tokens that are not `there`; with a key, numbers drop
        out at a rate."""
        n = len(x)
        visible = jnp.tril(jnp.ones((n, n), bool))
        if there is not None:
            visible = visible & there[None]
        k_first, *keys = parts(key, 1 + len(self.blocks))
        x = silenced(x, rate=rate, key=k_first)
        for i, block in enumerate(self.blocks):
            query, look, value = block.look(x, jnp.arange(n))
            if i == len(self.blocks) - 1:
                x, query, visible = x[asked], query[asked], visible[asked]
            x = block.answer(x, query, look, value, visible, rate=rate, key=keys[i])
        return jax.vmap(self.norm)(x)

    def begin(self, length: int) -> Cache:
        """Room for so many tokens, none of them there yet."""
        first = self.blocks[0]
        width = first.looks.shape[0]
        room = jnp.zeros((length, first.heads, width // first.heads))
        rooms = (room,) * len(self.blocks)
        return Cache(rooms, rooms, jnp.array(0, int))

    def extend(
        self,
        x: Float[Array, "time width"],
        cache: Cache,
        *,
        there: Bool[Array, " room"] | None = None,
    ) -> tuple[Float[Array, "time width"], Cache]:
        """The answers to tokens that follow those in the cache, and the cache with them
        in it. It must have room for them: nothing is ever forgotten. Nobody sees
        places that are not `there`."""
        place = cache.length + jnp.arange(len(x))
        visible = place[:, None] >= jnp.arange(len(cache.keys[0]))[None]
        if there is not None:
            visible = visible & there[None]
        write = lambda old, new: jax.lax.dynamic_update_slice_in_dim(
            old, new, cache.length, axis=0
        )
        keys, values = [], []
        for block, k, v in zip(self.blocks, cache.keys, cache.values, strict=True):
            query, look, value = block.look(x, place)
            keys.append(write(k, look))
            values.append(write(v, value))
            x = block.answer(
                x, query, keys[-1], values[-1], visible, rate=0.0, key=None
            )
        cache = Cache(tuple(keys), tuple(values), cache.length + len(x))
        return jax.vmap(self.norm)(x), cache


def attended(
    query: Float[Array, "asking head dim"],
    keys: Heads,
    values: Heads,
    visible: Bool[Array, "asking time"],
    *,
    rate: Rate,
    key: Key | None,
) -> Float[Array, "asking width"]:
    """What tokens find where they look, all heads side by side."""
    logits = jnp.einsum("qhd,khd->hqk", query, keys) * query.shape[-1] ** -0.5
    look = jax.nn.softmax(jnp.where(visible[None], logits, NEVER))
    look = silenced(look, rate=rate, key=key)
    return jnp.einsum("hqk,khd->qhd", look, values).reshape(len(query), -1)


def rotated(x: Heads, place: Int[Array, " time"]) -> Heads:
    """Every pair of numbers turned by its place, some fast and some slowly: the product
    of two of them depends on how far apart they are."""
    half = x.shape[-1] // 2
    speed = BASE ** (-jnp.arange(half) / half)
    angle = place[:, None, None] * speed[None, None]
    one, other = x[..., :half], x[..., half:]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([one * cos - other * sin, one * sin + other * cos], axis=-1)


def parts(key: Key | None, n: int) -> list[Key | None]:
    """So many keys; none of none."""
    return [None] * n if key is None else list(jax.random.split(key, n))


def check_heads(width: int, heads: int, *, rotary: bool = False) -> None:
    """Raise `BadConfig` unless the heads share the width evenly."""
    if width % heads or (rotary and width // heads % 2):
        pairs = " of even width" if rotary else ""
        raise BadConfig(
            f"a transformer {width} wide has no {heads} equal heads{pairs}: choose "
            f"a width that is a multiple of {(1 + rotary) * heads}"
        )
