"""Network blocks, written for ONE example; callers vmap.

Weights lie in (in, out) order: a batch of examples under `vmap` is then one matrix
product without a transpose. Every leaf of a network is learned; what is not learned is
a static field.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from ..core import Key
from .initialise import fan_in, Initialise


N = TypeVar("N")
Activation = Callable[[Array], Array]


class Linear(eqx.Module):
    """`x W + b`."""

    weight: Float[Array, "in out"]
    bias: Float[Array, " out"]

    def __init__(self, n_in: int, n_out: int, init: Initialise, *, key: Key):
        k_weight, k_bias = jr.split(key)
        self.weight = init(k_weight, (n_in, n_out))
        bound = n_in**-0.5 if init is fan_in else 0.0
        self.bias = jr.uniform(k_bias, (n_out,), minval=-bound, maxval=bound)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        return x @ self.weight + self.bias


class LayerNorm(eqx.Module):
    """To zero mean and unit variance, then scaled and shifted. Ba et al., 2016."""

    scale: Float[Array, " n"]
    shift: Float[Array, " n"]

    def __init__(self, n: int):
        self.scale, self.shift = jnp.ones(n), jnp.zeros(n)

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        centred = x - x.mean()
        return centred * jax.lax.rsqrt(x.var() + 1e-5) * self.scale + self.shift


class MLP(eqx.Module):
    """Linear layers with an activation (and perhaps a LayerNorm) between them."""

    layers: tuple[Linear, ...]
    norms: tuple[LayerNorm, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        key: Key,
        activation: Activation = jax.nn.relu,
        init: Initialise = fan_in,
        last: Initialise | None = None,
        layer_norm: bool = False,
    ):
        """`sizes` counts input and output; `last` initialises the last layer."""
        keys = jr.split(key, len(sizes) - 1)
        inits = [init] * (len(sizes) - 2) + [last or init]
        self.layers = tuple(
            Linear(n_in, n_out, start, key=k)
            for n_in, n_out, start, k in zip(
                sizes[:-1], sizes[1:], inits, keys, strict=True
            )
        )
        self.norms = tuple(LayerNorm(n) for n in sizes[1:-1]) if layer_norm else ()
        self.activation = activation

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        for i, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            x = self.activation(self.norms[i](x) if self.norms else x)
        return self.layers[-1](x)


class Conv(eqx.Module):
    """A convolution over rows and columns, channels last.

    On a CPU as a matrix product with patches: XLA's convolution is slow there, and five
    times slower inside a loop.
    """

    weight: Float[Array, "rows cols in out"]
    bias: Float[Array, " out"]
    stride: int = eqx.field(static=True)
    padding: str = eqx.field(static=True)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        window: int,
        stride: int,
        init: Initialise,
        *,
        key: Key,
        padding: Literal["VALID", "SAME"] = "VALID",
    ):
        self.weight = init(key, (window, window, n_in, n_out))
        self.bias = jnp.zeros(n_out)
        self.stride, self.padding = stride, padding

    def __call__(self, x: Float[Array, "h w in"]) -> Float[Array, "h2 w2 out"]:
        if jax.default_backend() == "cpu":
            y = by_patches(x, self.weight, self.stride, self.padding)
        else:
            y = as_it_is(x, self.weight, self.stride, self.padding)
        return y + self.bias[None, None]


def as_it_is(
    x: Float[Array, "h w in"],
    weight: Float[Array, "rows cols in out"],
    stride: int,
    padding: str,
) -> Float[Array, "h2 w2 out"]:
    """As XLA does it."""
    names = ("NHWC", "HWIO", "NHWC")
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(
        x[None], weight, strides, padding, dimension_numbers=names
    )[0]


def by_patches(
    x: Float[Array, "h w in"],
    weight: Float[Array, "rows cols in out"],
    stride: int,
    padding: str,
) -> Float[Array, "h2 w2 out"]:
    """The same, by slices and one matrix product. Squares of `stride` x `stride` become
    channels first, so that there are few slices and none of them skips."""
    window, n_out = weight.shape[0], weight.shape[-1]
    strides = (stride, stride)
    pads = jax.lax.padtype_to_pads(x.shape[:2], weight.shape[:2], strides, padding)
    high, wide = (
        (n + sum(p) - window) // stride + 1
        for n, p in zip(x.shape[:2], pads, strict=True)
    )
    blocks = -(-window // stride)
    more = blocks * stride - window  # zeros that fill up the last square
    weight = jnp.pad(weight, ((0, more), (0, more), (0, 0), (0, 0)))
    for axis, count in ((0, high), (1, wide)):
        size = (count + blocks - 1) * stride
        low, up = pads[axis]
        x = jnp.moveaxis(x, axis, 0)
        x = jnp.pad(x, ((low, max(0, up + more)), (0, 0), (0, 0)))[:size]
        x = jnp.moveaxis(x, 0, axis)
    x = squares(x, stride)
    parts = [x[i:][:high, j:][:, :wide] for i in range(blocks) for j in range(blocks)]
    patches = jnp.concatenate(parts, axis=-1)
    weight = weight.reshape(blocks, stride, blocks, stride, -1, n_out)
    return patches @ weight.transpose(0, 2, 1, 3, 4, 5).reshape(-1, n_out)


def squares(x: Float[Array, "h w n"], side: int) -> Float[Array, "h2 w2 m"]:
    """Every square of that side as the channels of one place."""
    h, w, n = x.shape
    x = x.reshape(h // side, side, w // side, side, n).transpose(0, 2, 1, 3, 4)
    return x.reshape(h // side, w // side, side * side * n)


class PlainCNN(eqx.Module):
    """Convolutions, then one wide layer; relu throughout.

    `nature` is Mnih et al., 2015 (for 84 x 84 frames); `small` is for boards and
    MinAtar (Young & Tian, 2019).
    """

    convs: tuple[Conv, ...]
    dense: Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        kind: Literal["nature", "small"],
        init: Initialise,
        *,
        key: Key,
    ):
        k_dense, *keys = jr.split(key, 4)
        plan = {
            "nature": ([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512),
            "small": ([(16, 3, 1)], 128),
        }
        layers, width = plan[kind]
        channels = [shape[-1]] + [n for n, _, _ in layers]
        self.convs = tuple(
            Conv(channels[i], n, window, stride, init, key=keys[i])
            for i, (n, window, stride) in enumerate(layers)
        )
        flat = jax.eval_shape(
            lambda x: convolved(self.convs, x), jax.ShapeDtypeStruct(shape, jnp.float32)
        ).size
        self.dense = Linear(flat, width, init, key=k_dense)

    @property
    def size(self) -> int:
        return self.dense.bias.shape[0]

    def __call__(self, x: Float[Array, "h w c"]) -> Float[Array, " out"]:
        return jax.nn.relu(self.dense(convolved(self.convs, x)))


def convolved(convs: Sequence[Conv], x: Float[Array, "h w c"]) -> Float[Array, " flat"]:
    """An image through convolutions, each with its relu, laid flat."""
    for conv in convs:
        x = jax.nn.relu(conv(x))
    return x.ravel()


class Residual(eqx.Module):
    """Convolve, pool, and two residual blocks."""

    entry: Conv
    blocks: tuple[tuple[Conv, Conv], ...]

    def __init__(self, n_in: int, n_out: int, init: Initialise, *, key: Key):
        k_entry, *keys = jr.split(key, 5)

        def conv(n: int, k: Key) -> Conv:
            return Conv(n, n_out, 3, 1, init, key=k, padding="SAME")

        self.entry = conv(n_in, k_entry)
        self.blocks = tuple(
            (conv(n_out, keys[2 * i]), conv(n_out, keys[2 * i + 1])) for i in range(2)
        )

    def __call__(self, x: Float[Array, "h w in"]) -> Float[Array, "h2 w2 out"]:
        x = jax.lax.reduce_window(
            self.entry(x), -jnp.inf, jax.lax.max, (3, 3, 1), (2, 2, 1), "SAME"
        )
        for first, second in self.blocks:
            x = x + second(jax.nn.relu(first(jax.nn.relu(x))))
        return x


class Impala(eqx.Module):
    """The deep residual network of Espeholt et al., 2018 (fig. 3, right)."""

    sections: tuple[Residual, ...]
    dense: Linear

    def __init__(self, shape: tuple[int, ...], init: Initialise, *, key: Key):
        k_dense, *keys = jr.split(key, 4)
        channels = (shape[-1], 16, 32, 32)
        self.sections = tuple(
            Residual(channels[i], channels[i + 1], init, key=k)
            for i, k in enumerate(keys)
        )
        flat = jax.eval_shape(
            lambda x: refined(self.sections, x),
            jax.ShapeDtypeStruct(shape, jnp.float32),
        ).size
        self.dense = Linear(flat, 256, init, key=k_dense)

    @property
    def size(self) -> int:
        return self.dense.bias.shape[0]

    def __call__(self, x: Float[Array, "h w c"]) -> Float[Array, " out"]:
        return jax.nn.relu(self.dense(refined(self.sections, x)))


def refined(
    sections: Sequence[Residual], x: Float[Array, "h w c"]
) -> Float[Array, " flat"]:
    """An image through residual sections, laid flat."""
    for section in sections:
        x = section(x)
    return jax.nn.relu(x).ravel()


class Ensemble(eqx.Module, Generic[N]):
    """Independent networks of one shape, stacked: one batched matrix product."""

    members: N

    def __init__(self, make: Callable[[Key], N], n: int, *, key: Key):
        self.members = eqx.filter_vmap(make)(jr.split(key, n))

    def __call__(self, *inputs: PyTree) -> Float[Array, "member ..."]:
        return jax.vmap(lambda net: net(*inputs))(self.members)
