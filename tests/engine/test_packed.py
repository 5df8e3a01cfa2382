"""Packing changes nothing but the price."""

import jax
import jax.numpy as jnp
import numpy as np

from peira.engine.packed import pack, packing
from peira.nets import fan_in, Linear


def test_unpacked_is_what_was_packed():
    net = Linear(3, 2, fan_in, key=jax.random.key(0))
    back = pack(net).tree
    assert jax.tree.structure(back) == jax.tree.structure(net)
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (back, net)), strict=True))


def test_compiled_once_for_one_form_and_again_for_another():
    traces = []

    def double(tree):
        traces.append(jax.tree.structure(tree))
        return jax.tree.map(lambda x: 2 * x, tree), jnp.array(1)

    twice = packing(double)
    for x in (1.0, 2.0):
        out, one = twice(pack({"a": np.float32(x)}))
        assert out.tree == {"a": 2 * x}
        assert one.tree == 1
    assert len(traces) == 1
    twice(pack({"b": np.float32(1.0)}))
    assert len(traces) == 2
