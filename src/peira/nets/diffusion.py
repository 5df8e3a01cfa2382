"""A network that tells the noise in a sequence: a U-Net over time, whose channels are
scaled and shifted by what it is conditioned on.

Chi et al., 2023, https://arxiv.org/abs/2303.04137, after Janner et al., 2022; FiLM is
of Perez et al., 2018. What the paper leaves open is taken from the authors' code, and
with it that the sequence of full length is not carried over to the way back.
"""

import math
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jax.nn import mish
from jaxtyping import Array, Float, Int

from ..core import BadConfig, fold, Key
from .blocks import Linear, MLP
from .initialise import fan_in


GROUPS = 8  # of channels that are normalised together, none of fewer than GROUP
GROUP = 8
SLOWEST = 10_000.0  # of the waves that tell a step
Sequence: TypeAlias = Float[Array, "_time _channel"]


class Conv1D(eqx.Module):
    """A convolution over time, channels last: of every number, of every `stride`-th, or
    with `spread - 1` zeros between two."""

    weight: Float[Array, "size n_in n_out"]
    bias: Float[Array, " out"]
    stride: int = eqx.field(static=True)
    spread: int = eqx.field(static=True)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        window: int,
        *,
        key: Key,
        stride: int = 1,
        spread: int = 1,
    ):
        k_weight, k_bias = jr.split(key)
        self.weight = fan_in(k_weight, (window, n_in, n_out))
        bound = (window * n_in) ** -0.5
        self.bias = jr.uniform(k_bias, (n_out,), minval=-bound, maxval=bound)
        self.stride, self.spread = stride, spread

    def __call__(self, x: Sequence) -> Sequence:
        # As one matrix product: XLA's convolution of wide sequences takes tens of times
        # as long on a CPU.
        size, _, n_out = self.weight.shape
        edge = size // 2
        x = lax.pad(x, 0.0, [(edge, edge, self.spread - 1), (0, 0, 0)])
        last = len(x) - size
        seen = [x[k : last + k + 1 : self.stride] for k in range(size)]
        product = jnp.concatenate(seen, axis=-1) @ self.weight.reshape(-1, n_out)
        return product + self.bias[None]


class GroupNorm(eqx.Module):
    """To zero mean and unit variance over time and a group of channels, then scaled and
    shifted. Wu & He, 2018."""

    scale: Float[Array, " channel"]
    shift: Float[Array, " channel"]

    def __init__(self, channels: int):
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, x: Sequence) -> Sequence:
        groups = x.reshape(len(x), min(GROUPS, x.shape[-1] // GROUP), -1)
        mean = groups.mean(axis=(0, 2), keepdims=True)
        var = groups.var(axis=(0, 2), keepdims=True)
        even = ((groups - mean) * lax.rsqrt(var + 1e-5)).reshape(x.shape)
        return even * self.scale[None] + self.shift[None]


class Layer(eqx.Module):
    """A convolution with its norm and Mish."""

    conv: Conv1D
    norm: GroupNorm

    def __init__(self, n_in: int, n_out: int, kernel: int, *, key: Key):
        self.conv = Conv1D(n_in, n_out, kernel, key=key)
        self.norm = GroupNorm(n_out)

    def __call__(self, x: Sequence) -> Sequence:
        return mish(self.norm(self.conv(x)))


class Told(eqx.Module):
    """Two layers, between which it is told what to scale and shift by; they add to what
    comes in."""

    first: Layer
    film: Linear
    second: Layer
    passed: Conv1D | None

    def __init__(self, n_in: int, n_out: int, told: int, kernel: int, *, key: Key):
        k_first, k_film, k_second, k_passed = jr.split(key, 4)
        self.first = Layer(n_in, n_out, kernel, key=k_first)
        self.film = Linear(told, 2 * n_out, fan_in, key=k_film)
        self.second = Layer(n_out, n_out, kernel, key=k_second)
        self.passed = None if n_in == n_out else Conv1D(n_in, n_out, 1, key=k_passed)

    def __call__(self, x: Sequence, told: Float[Array, " told"]) -> Sequence:
        scale, shift = jnp.split(self.film(mish(told)), 2)
        y = self.second(scale[None] * self.first(x) + shift[None])
        return y + (x if self.passed is None else self.passed(x))


class UNet(eqx.Module):
    """The noise in a sequence, given how often noise was added and what it hangs on."""

    clock: MLP
    down: tuple[tuple[Told, Told], ...]
    halve: tuple[Conv1D, ...]
    middle: tuple[Told, Told]
    up: tuple[tuple[Told, Told], ...]
    double: tuple[Conv1D, ...]
    last: Layer
    out: Conv1D

    def __init__(
        self,
        channels: int,
        told: int,
        widths: tuple[int, ...],
        *,
        kernel: int,
        embedding: int,
        key: Key,
    ):
        """Raises `BadConfig` for widths, windows and embeddings that do not go on."""
        check_sizes(widths, kernel, embedding)
        told, many = told + embedding, len(widths) - 1
        sizes = [channels, *widths]

        def pair(n_in: int, n_out: int, name: str, i: int) -> tuple[Told, Told]:
            one = lambda n, j: Told(n, n_out, told, kernel, key=fold(key, name, i, j))
            return one(n_in, 0), one(n_out, 1)

        between = lambda n, window, name, **how: Conv1D(
            n, n, window, key=fold(key, name, n), **how
        )
        self.clock = MLP(
            [embedding, 4 * embedding, embedding],
            activation=mish,
            key=fold(key, "clock"),
        )
        self.down = tuple(pair(sizes[i], w, "down", i) for i, w in enumerate(widths))
        self.halve = tuple(between(w, 3, "halve", stride=2) for w in widths[:-1])
        self.middle = pair(widths[-1], widths[-1], "middle", 0)
        self.up = tuple(
            pair(2 * widths[i + 1], widths[i], "up", i) for i in reversed(range(many))
        )
        self.double = tuple(between(w, 4, "double", spread=2) for w in widths[-2::-1])
        self.last = Layer(widths[0], widths[0], kernel, key=fold(key, "last"))
        self.out = Conv1D(widths[0], channels, 1, key=fold(key, "out"))

    def __call__(
        self, x: Sequence, time: Int[Array, ""], told: Float[Array, " told"]
    ) -> Sequence:
        told = jnp.concatenate([self.clock(waves(time, self.embedding)), told])
        both = lambda pair, x: pair[1](pair[0](x, told), told)
        seen = []
        for i, pair in enumerate(self.down):
            x = both(pair, x)
            seen.append(x)
            x = self.halve[i](x) if i < len(self.halve) else x
        x = both(self.middle, x)
        for pair, double in zip(self.up, self.double, strict=True):
            x = double(both(pair, jnp.concatenate([x, seen.pop()], axis=-1)))
        return self.out(self.last(x))

    @property
    def embedding(self) -> int:
        """Numbers that a step is told in."""
        return self.clock.layers[0].weight.shape[-2]


def waves(time: Int[Array, ""], n: int) -> Float[Array, " n"]:
    """A step as sines and cosines, some fast and some slow. Vaswani et al., 2017."""
    half = n // 2
    speed = jnp.exp(-math.log(SLOWEST) * jnp.arange(half) / (half - 1))
    return jnp.concatenate([jnp.sin(time * speed), jnp.cos(time * speed)])


def check_sizes(widths: tuple[int, ...], kernel: int, embedding: int) -> None:
    if not widths or any(w % GROUP for w in widths):
        raise BadConfig(
            f"a U-Net of widths {widths}: its channels are normalised in groups; "
            f"choose multiples of {GROUP}"
        )
    if kernel % 2 == 0:
        raise BadConfig(f"kernel = {kernel}: a window has a middle; choose an odd one")
    if embedding % 2 or embedding < 4:
        raise BadConfig(
            f"embedding = {embedding}: it is of sines and cosines; choose an even "
            "number, at least 4"
        )
