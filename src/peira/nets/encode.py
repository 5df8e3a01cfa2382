"""From any observation to one vector."""

from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from ..core import BadConfig, Box, Discrete, is_space, Key, MultiDiscrete, Obs, Space
from .blocks import Impala, PlainCNN
from .initialise import Initialise


Vision: TypeAlias = Literal["auto", "nature", "impala", "small"]


class Encoder(eqx.Module):
    """Images through a CNN, choices as one-hot vectors, numbers as they are; all of a
    Dict or Tuple side by side. Bytes are divided by 255 here and nowhere else.
    """

    eyes: tuple[PlainCNN | Impala | None, ...]
    spaces: tuple[Space, ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self, space: PyTree, *, init: Initialise, key: Key, vision: Vision = "auto"
    ):
        self.spaces = tuple(jax.tree.leaves(space, is_leaf=is_space))
        keys = jr.split(key, len(self.spaces))
        self.eyes = tuple(
            eye(s, vision, init, key=k) for s, k in zip(self.spaces, keys, strict=True)
        )
        sizes = [
            width(s) if e is None else e.size
            for s, e in zip(self.spaces, self.eyes, strict=True)
        ]
        self.size = sum(sizes)

    def __call__(self, obs: Obs) -> Float[Array, " size"]:
        leaves = jax.tree.leaves(obs)
        parts = [
            flat(s, x) if e is None else e(bright(x))
            for s, e, x in zip(self.spaces, self.eyes, leaves, strict=True)
        ]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def eye(
    space: Space, vision: Vision, init: Initialise, *, key: Key
) -> PlainCNN | Impala | None:
    """The CNN for a space of rows, columns and channels; `None` for any other."""
    if not isinstance(space, Box) or len(space.shape) != 3:
        return None
    kind = vision
    if kind == "auto":  # nature's windows need 36 pixels
        kind = "nature" if min(space.shape[:2]) >= 36 else "small"
    if kind == "nature" and min(space.shape[:2]) < 36:
        raise BadConfig(
            f"vision = nature cannot read {space.shape[0]} x {space.shape[1]} images: "
            "it needs 36 x 36 pixels; choose small or impala"
        )
    if kind == "impala":
        return Impala(space.shape, init, key=key)
    return PlainCNN(space.shape, kind, init, key=key)


def bright(x: Array) -> Float[Array, "..."]:
    """Bytes to `[0, 1]`; other numbers as they are."""
    real = x.astype(jnp.float32)
    return real / 255 if x.dtype == jnp.uint8 else real


def width(space: Space) -> int:
    """How many numbers `flat` makes of one item."""
    return jax.eval_shape(
        lambda x: flat(space, x), jax.ShapeDtypeStruct(space.shape, space.dtype)
    ).size


def flat(space: Space, x: Array) -> Float[Array, " n"]:
    """One item of a space as a vector."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(x, space.n)
    if isinstance(space, MultiDiscrete):
        hot = [jax.nn.one_hot(x[i], n) for i, n in enumerate(space.nvec)]
        return jnp.concatenate(hot)
    return bright(x).ravel()
