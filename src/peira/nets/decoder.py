"""A network that tells the noise in a sequence: a transformer, whose tokens also look
at those of what it is conditioned on.

Chi et al., 2023, https://arxiv.org/abs/2303.04137, after the decoder of Vaswani et al.,
2017. What the paper leaves open is taken from the authors' code: the step of noise is
the first token that is looked at, so that nothing stands before the sequence itself;
a network of two layers reads each of those tokens for itself.

Deliberately different: queries, keys and values have no bias but the norm's shift, as
in `transformer`, and nothing drops out within the wide layer.
"""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.nn import mish
from jaxtyping import Array, Bool, Float, Int

from ..core import BadConfig, fold, Key
from .blocks import LayerNorm, Linear, MLP
from .diffusion import Sequence, waves
from .dropout import silenced
from .transformer import attended, Block, check_heads, parts, Rate, start


gelu = ft.partial(jax.nn.gelu, approximate=False)


class DecoderBlock(eqx.Module):
    """Attention to the sequence itself, then to what is told, then a layer four times
    as wide; all three add to what comes in."""

    own: Block
    between: LayerNorm
    asks: Float[Array, "width width"]
    offers: Float[Array, "width offers"]
    """Keys and values of what is told, in one product."""
    heard: Linear

    def __init__(self, width: int, heads: int, *, key: Key):
        self.own = Block(width, heads, False, gelu, key=fold(key, "own"))
        self.between = LayerNorm(width)
        self.asks = start(fold(key, "asks"), (width, width))
        self.offers = start(fold(key, "offers"), (width, 2 * width))
        self.heard = Linear(width, width, start, key=fold(key, "heard"))

    def __call__(
        self,
        x: Float[Array, "time width"],
        told: Float[Array, "token width"],
        seen: Bool[Array, "time time"],
        heard: Bool[Array, "time token"],
        *,
        rate: Rate,
        key: Key | None,
    ) -> Float[Array, "time width"]:
        """`seen` and `heard`: which tokens each looks at, of its own and of those that
        are told."""
        own, heads = self.own, self.own.heads
        k_look, k_seen, k_listen, k_heard, k_wide = parts(key, 5)
        drop = lambda x, key: silenced(x, rate=rate, key=key)
        found = attended(*own.look(x, jnp.arange(len(x))), seen, rate=rate, key=k_look)
        x = x + drop(jax.vmap(own.seen)(found), k_seen)
        asks = (jax.vmap(self.between)(x) @ self.asks).reshape(len(x), heads, -1)
        offers = (told @ self.offers).reshape(len(told), 2 * heads, -1)
        keys, values = jnp.split(offers, 2, axis=1)
        found = attended(asks, keys, values, heard, rate=rate, key=k_listen)
        x = x + drop(jax.vmap(self.heard)(found), k_heard)
        return x + drop(jax.vmap(own.think)(x), k_wide)


class Decoder(eqx.Module):
    """The noise in a sequence, given how often noise was added and what it hangs on,
    which is a sequence as well and begins at the same time: no token looks at later
    ones, of either."""

    taken: Linear
    place: Float[Array, "time width"]
    told: Linear
    told_place: Float[Array, "token width"]
    read: MLP
    blocks: tuple[DecoderBlock, ...]
    norm: LayerNorm
    out: Linear

    def __init__(
        self,
        channels: int,
        told: int,
        length: int,
        tokens: int,
        *,
        width: int,
        layers: int,
        heads: int,
        key: Key,
    ):
        """For sequences of one length, told so many tokens of `told` numbers. Raises
        `BadConfig` for a width that the heads or a step's sines and cosines do not
        share evenly."""
        check_heads(width, heads)
        check_width(width)
        linear = lambda n, m, name: Linear(n, m, start, key=fold(key, name))
        self.taken = linear(channels, width, "taken")
        self.place = start(fold(key, "place"), (length, width))
        self.told = linear(told, width, "told")
        self.told_place = start(fold(key, "told place"), (1 + tokens, width))
        sizes = [width, 4 * width, width]
        self.read = MLP(sizes, activation=mish, init=start, key=fold(key, "read"))
        make = lambda i: DecoderBlock(width, heads, key=fold(key, "block", i))
        self.blocks = tuple(make(i) for i in range(layers))
        self.norm = LayerNorm(width)
        self.out = linear(width, channels, "out")

    def __call__(
        self,
        x: Sequence,
        time: Int[Array, ""],
        told: Float[Array, "token told"],
        *,
        rate: Rate = 0.0,
        key: Key | None = None,
    ) -> Sequence:
        """With a key, numbers drop out at a rate."""
        clock = waves(time, self.place.shape[-1])
        tokens = jnp.concatenate([clock[None], jax.vmap(self.told)(told)])
        tokens = jax.vmap(self.read)(tokens + self.told_place)
        now, then = jnp.arange(len(x)), jnp.arange(len(tokens)) - 1  # a clock is early
        seen, heard = now[:, None] >= now[None], now[:, None] >= then[None]
        x = jax.vmap(self.taken)(x) + self.place
        keys = parts(key, len(self.blocks))
        for block, k in zip(self.blocks, keys, strict=True):
            x = block(x, tokens, seen, heard, rate=rate, key=k)
        return jax.vmap(lambda token: self.out(self.norm(token)))(x)


def check_width(width: int) -> None:
    if width % 2 or width < 4:
        raise BadConfig(
            f"width = {width}: a step of noise is told in sines and cosines of that "
            "many numbers; choose an even one, at least 4"
        )
