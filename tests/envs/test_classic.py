"""Ours against Gymnasium's, from the same states with the same actions."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira.core import Box
from peira.envs import frame, make
from peira.envs.classic import CLASSIC


IDS = sorted(CLASSIC)


@functools.cache
def ours(name):
    env = CLASSIC[name].env
    step = jax.jit(lambda world, action: env.step(world, action, key=jr.key(0)))
    return env, step


@functools.cache
def theirs(name):
    env = gymnasium.make(name, disable_env_checker=True).unwrapped
    env.reset(seed=0)
    return env


def action_of(name, unit):
    """An action from a number in [0, 1]."""
    space = ours(name)[0].spec.action
    if isinstance(space, Box):
        return (space.low + unit * (space.high - space.low)).astype(np.float32)
    return np.int32(min(int(unit * space.n), space.n - 1))


# The reach of each state, a little beyond which episodes end.
REACH = {
    "CartPole-v1": [2.5, 4.0, 0.25, 4.0],
    "Pendulum-v1": [10.0, 8.0],
    "Acrobot-v1": [3.14, 3.14, 12.0, 28.0],
    "MountainCar-v0": [1.2, 0.07],
    "MountainCarContinuous-v0": [1.2, 0.07],
}


def state_of(name, units):
    reach = np.array(REACH[name])
    state = reach * np.array(units[: len(reach)])
    if name.startswith("MountainCar"):
        state[0] = min(state[0], 0.6)
    return state.astype(np.float32)


def compare(name, world, action):
    """One step of both from the same state; ours afterwards."""
    twin, (_, step) = theirs(name), ours(name)
    twin.state = np.asarray(world, np.float64)
    twin.steps_beyond_terminated = None  # CartPole counts them
    world, out = step(world, action)
    obs, reward, terminated, truncated, _ = twin.step(
        action if isinstance(action, np.ndarray) else int(action)
    )
    np.testing.assert_allclose(out.obs, obs, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(out.reward, reward, rtol=1e-4, atol=1e-5)
    assert bool(out.terminated) == terminated
    assert bool(out.truncated) is truncated is False
    assert out.obs.dtype == jnp.float32
    return world, out


@pytest.mark.parametrize("name", IDS)
@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4), st.floats(0, 1))
def test_a_step_from_anywhere(name, units, unit):
    compare(name, state_of(name, units), action_of(name, unit))


@pytest.mark.parametrize("name", IDS)
def test_many_steps(name):
    rng = np.random.default_rng(0)
    env, _ = ours(name)
    world, _, _ = env.reset(key=jr.key(1))
    energetic = name.startswith(("Mountain", "Acrobot"))
    for i in range(150):
        unit = float(world[-1] > 0) if energetic else rng.uniform()
        world, out = compare(name, world, action_of(name, unit))
        if out.terminated:
            world, _, _ = env.reset(key=jr.key(i + 2))


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("MountainCar-v0", lambda world: np.int32(2 * (world[1] >= 0))),
        ("MountainCarContinuous-v0", lambda world: np.sign(world[1:] + 1e-9)),
        ("CartPole-v1", lambda world: np.int32(1)),
        ("Acrobot-v1", lambda world: np.int32(2 * (world[3] > 0))),
    ],
)
def test_episodes_come_to_the_same_end(name, policy):
    env, step = ours(name)
    world, _, _ = env.reset(key=jr.key(0))
    for _ in range(500):
        action = policy(np.asarray(world))
        before = np.asarray(world)
        world, out = step(world, action)
        if out.terminated:
            break
    assert out.terminated
    _, same = compare(name, before, action)
    assert same.terminated


@pytest.mark.parametrize("name", IDS)
def test_spaces_are_theirs(name):
    hosted = make(name, backend="gymnasium")
    assert hosted.spec == make(name).spec
    assert hosted.max_steps == make(name).limit
    hosted.close()


@pytest.mark.parametrize("name", IDS)
def test_episodes_open_where_theirs_do(name):
    env, twin = ours(name)[0], theirs(name)
    states, obs, _ = jax.vmap(lambda k: env.reset(key=k))(jr.split(jr.key(0), 500))
    rows = []
    for seed in range(500):
        twin.reset(seed=seed)
        rows.append(np.array(twin.state, np.float32))
    theirs_low, theirs_high = np.min(rows, 0), np.max(rows, 0)
    width = theirs_high - theirs_low
    assert np.all(np.abs(states.min(0) - theirs_low) <= 0.03 * width)
    assert np.all(np.abs(states.max(0) - theirs_high) <= 0.03 * width)
    # The mean of 500 uniform numbers is within 5 standard errors of the other's.
    error = 5 * width / np.sqrt(12) * np.sqrt(2 / 500)
    assert np.all(np.abs(states.mean(0) - np.mean(rows, 0)) <= error + 1e-9)
    assert make(name).spec.obs.contains(np.asarray(obs)).all()


def test_the_time_limit_truncates_whatever_else_happens():
    limited = make("CartPole-v1")
    limited = type(limited)(limited.env, 3)
    step = jax.jit(lambda w, a: limited.step(w, a, key=jr.key(0)))
    world, _, legal = limited.reset(key=jr.key(0))
    assert legal is None
    cut = []
    for _ in range(4):
        world, out = step(world, np.int32(0))
        cut.append(bool(out.truncated))
    assert cut == [False, False, True, True]
    fallen = jnp.array([3.0, 0.0, 0.0, 0.0])
    _, out = step((fallen, jnp.int32(2)), np.int32(0))
    assert out.terminated
    assert out.truncated
    _, out = step((fallen, jnp.int32(0)), np.int32(0))
    assert out.terminated
    assert not out.truncated


@pytest.mark.parametrize("name", IDS)
def test_pictures_show_the_world(name):
    env = make(name)
    world, _, _ = env.reset(key=jr.key(0))
    picture = frame(env, world)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    moved = (world[0].at[0].add(-0.5), world[1])
    assert (frame(env, moved) != picture).any()
    assert (frame(env.env, world[0]) == picture).all()
