"""What every catalogued algorithm promises. A new line in the catalogue is tested
here without a new line here.
"""

import dataclasses
import functools as ft

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
    ENVS,
    experience,
    history,
    instant,
    MAIN,
    PROBLEMS,
    program,
    same,
    small,
    turn,
)

from peira.core import is_space, Sample


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


@each_algorithm
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


def grown(state):
    """The same state, as if one update had been made of it: counters at one."""
    count = lambda x: jnp.issubdtype(x.dtype, jnp.integer) and x.ndim == 0
    return jax.tree.map(lambda x: jnp.ones_like(x) if count(x) else x, state)


@each_case
def test_policy(name, problem):
    algorithm, spec = small(ALGORITHMS[name]), PROBLEMS[problem]

    @jax.jit
    def play(key, again):
        k_init, k_t, k_show, k_explore = jr.split(key, 4)
        fresh = algorithm.init(spec, key=k_init)
        t = instant(spec, 32, key=k_t)
        show, explore = ft.partial(act, explore=False), ft.partial(act, explore=True)
        one = jax.tree.map(lambda x: x[7:8], t)
        policy, newborn = algorithm.policy(grown(fresh)), algorithm.policy(fresh)
        return t, {
            "shown": show(policy, t, key=k_show)[0],
            "again": show(policy, t, key=again)[0],
            "one": show(policy, one, key=jr.clone(k_show))[0],
            "explored": explore(policy, t, key=k_explore)[0],
            "roamed": explore(newborn, t, key=jr.clone(again))[0],
        }

    t, actions = play(jr.key(0), jr.key(1))
    assert same(actions["shown"], actions["again"])  # showing needs no chance
    _, others = play(jr.key(0), jr.key(2))
    assert not same(actions["roamed"], others["roamed"])  # finding out does
    close(actions["one"], jax.tree.map(lambda x: x[7:8], actions["shown"]), 1e-5)
    spaces = jax.tree.leaves(spec.action, is_leaf=is_space)
    for which in "shown", "explored", "roamed":
        for space, x in zip(spaces, jax.tree.leaves(actions[which]), strict=True):
            assert x.dtype == space.dtype
            assert x.shape == (32, *space.shape)
            assert space.contains(np.asarray(x)).all()
        if spec.masked:
            assert t.legal[jnp.arange(32), actions[which]].all()


@each_algorithm
def test_a_time_limit_is_bootstrapped_through_and_a_death_is_not(name, problem):
    """A world of one state that pays 1: worth 1 / (1 - γ) if a clock cuts every step,
    worth 1 if every step is the last."""
    quick = {
        "gamma": 0.5,
        "learning_rate": 0.02,
        "tau": 0.1,
        "alpha": 1e-6,
        "automatic": False,
        "anneal": False,
        "scale_rewards": False,
        "clip_rewards": False,
    }
    algorithm, spec = small(ALGORITHMS[name], **quick), PROBLEMS[problem]
    store = algorithm.store(spec)

    @jax.jit
    def worth(deadly, key):
        k_init, k_live, k_sample, k_update = jr.split(key, 4)
        state = algorithm.init(spec, key=k_init)
        steps = experience(algorithm, spec, state, key=k_live)
        one = jax.tree.map(lambda x: jnp.broadcast_to(x[:1, :1], x.shape), steps.obs)
        steps = dataclasses.replace(
            steps,
            obs=one,
            next_obs=one,
            reward=jnp.ones_like(steps.reward),
            terminated=jnp.full_like(steps.terminated, deadly),
            truncated=jnp.full_like(steps.truncated, ~deadly),
        )
        kept = store.init(jax.tree.map(lambda x: x[0, 0], steps), envs=ENVS)
        batch = store.sample(store.add(kept, steps), key=k_sample)
        learn = lambda s, k: algorithm.update(s, batch, key=k)
        return jax.lax.scan(learn, state, jr.split(k_update, 400))[1].metrics["value"]

    assert worth(False, jr.key(0))[-1] == pytest.approx(2.0, abs=0.1)
    assert worth(True, jr.key(0))[-1] == pytest.approx(1.0, abs=0.1)
