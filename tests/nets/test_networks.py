"""Networks: how they begin, what they compute, and that a batch is its rows."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import BadConfig, Box, Discrete, MultiDiscrete
from peira.nets import (
    Conv,
    Encoder,
    Ensemble,
    fan_in,
    he,
    Impala,
    LayerNorm,
    Linear,
    MLP,
    orthogonal,
    PlainCNN,
)
from peira.nets.blocks import as_it_is, by_patches


def frames(*shape):
    return Box(np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8))


def test_orthogonal_columns_and_gain(key):
    w = orthogonal(3.0)(key, (6, 4))
    np.testing.assert_allclose(w.T @ w, 9 * np.eye(4), atol=1e-4)
    window = orthogonal(1.0)(jr.key(1), (2, 2, 3, 5)).reshape(-1, 5)
    np.testing.assert_allclose(window.T @ window, np.eye(5), atol=1e-5)


def test_fan_in_fills_its_bounds(key):
    w = fan_in(key, (3, 3, 4, 50))
    bound = 36**-0.5
    assert jnp.abs(w).max() <= bound
    assert w.max() > 0.98 * bound
    assert w.min() < -0.98 * bound
    bias = Linear(16, 500, fan_in, key=jr.key(1)).bias
    assert 0.98 / 4 < jnp.abs(bias).max() <= 1 / 4
    assert (Linear(16, 500, orthogonal(1.0), key=jr.key(2)).bias == 0).all()


def test_he_has_variance_two_over_fan_in(key):
    assert he(key, (50, 400)).var() == pytest.approx(2 / 50, rel=0.05)


def test_mlp_is_its_layers(key):
    net = MLP([3, 5, 2], key=key, activation=jnp.tanh)
    x = jnp.array([1.0, -2.0, 0.5])
    first, last = net.layers
    hidden = np.tanh(x @ first.weight + first.bias)
    np.testing.assert_allclose(net(x), hidden @ last.weight + last.bias, rtol=1e-5)
    assert len(MLP([3, 2], key=jr.key(1)).layers) == 1


def test_layer_norm_stands_before_the_activation(key):
    norm = LayerNorm(4)
    x = jnp.array([1.0, 2.0, 3.0, 10.0])
    z = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    np.testing.assert_allclose(norm(x), z, rtol=1e-5)
    net = MLP([4, 4, 1], key=key, layer_norm=True)
    first, last = net.layers
    h = np.asarray(x @ first.weight + first.bias)
    h = np.maximum((h - h.mean()) / np.sqrt(h.var() + 1e-5), 0)
    np.testing.assert_allclose(net(x), h @ last.weight + last.bias, rtol=1e-4)


def test_conv_is_the_sum_over_its_window(key):
    net = Conv(2, 3, 2, 2, fan_in, key=key)
    net = jax.tree.map(lambda x: x + 0.1, net)  # so that the bias is seen
    x = jr.normal(jr.key(1), (4, 6, 2))
    got = net(x)
    assert got.shape == (2, 3, 3)
    for i in range(2):
        for j in range(3):
            patch = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            wanted = np.tensordot(patch, net.weight, 3) + net.bias
            np.testing.assert_allclose(got[i, j], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "stride"), [(8, 4), (4, 2), (3, 1), (5, 2), (2, 3)])
def test_patches_give_the_convolution_and_its_gradient(window, stride, padding):
    x = jr.normal(jr.key(0), (13, 16, 3))
    weight = jr.normal(jr.key(1), (window, window, 3, 4))
    both = [
        jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, weight)
        for loss in (
            lambda x, w: jnp.sin(by_patches(x, w, stride, padding)).sum(),
            lambda x, w: jnp.sin(as_it_is(x, w, stride, padding)).sum(),
        )
    ]
    assert by_patches(x, weight, stride, padding).ndim == 3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), *both)


def test_sizes_of_the_networks_for_images(key):
    eye = lambda shape, kind: jax.eval_shape(
        lambda k: PlainCNN(shape, kind, fan_in, key=k), key
    )
    nature = eye((84, 84, 4), "nature")
    assert [c.weight.shape for c in nature.convs] == [
        (8, 8, 4, 32),
        (4, 4, 32, 64),
        (3, 3, 64, 64),
    ]
    assert nature.dense.weight.shape == (7 * 7 * 64, 512)  # Mnih et al., 2015
    impala = jax.eval_shape(lambda k: Impala((72, 96, 3), fan_in, key=k), key)
    assert impala.dense.weight.shape == (9 * 12 * 32, 256)  # Espeholt et al., fig. 3
    assert impala.size == 256
    assert len(jax.tree.leaves([s.blocks for s in impala.sections])) == 3 * 4 * 2
    small = eye((10, 10, 4), "small")
    assert small.dense.weight.shape == (8 * 8 * 16, 128)
    assert small.size == 128


NETS = {
    "mlp": (lambda k: MLP([6, 4, 2], key=k), (6,)),
    "norm": (lambda k: MLP([6, 4, 2], key=k, layer_norm=True), (6,)),
    "small": (lambda k: PlainCNN((5, 5, 2), "small", fan_in, key=k), (5, 5, 2)),
    "impala": (lambda k: Impala((6, 6, 2), fan_in, key=k), (6, 6, 2)),
    "ensemble": (lambda k: Ensemble(lambda j: MLP([6, 3, 1], key=j), 3, key=k), (6,)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_batch_is_its_rows(name, key):
    make, shape = NETS[name]
    net = jax.jit(make)(key)
    batch = jax.jit(jax.vmap(net))
    x = jr.normal(jr.key(1), (4, *shape))
    np.testing.assert_allclose(batch(x)[2:3], batch(x[2:3]), rtol=1e-4, atol=1e-6)
    assert jnp.abs(batch(x)).max() > 0
    assert batch(x).std(axis=0).max() > 0


def test_an_ensemble_is_its_members(key):
    make = lambda k: MLP([3, 4, 2], key=k)
    net = Ensemble(make, 3, key=key)
    x = jnp.array([1.0, -1.0, 2.0])
    keys = jr.split(jr.clone(key), 3)
    for i in range(3):
        np.testing.assert_allclose(net(x)[i], make(keys[i])(x), rtol=1e-5)
    assert len({round(v, 6) for v in net(x)[:, 0].tolist()}) == 3


def test_a_residual_section_adds_to_what_it_was_given(key):
    section = Impala((4, 4, 2), fan_in, key=key).sections[0]
    silent = jax.tree.map(jnp.zeros_like, section.blocks)
    object.__setattr__(section, "blocks", silent)
    x = jr.normal(jr.key(1), (4, 4, 2))
    pooled = np.full((2, 2, 16), -np.inf)
    entry = np.asarray(section.entry(x))
    for i in range(4):
        for j in range(4):
            for a in range(2):
                for b in range(2):  # windows of 3, padded at the far side
                    if 2 * a <= i <= 2 * a + 2 and 2 * b <= j <= 2 * b + 2:
                        pooled[a, b] = np.maximum(pooled[a, b], entry[i, j])
    np.testing.assert_allclose(section(x), pooled, rtol=1e-5)


def test_an_encoder_lays_everything_side_by_side(key):
    space = {
        "choice": Discrete(3),
        "pair": MultiDiscrete((2, 2)),
        "place": Box(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32)),
        "bytes": Box(np.zeros(2, np.uint8), np.full(2, 255, np.uint8)),
    }
    encoder = Encoder(space, init=fan_in, key=key)
    obs = {
        "choice": jnp.array(1),
        "pair": jnp.array([1, 0]),
        "place": jnp.array([[0.5], [0.25]]),
        "bytes": jnp.array([51, 255], jnp.uint8),
    }
    wanted = [0.2, 1, 0, 1, 0, 0, 1, 1, 0, 0.5, 0.25]  # in the order of their names
    np.testing.assert_allclose(encoder(obs), wanted, rtol=1e-6)
    assert encoder.size == len(wanted)
    assert not jax.tree.leaves(encoder)  # nothing to learn


@pytest.mark.parametrize(
    ("shape", "vision", "kind"),
    [
        ((36, 40, 1), "auto", "nature"),
        ((35, 40, 1), "auto", "small"),
        ((10, 10, 3), "impala", "impala"),
        ((40, 40, 3), "small", "small"),
    ],
)
def test_which_eye(shape, vision, kind, key):
    make = lambda k: Encoder(frames(*shape), init=fan_in, key=k, vision=vision)
    (eye,) = jax.eval_shape(make, key).eyes
    assert isinstance(eye, Impala if kind == "impala" else PlainCNN)
    assert eye.size == {"nature": 512, "small": 128, "impala": 256}[kind]


def test_bytes_are_divided_by_255_once(key):
    encoder = Encoder(frames(4, 4, 1), init=fan_in, key=key)
    x = jr.randint(jr.key(1), (4, 4, 1), 0, 256).astype(jnp.uint8)
    np.testing.assert_allclose(encoder(x), encoder.eyes[0](x / 255), rtol=1e-5)


def test_images_too_small_for_nature_say_so(key):
    with pytest.raises(BadConfig, match="nature cannot read 10 x 10 images"):
        Encoder(frames(10, 10, 3), init=fan_in, key=key, vision="nature")
