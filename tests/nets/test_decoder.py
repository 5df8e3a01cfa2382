"""The transformer that denoises: by hand, token by token; what each token looks at; how
many numbers it has; and what it refuses."""

import functools as ft
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import BadConfig
from peira.nets import Decoder


T, TOLD, ACT, SEEN = 5, 3, 2, 4
WIDTH, HEADS, LAYERS = 8, 2, 2
SIZES = {"width": WIDTH, "layers": LAYERS, "heads": HEADS}


@ft.cache
def made():
    """One in which every number matters."""
    make = lambda key: Decoder(ACT, SEEN, T, TOLD, **SIZES, key=key)
    leaves, shape = jax.tree.flatten(jax.eval_shape(make, jr.key(0)))
    rng = np.random.default_rng(0)
    noisy = [0.4 * rng.normal(size=x.shape) for x in leaves]
    return jax.tree.unflatten(shape, [jnp.asarray(x, jnp.float32) for x in noisy])


@jax.jit
def answer(net, x, time, told, rate=0.0, key=None):
    return net(x, jnp.asarray(time), told, rate=rate, key=key)


def given(*batch):
    """A sequence, and what it hangs on."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(size=(*batch, *shape)).astype("f4")
    return draw(T, ACT), draw(TOLD, SEEN)


def linear(layer, v):
    return v @ layer.weight + layer.bias


def norm(layer, v):
    v = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
    return v * layer.scale + layer.shift


def mish(v):
    return v * np.tanh(np.log1p(np.exp(v)))


def gelu(v):
    return 0.5 * v * (1 + np.vectorize(math.erf)(v / np.sqrt(2)))


def look(query, keys, values):
    """What one token finds, head by head."""
    found = []
    for h in np.split(np.arange(WIDTH), HEADS):
        weight = np.exp(keys[:, h] @ query[h] / np.sqrt(len(h)))
        found.append(weight / weight.sum() @ values[:, h])
    return np.concatenate(found)


def by_hand(net, x, time, told):
    net = jax.tree.map(lambda w: np.asarray(w, np.float64), net)
    speed = 10_000.0 ** (-np.arange(WIDTH // 2) / (WIDTH // 2 - 1))
    clock = np.concatenate([np.sin(time * speed), np.cos(time * speed)])
    tokens = np.array([clock, *(linear(net.told, v) for v in told)]) + net.told_place
    one, two = net.read.layers
    tokens = np.array([linear(two, mish(linear(one, v))) for v in tokens])
    x = [linear(net.taken, v) + p for v, p in zip(x, net.place, strict=True)]
    for block in net.blocks:
        own, after = block.own, []
        looks = np.array([norm(own.before, v) @ own.looks for v in x])
        query, key, value = np.split(looks, 3, axis=1)
        offer, says = np.split(tokens @ block.offers, 2, axis=1)
        for i, v in enumerate(x):
            v = v + linear(own.seen, look(query[i], key[: i + 1], value[: i + 1]))
            asks = norm(block.between, v) @ block.asks
            v = v + linear(block.heard, look(asks, offer[: i + 2], says[: i + 2]))
            wide = gelu(linear(own.wide, norm(own.between, v)))
            after.append(v + linear(own.narrow, wide))
        x = after
    return np.array([linear(net.out, norm(net.norm, v)) for v in x])


def test_it_is_what_is_computed_by_hand():
    x, told = given()
    wanted = by_hand(made(), x, 7, told)
    np.testing.assert_allclose(answer(made(), x, 7, told), wanted, rtol=2e-5, atol=2e-5)


def test_nothing_is_seen_of_the_future():
    """Neither of the sequence nor of what it hangs on; the step of noise is seen by
    all."""
    x, told = given()
    before = np.asarray(answer(made(), x, 7, told))
    moved = lambda after: (np.asarray(after) != before).any(axis=1)
    for t in range(T):
        other = x.copy()
        other[t] += 1
        assert np.array_equal(moved(answer(made(), other, 7, told)), np.arange(T) >= t)
    for t in range(TOLD):
        other = told.copy()
        other[t] += 1
        assert np.array_equal(moved(answer(made(), x, 7, other)), np.arange(T) >= t)
    assert moved(answer(made(), x, 8, told)).all()


def test_one_alone_is_as_in_a_batch():
    x, told = given(4)
    times = jnp.arange(4)
    batch = jax.jit(jax.vmap(made()))(x, times, told)
    alone = answer(made(), x[2], times[2], told[2])
    assert alone.shape == (T, ACT)
    np.testing.assert_allclose(batch[2], alone, rtol=1e-5, atol=1e-5)


def test_it_has_so_many_numbers():
    """16 w² + 13 w in a block: 4 w² for each of two attentions, 8 w² in the wide layer;
    and 8 w² + 5 w in what reads the tokens that are told."""
    numbers = sum(x.size for x in jax.tree.leaves(made()))
    w = WIDTH
    ends = (ACT + 1) * w + (SEEN + 1) * w + (T + 1 + TOLD) * w + 2 * w + (w + 1) * ACT
    assert numbers == ends + 8 * w**2 + 5 * w + LAYERS * (16 * w**2 + 13 * w)


def test_numbers_drop_out_with_a_key_only():
    x, told = given()
    whole = answer(made(), x, 7, told)
    kept = answer(made(), x, 7, told, 0.0, jr.key(1))
    np.testing.assert_allclose(kept, whole, rtol=1e-5, atol=1e-5)
    one, other = (answer(made(), x, 7, told, 0.5, jr.key(seed)) for seed in (1, 2))
    assert abs(np.asarray(one) - np.asarray(other)).max(axis=1).min() > 0.01


def test_it_begins_as_the_authors_does():
    make = jax.jit(
        lambda k: Decoder(64, 64, 64, 64, width=64, layers=1, heads=1, key=k)
    )
    for path, x in jax.tree_util.tree_leaves_with_path(make(jr.key(0))):
        name = jax.tree_util.keystr(path)
        if x.ndim > 1:
            assert np.std(x) == pytest.approx(0.02, rel=0.05), name
        else:
            assert np.unique(x) == float(name.endswith("scale")), name


@pytest.mark.parametrize(
    ("width", "heads", "said"),
    [(10, 3, "a multiple of 3"), (5, 1, "an even one"), (2, 1, "at least 4")],
)
def test_widths_that_do_not_fit_are_refused(width, heads, said):
    with pytest.raises(BadConfig, match=said):
        Decoder(2, 3, 4, 1, width=width, layers=1, heads=heads, key=jr.key(0))
