"""The transformer: attention by hand, nothing from the future, the cache as if there
were none, padding as if there were none."""

import functools as ft
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import BadConfig
from peira.nets import silenced, Transformer


T, WIDTH, HEADS = 7, 12, 3
ROTARY = pytest.mark.parametrize("rotary", [False, True])


@ft.cache
def made(*, rotary=False):
    """A transformer whose every number matters: larger weights than at the start, and
    the exact GELU, which JAX's own approximates."""
    gelu = lambda x: jax.nn.gelu(x, approximate=False)
    make = lambda key: Transformer(
        WIDTH, 2, HEADS, rotary=rotary, activation=gelu, key=key
    )
    leaves, shape = jax.tree.flatten(jax.eval_shape(make, jr.key(0)))
    rng = np.random.default_rng(0)
    about = [float(x.shape == (WIDTH,)) / 2 for x in leaves]
    noisy = [
        m + 0.3 * rng.normal(size=x.shape) for m, x in zip(about, leaves, strict=True)
    ]
    return jax.tree.unflatten(shape, [jnp.asarray(x, jnp.float32) for x in noisy])


@jax.jit
def answers(net, x, there=None):
    return net(x, there=there)


extend = jax.jit(lambda net, x, cache: net.extend(x, cache))


def tokens(*shape, seed=1):
    drawn = np.random.default_rng(seed).normal(size=(*shape, WIDTH))
    return drawn.astype(np.float32)


def close(ours, wanted):
    np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=2e-5)


def by_hand(net, x, *, place, there, rotary):
    """The same in float64, token by token and head by head."""
    real = lambda a: np.asarray(a, np.float64)
    linear = lambda layer, v: v @ real(layer.weight) + real(layer.bias)
    erf = np.vectorize(math.erf)
    gelu = lambda v: 0.5 * v * (1 + erf(v / np.sqrt(2)))

    def norm(layer, v):
        v = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
        return v * real(layer.scale) + real(layer.shift)

    def turn(v, p):
        if not rotary:
            return v
        half = len(v) // 2
        angle = p * 10_000.0 ** (-np.arange(half) / half)
        pairs = (v[:half] + 1j * v[half:]) * np.exp(1j * angle)
        return np.concatenate([pairs.real, pairs.imag])

    x, dim = real(x), WIDTH // HEADS
    for block in net.blocks:
        looks = np.array([norm(block.before, v) @ real(block.looks) for v in x])
        looks = looks.reshape(len(x), 3, HEADS, dim)
        new = []
        for i, v in enumerate(x):
            found = []
            for h in range(HEADS):
                asks, offers, says = looks[:, :, h].swapaxes(0, 1)
                q = turn(asks[i], place[i])
                seen = [j for j in range(i + 1) if there[j]]
                logit = [q @ turn(offers[j], place[j]) / np.sqrt(dim) for j in seen]
                weight = np.exp(np.array(logit) - max(logit, default=0))
                weight /= weight.sum() if seen else 1
                said = [w * says[j] for w, j in zip(weight, seen, strict=True)]
                found.append(np.sum([np.zeros(dim), *said], axis=0))
            v = v + linear(block.seen, np.concatenate(found))
            wide = gelu(linear(block.wide, norm(block.between, v)))
            new.append(v + linear(block.narrow, wide))
        x = new
    return np.array([norm(net.norm, v) for v in x])


@ROTARY
def test_it_is_what_is_computed_by_hand(rotary):
    net, x, there = made(rotary=rotary), tokens(T), np.arange(T) != 3
    wanted = by_hand(net, x, place=np.arange(T), there=there, rotary=rotary)
    close(answers(net, x, there), wanted)


@ROTARY
def test_nothing_is_seen_of_the_future(rotary):
    net, x = made(rotary=rotary), tokens(T)
    before = np.asarray(answers(net, x))
    for t in range(T):
        other = x.copy()
        other[t] = -x[t]
        moved = np.asarray(answers(net, other)) != before
        assert not moved[:t].any()
        assert moved[t:].any(axis=1).all()


@ROTARY
def test_with_a_cache_as_without(rotary):
    """One token at a time, or a few at once; also with room to spare."""
    net, x = made(rotary=rotary), tokens(T)
    whole = np.asarray(answers(net, x))
    for portions in ([1] * T, [4, 1, 1, 1]):
        cache, found = net.begin(T + 2), []
        for n in portions:
            first = int(cache.length)
            said, cache = extend(net, x[first : first + n], cache)
            found.append(said)
        assert int(cache.length) == T
        close(np.concatenate(found), whole)


@ROTARY
def test_padded_as_not_padded(rotary):
    """Whatever lies in the padding, in front or behind."""
    net, x, pad = made(rotary=rotary), tokens(T), 9 * tokens(3, seed=5)
    whole = np.asarray(answers(net, x))
    there = np.arange(T + 3) >= 3
    for filled in (pad, -pad):
        front = answers(net, np.concatenate([filled, x]), there)
        close(front[3:], whole)
        behind = answers(net, np.concatenate([x, filled]), there[::-1])
        close(behind[:T], whole)
        assert np.isfinite(front).all()


def test_with_a_cache_places_can_be_hidden_too():
    net, x = made(), tokens(T)
    there = jnp.array([True, True, False, True, False, True, True])
    hidden = jax.jit(lambda n, x, c: n.extend(x, c, there=there))
    said, cache = hidden(net, x[:3], net.begin(T))
    for i in range(3, T):
        answer, cache = hidden(net, x[i : i + 1], cache)
        said = jnp.concatenate([said, answer])
    close(said, answers(net, x, there))


def test_padding_teaches_nothing():
    net, x, pad = made(), tokens(T), tokens(3, seed=5)
    there = np.arange(T + 3) >= 3

    def loss(net, pad, there, x):
        padded = jnp.concatenate([pad, x])
        return jnp.square(net(padded, there=there)[len(pad) :]).sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    ours, of_pad = gradients(net, pad, there, x)
    plain, _ = gradients(net, pad[:0], there[3:], x)
    assert (np.asarray(of_pad) == 0).all()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_only_those_asked_are_answered():
    net, x = made(), tokens(T)
    whole = np.asarray(answers(net, x))
    for asked in (slice(1, None, 3), slice(-2, -1)):
        some = jax.jit(lambda x, a=asked: net(x, asked=a))(x)
        close(some, whole[asked])


def test_one_alone_is_as_in_a_batch():
    net, many = made(), tokens(5, T)
    batch = jax.jit(jax.vmap(lambda x: net(x)))(many)
    close(batch[2], answers(net, many[2]))


def test_only_distances_matter_to_rotations():
    """The same tokens later in the sequence, behind others that nobody sees; but the
    order of them does matter."""
    net, x = made(rotary=True), tokens(T)
    here = answers(net, np.concatenate([x[:3], tokens(4, seed=9)]))[:3]
    there = np.arange(T) >= 4
    later = answers(net, np.concatenate([tokens(4, seed=9), x[:3]]), there)
    close(later[4:], here)
    swapped = answers(net, x[[1, 0, *range(2, T)]])
    assert abs(swapped[-1] - answers(net, x)[-1]).max() > 0.01


def test_dropout_is_right_on_average_and_off_without_a_key():
    x = jnp.ones(40_000)
    kept = np.asarray(silenced(x, rate=0.25, key=jr.key(0)))
    np.testing.assert_allclose(np.unique(kept), [0, 4 / 3], rtol=1e-6)
    assert np.mean(kept == 0) == pytest.approx(0.25, abs=0.01)
    assert silenced(x, rate=0.25, key=None) is x
    net, x = made(), tokens(T)
    run = jax.jit(lambda rate, key: net(jnp.asarray(x), rate=rate, key=key))
    whole = answers(net, x)
    close(run(0.0, jr.key(1)), whole)
    several = [np.asarray(run(0.5, jr.key(seed))) for seed in (1, 2)]
    assert abs(several[0] - several[1]).max() > 0.1


def test_it_begins_as_gpt_2_does():
    net = jax.jit(lambda key: Transformer(64, 1, 1, key=key))(jr.key(0))
    (block,) = net.blocks
    assert np.std(block.looks) == pytest.approx(0.02, rel=0.05)
    for layer in (block.seen, block.wide, block.narrow):
        assert np.std(layer.weight) == pytest.approx(0.02, rel=0.05)
        assert (np.asarray(layer.bias) == 0).all()


@pytest.mark.parametrize(
    ("width", "heads", "rotary", "multiple"),
    [(10, 3, False, 3), (6, 2, True, 4)],
)
def test_heads_that_do_not_fit_are_refused(width, heads, rotary, multiple):
    with pytest.raises(BadConfig, match=f"a multiple of {multiple}"):
        Transformer(width, 1, heads, rotary=rotary, key=jr.key(0))
