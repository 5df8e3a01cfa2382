"""Gradient steps, slow copies, control flow over trees, and running moments."""

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies as st

from peira.ops import (
    choose,
    descend,
    mean_metrics,
    Moments,
    polyak,
    refused,
    renewed,
    settle,
    stride,
    trainable,
    when,
)


def test_descend_steps_down_the_gradient_and_hands_on_what_the_loss_said():
    net = {"w": jnp.array([3.0, -1.0])}
    tx = optax.identity()
    loss = lambda n: (jnp.square(n["w"]).sum(), "said")
    new, said = descend(tx, trainable(net, tx), loss, rate=0.1)
    np.testing.assert_allclose(new.net["w"], [2.4, -0.8], rtol=1e-6)
    assert said == "said"


def test_the_first_step_of_adam_has_the_size_of_the_rate():
    net, tx = jnp.array([3.0, -1.0]), optax.scale_by_adam()
    new, _ = descend(
        tx, trainable(net, tx), lambda n: (jnp.square(n).sum(), ()), rate=0.01
    )
    np.testing.assert_allclose(new.net, [2.99, -0.99], rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda n: n[0] * jnp.nan,
        lambda n: n[0] * 0 + jnp.inf,  # its gradient is finite
        lambda n: jnp.sqrt(n[1] - n[1]),  # its value is finite
        lambda n: 1e30 * n[0],  # the square of its gradient is not
    ],
)
def test_a_step_that_is_not_finite_is_refused_as_if_it_had_never_been(loss):
    net, tx = jnp.array([3.0, -1.0]), optax.scale_by_adam()
    good = lambda n: (jnp.square(n).sum(), ())
    one, _ = descend(tx, trainable(net, tx), good, rate=0.01)
    two, _ = descend(tx, one, lambda n: (loss(n), ()), rate=0.01)
    assert jax.tree.map(int, [refused([one, {"x": x}]) for x in (one, two)]) == [0, 1]
    np.testing.assert_array_equal(two.net, one.net)
    three = descend(tx, two, good, rate=0.01)[0]
    np.testing.assert_array_equal(three.net, descend(tx, one, good, rate=0.01)[0].net)


@pytest.mark.parametrize("bad", [None, 0, 1, 2])
def test_strides_are_settled_together(bad):
    """All of them, or none where the gradient of one is not finite."""
    tx = optax.scale_by_adam()
    start = descend(tx, trainable(jnp.ones(3), tx), slope, rate=0.1)[0]
    walked = stepped = start
    for i in range(3):
        loss = (lambda n: (jnp.log(n - n).sum(), ())) if i == bad else slope
        walked, _ = stride(tx, walked, loss, rate=0.1)
        stepped, _ = descend(tx, stepped, slope, rate=0.1)
    settled = settle(walked, start)
    wanted = stepped if bad is None else start
    jax.tree.map(np.testing.assert_array_equal, settled.net, wanted.net)
    jax.tree.map(np.testing.assert_array_equal, settled.opt, wanted.opt)
    assert settled.refused == (0 if bad is None else 1)


def slope(net):
    return jnp.square(net).sum(), ()


def test_polyak_moves_the_target_a_fraction_of_the_way():
    target, online = {"w": jnp.array([0.0, 4.0])}, {"w": jnp.array([1.0, 0.0])}
    np.testing.assert_allclose(polyak(target, online, 0.25)["w"], [0.25, 3.0])
    np.testing.assert_array_equal(polyak(target, online, 0.0)["w"], target["w"])
    np.testing.assert_array_equal(polyak(target, online, 1.0)["w"], online["w"])


def test_when_and_choose():
    double = lambda x: 2 * x
    assert when(jnp.array(True), double, jnp.array(3)) == 6
    assert when(jnp.array(False), double, jnp.array(3)) == 3
    picked = choose(
        jnp.array([True, False]),
        {"a": jnp.ones(2), "b": jnp.ones((2, 3))},
        {"a": jnp.zeros(2), "b": jnp.zeros((2, 3))},
    )
    assert picked["a"].tolist() == [1, 0]
    assert picked["b"].tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("due", [[0, 1, 0], [0, 0, 0], [1, 1, 1]])
def test_renewed_is_made_where_it_is_due_and_only_if_it_is_anywhere(due):
    due, given, old = jnp.array(due, bool), jnp.arange(3.0), jnp.full(3, -1.0)
    made = []

    def make(x):
        jax.debug.callback(lambda v: made.append(float(v)), x)
        return x + 10

    wanted = np.where(due, given + 10, old)
    one = lambda d, g, o: renewed(d, make, g, o)
    found = jax.jit(jax.vmap(one))(due, given, old)
    jax.effects_barrier()
    np.testing.assert_array_equal(found, wanted)
    assert sorted(made) == ([0.0, 1.0, 2.0] if due.any() else [])
    shared = jax.vmap(one, in_axes=(0, None, None))(due, given[2], old[0])
    np.testing.assert_array_equal(shared, np.where(due, 12, -1))
    alone = [jax.jit(one)(d, g, o) for d, g, o in zip(due, given, old, strict=True)]
    np.testing.assert_array_equal(jnp.stack(alone), wanted)
    twice = jax.vmap(jax.vmap(one))(*(x[None] for x in (due, given, old)))
    np.testing.assert_array_equal(twice[0], wanted)


def test_mean_metrics():
    means = mean_metrics({"a": jnp.array([1.0, 3.0]), "b": jnp.array([[2.0], [4.0]])})
    assert means == {"a": 2.0, "b": 3.0}


merge = jax.jit(lambda m, x: m.merge(x))
items = hnp.arrays(np.float32, (6, 2), elements=st.floats(-100, 100, width=16))


@given(items, st.integers(1, 5))
def test_moments_do_not_depend_on_how_the_stream_was_cut(x, cut):
    parts = merge(merge(Moments.zero((2,)), x[:cut]), x[cut:])
    np.testing.assert_allclose(parts.mean, x.mean(axis=0), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(parts.variance, x.var(axis=0), rtol=1e-3, atol=1e-2)
    assert parts.count == 6


@pytest.mark.parametrize("odd", [jnp.nan, jnp.inf])
def test_a_batch_with_a_number_that_is_not_finite_is_refused_whole(odd):
    seen = Moments.zero((2,)).merge(jnp.arange(6.0).reshape(3, 2))
    worse = seen.merge(jnp.array([[1.0, 2.0], [3.0, odd]]))
    jax.tree.map(np.testing.assert_array_equal, worse, seen)


def test_moments_of_nothing_leave_numbers_as_they_are():
    empty, x = Moments.zero((2,)), jnp.array([3.0, -50.0])
    np.testing.assert_allclose(empty.normalize(x), x, rtol=1e-6)
    np.testing.assert_allclose(empty.normalize(x, clip=10.0), [3, -10], rtol=1e-6)


def test_normalised_items_have_mean_zero_and_variance_one():
    x = jnp.asarray(np.random.default_rng(0).normal(5, 3, (4, 50, 2)), jnp.float32)
    moments = Moments.zero((2,)).merge(x)
    z = jax.vmap(moments.normalize)(x.reshape(-1, 2))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.var(axis=0), 1, rtol=1e-5)
    constant = Moments.zero(()).merge(jnp.full(5, 7.0))
    assert constant.normalize(jnp.array(7.0)) == pytest.approx(0)
