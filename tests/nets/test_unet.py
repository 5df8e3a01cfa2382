"""The U-Net: by hand, layer by layer; and what it refuses."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import BadConfig
from peira.nets import UNet


SIZES = {"kernel": 3, "embedding": 6}


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def convolved(conv, x, *, stride=1, spread=1):
    """Number by number, with zeros around the sequence."""
    if spread > 1:
        wide = np.zeros((spread * (len(x) - 1) + 1, x.shape[1]))
        wide[::spread] = x
        x = wide
    size = len(conv.weight)
    x = np.pad(x, ((size // 2, size // 2), (0, 0)))
    out = []
    for i in range(0, len(x) - size + 1, stride):
        parts = [x[i + j] @ conv.weight[j] for j in range(size)]
        out.append(sum(parts) + conv.bias)
    return np.array(out)


def layer(net, x):
    x = convolved(net.conv, x)
    for group in np.split(np.arange(x.shape[1]), x.shape[1] // 8):
        part = x[:, group]
        x[:, group] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    return mish(x * net.norm.scale + net.norm.shift)


def told_pair(pair, x, told):
    for net in pair:
        scale, shift = np.split(mish(told) @ net.film.weight + net.film.bias, 2)
        y = layer(net.second, scale * layer(net.first, x) + shift)
        x = y + (x if net.passed is None else convolved(net.passed, x))
    return x


def by_hand(net, x, time, told):
    speed = np.exp(-np.log(10_000) * np.arange(3) / 2)
    waves = np.concatenate([np.sin(time * speed), np.cos(time * speed)])
    one, two = net.clock.layers
    clock = mish(waves @ one.weight + one.bias) @ two.weight + two.bias
    told = np.concatenate([clock, told])
    full = told_pair(net.down[0], x, told)
    half = told_pair(net.down[1], convolved(net.halve[0], full, stride=2), told)
    x = told_pair(net.middle, half, told)
    x = told_pair(net.up[0], np.concatenate([x, half], axis=1), told)
    x = convolved(net.double[0], x, spread=2)
    return convolved(net.out, layer(net.last, x))


def test_it_is_what_the_layers_say():
    make = lambda k: UNet(2, 3, (8, 16), **SIZES, key=k)
    leaves, shape = jax.tree.flatten(jax.eval_shape(make, jr.key(0)))
    rng = np.random.default_rng(0)
    weights = [0.3 * rng.normal(size=x.shape) for x in leaves]
    x, told = rng.normal(size=(8, 2)), rng.normal(size=3)
    wanted = by_hand(jax.tree.unflatten(shape, weights), x, 5, told)
    f32 = lambda v: jnp.asarray(v, jnp.float32)
    net = jax.tree.unflatten(shape, [f32(w) for w in weights])
    found = jax.jit(lambda n, *args: n(*args))(net, f32(x), jnp.array(5), f32(told))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("widths", "changed", "said"),
    [
        ((8, 12), {}, "multiples of 8"),
        ((), {}, "multiples of 8"),
        ((8,), {"kernel": 4}, "choose an odd one"),
        ((8,), {"embedding": 5}, "an even number"),
    ],
)
def test_sizes_that_do_not_go_on_are_refused(widths, changed, said):
    with pytest.raises(BadConfig, match=said):
        UNet(2, 3, widths, **SIZES | changed, key=jr.key(0))
