"""Riddles: what they pay, what they hide, and that their answers are those they say."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.envs import Accord, KeyToDoor, make, TwoWays


def reached(world, state, target, steps):
    """Steps straight to a cell, and what the last of them led to."""
    step, out = jax.jit(lambda s, a: world.step(s, a, key=jr.key(0))), None
    for _ in range(steps):
        away = np.asarray(target) - np.asarray(state.here)
        rows = np.abs(away[0]) > 0
        way = (2 if away[0] > 0 else 0) if rows else (1 if away[1] > 0 else 3)
        state, out = step(state, jnp.array(way))
        if out.terminated:
            break
    return state, out


@pytest.mark.parametrize("fetches", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_door_pays_to_who_fetched_the_key(seed, fetches):
    """From any cell it can be had in time; and without it the door pays nothing."""
    world = KeyToDoor()
    state, obs, _ = world.reset(key=jr.key(seed))
    np.testing.assert_array_equal(obs[:4], [1, 0, 0, 1])
    here = np.asarray(state.here)
    assert (here != state.key).any()
    corner = np.where(here > 0, 0, 2) if (state.key != 0).any() else here
    state, _ = reached(world, state, state.key if fetches else corner, world.seek)
    if not fetches:
        state = state._replace(has=jnp.array(False))
    assert bool(state.has) == fetches
    state, out = reached(world, state, jnp.zeros(2, int), world.wait)
    np.testing.assert_array_equal(out.obs[:4], [0, 0, 1, 1])
    _, out = reached(world, state, state.door, world.seek)
    assert bool(out.terminated)
    assert float(out.reward) == float(fetches)


def test_nothing_that_is_seen_later_tells_of_the_key():
    world = KeyToDoor()
    state, _, _ = world.reset(key=jr.key(0))
    for _ in range(world.seek):
        state, _ = world.step(state, jnp.array(0), key=jr.key(1))
    with_key = state._replace(has=jnp.array(True))
    without = state._replace(has=jnp.array(False))
    for i in range(world.wait + world.seek):
        with_key, one = world.step(with_key, jnp.array(i % 4), key=jr.key(i))
        without, other = world.step(without, jnp.array(i % 4), key=jr.key(i))
        np.testing.assert_array_equal(one.obs, other.obs)
        assert bool(one.terminated) == bool(other.terminated)


def test_it_is_over_when_the_clock_says_so():
    world = KeyToDoor()
    state, _, _ = world.reset(key=jr.key(3))
    lasts = 2 * world.seek + world.wait
    state = state._replace(time=jnp.array(lasts - 1), door=jnp.array([2, 2]))
    state = state._replace(here=jnp.zeros(2, int))
    _, out = world.step(state, jnp.array(0), key=jr.key(0))
    assert bool(out.terminated)
    assert not bool(out.truncated)


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_either_way_leads_round_the_disc_and_their_mean_does_not(side):
    world = TwoWays()
    state, _, _ = world.reset(key=jr.key(0))
    step = jax.jit(lambda s, a: world.step(s, a, key=jr.key(0)))
    for _ in range(60):
        aim = jnp.array([0.0, 0.7 * side]) if state[0] < 0 else jnp.array([1.5, 0.0])
        way = aim - state
        state, out = step(state, way / jnp.linalg.norm(way))
        if out.terminated:
            break
    assert bool(out.terminated)
    assert float(out.reward) == abs(side)


@pytest.mark.parametrize(
    ("action", "pays"),
    [((0.6, 0.6), 1), ((0.4, 0.8), 1), ((-0.5, -0.5), 0.5), ((0.6, -0.5), -1)],
)
def test_both_entries_must_agree(action, pays):
    world = Accord()
    _, out = world.step((), jnp.array(action), key=jr.key(0))
    assert float(out.reward) == pays


@pytest.mark.parametrize("name", ["KeyToDoor", "TwoWays", "probe:accord"])
def test_they_are_known_by_name(name):
    world = make(name)
    state, obs, _ = jax.jit(lambda k: world.reset(key=k))(jr.key(0))
    assert jnp.shape(obs) == world.spec.obs.shape
    action = jnp.zeros(world.spec.action.shape, world.spec.action.dtype)
    _, out = jax.jit(lambda s: world.step(s, action, key=jr.key(1)))(state)
    assert not bool(out.truncated)
