"""What every catalogued algorithm promises. A new line in the catalogue is tested
here without a new line here.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from small import (
    act,
    ALGORITHMS,
    birth,
    CASES,
    close,
    history,
    instant,
    MAIN,
    PROBLEMS,
    program,
    same,
    small,
    turn,
)

from peira.core import Discrete, is_space, Sample


each_case = pytest.mark.parametrize(("name", "problem"), CASES)
each_algorithm = pytest.mark.parametrize(("name", "problem"), MAIN)


def kinds(tree):
    """Shape, dtype and weakness of every leaf, with the tree itself."""
    leaves, shape = jax.tree.flatten(tree)
    return shape, [(x.shape, x.dtype, getattr(x, "weak_type", False)) for x in leaves]


def test_a_key_used_twice_is_an_error():
    twice = jax.jit(lambda k: jr.normal(k) + jr.uniform(k))
    with pytest.raises(jax.errors.KeyReuseError):
        twice(jr.key(0))


@each_case
def test_structure_is_kept_and_nothing_is_weakly_typed(name, problem):
    algorithm, spec = small(ALGORITHMS[name]), PROBLEMS[problem]
    before = jax.eval_shape(lambda k: birth(algorithm, spec, key=k), jr.key(0))
    after, _ = jax.eval_shape(
        lambda life, k: turn(algorithm, spec, life, key=k), before, jr.key(0)
    )
    assert kinds(before) == kinds(after)
    assert not any(weak for _, _, weak in kinds(before)[1])


@each_case
def test_learns_finite_numbers_and_the_same_ones_each_time(name, problem):
    last = history(name, problem, 1)
    numbers = jax.tree.leaves((last[0].state, last[1][1]))
    assert all(np.isfinite(x).all() for x in numbers)
    assert same(last, history.__wrapped__(name, problem, 1))
    assert not same(last[0].state, history(name, problem, 2)[0].state)


@each_algorithm
def test_reports_the_surprise_of_every_item_it_was_dealt(name, problem):
    _, (batch, report) = history(name, problem, 1)
    if isinstance(batch, Sample):
        assert report.surprise.shape == batch.weight.shape
        assert (report.surprise >= 0).all()
        assert report.surprise.std() > 0
    assert all(x.shape == () for x in report.metrics.values())
    assert "value" in report.metrics


@each_algorithm
def test_saved_and_continued_is_never_stopped(name, problem):
    _, advance = program(name, problem)
    middle, _ = history(name, problem, 1)
    shelf = [np.array(x) for x in jax.tree.leaves(middle)]  # all that a file can hold
    again = jax.tree.unflatten(jax.tree.structure(middle), map(jnp.asarray, shelf))
    assert kinds(again) == kinds(middle)
    assert same(advance(middle, jr.key(2)), advance(again, jr.key(2)))
    assert advance._cache_size() == 1  # and nothing is compiled a second time


@each_case
def test_policy(name, problem):
    algorithm, spec = small(ALGORITHMS[name]), PROBLEMS[problem]
    (state, _), _ = history(name, problem, 1)
    fresh = program(name, problem)[0](jr.key(0)).state
    choose = jax.jit(
        lambda s, t, k, explore: act(algorithm.policy(s), t, key=k, explore=explore)[0],
        static_argnums=3,
    )
    t = instant(spec, 64, key=jr.key(3))
    shown = choose(state, t, jr.key(4), False)
    assert same(shown, choose(state, t, jr.key(5), False))  # showing needs no chance
    assert not same(
        choose(fresh, t, jr.key(4), True), choose(fresh, t, jr.key(5), True)
    )
    for action in (
        shown,
        choose(state, t, jr.key(4), True),
        choose(fresh, t, jr.key(4), True),
    ):
        leaves = jax.tree.leaves(spec.action, is_leaf=is_space)
        for space, x in zip(leaves, jax.tree.leaves(action), strict=True):
            assert x.dtype == space.dtype
            assert x.shape == (64, *space.shape)
            assert space.contains(np.asarray(x)).all()
        if spec.masked and isinstance(spec.action, Discrete):
            assert t.legal[jnp.arange(64), action].all()
    one = choose(state, jax.tree.map(lambda x: x[7:8], t), jr.key(4), False)
    close(one, jax.tree.map(lambda x: x[7:8], shown), 1e-5)
