"""Between Gymnasium's spaces and ours, in both directions."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, strategies as st
from toys import Echo

from peira.core import (
    BadConfig,
    Box,
    Discrete,
    EnvironmentFault,
    is_space,
    MultiBinary,
    MultiDiscrete,
)
from peira.envs import make
from peira.envs.hosted import episode_seed
from peira.ops import scale


ONE = spaces.Discrete(2)
rescale = jax.jit(scale, static_argnums=0)
NESTED = spaces.Dict(
    {
        "flags": spaces.Box(0, 1, (2,), np.bool_),
        "z": spaces.Discrete(3, start=-4),
        "image": spaces.Box(0, 255, (5, 4, 3), np.uint8),
        "a": spaces.Tuple(
            [
                spaces.MultiBinary((2, 3)),
                spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, -1]]),
                spaces.Box(-np.inf, np.inf, (), np.float64),
                spaces.Box(-5, 2**30, (2,), np.int64),
            ]
        ),
    }
)


def hosted(obs=ONE, action=ONE, envs=2):
    return make(Echo, envs=envs, observation_space=obs, action_space=action)


def given_to(env):
    """The last action of each environment."""
    return [body.env.given[-1] for body in env.fleet.bodies]


def test_every_kind_of_observation_has_ours():
    env = hosted(NESTED)
    low, high = np.full(2, -5, np.int32), np.full(2, 2**30, np.int32)
    edge = np.array(np.inf, np.float32)
    least = np.array(-np.inf, np.float32)
    dark = np.zeros((5, 4, 3), np.uint8)
    assert env.spec.obs == {
        "a": (
            MultiBinary((2, 3)),
            MultiDiscrete((2, 3, 4, 5)),
            Box(least, edge),
            Box(low, high),
        ),
        "flags": Box(dark[0, 0, :2], dark[0, 0, :2] + 1),
        "image": Box(dark, dark + 255),
        "z": Discrete(3),
    }
    assert not env.spec.masked


def test_observations_keep_their_meaning():
    env = hosted(NESTED)
    t = env.reset(0)
    out, _ = env.step(np.zeros(2, np.int32))
    for obs in (t.obs, out.obs):

        def check(space, x):
            assert x.shape == (2, *space.shape)
            assert x.dtype == space.dtype
            assert space.contains(x).all()

        jax.tree.map(check, env.spec.obs, obs, is_leaf=is_space)
    twin = Echo(NESTED, ONE)
    raw, _ = twin.reset(seed=episode_seed(0, 0, 0))
    first = jax.tree.map(lambda x: x[0], t.obs)
    assert first["z"] == raw["z"] + 4
    np.testing.assert_array_equal(first["image"], raw["image"])
    np.testing.assert_array_equal(first["a"][0], raw["a"][0])
    from_zero = raw["a"][1] - np.array([[1, 0], [0, -1]])
    np.testing.assert_array_equal(first["a"][1], from_zero.ravel())
    np.testing.assert_allclose(first["a"][2], raw["a"][2], rtol=1e-6)


ODD = [([-3.0], [1.0]), ([0.1, -1e3], [0.3, 1e-3]), ([-2.5, 7.0], [-2.25, 7.7])]


@pytest.mark.parametrize(("low", "high"), ODD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(units=st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2))
def test_every_action_arrives_within_its_bounds(low, high, dtype, units):
    low, high = np.array(low, dtype), np.array(high, dtype)
    env = hosted(action=spaces.Box(low, high, dtype=dtype), envs=1)
    env.reset(0)
    size = len(low)
    for unit in (units[:size], [-1.0] * size, [1.0] * size):
        action = rescale(env.spec.action, jnp.array(unit, jnp.float32))
        env.step(np.asarray(action)[None])
        (arrived,) = given_to(env)
        assert arrived.dtype == dtype
        assert env.act.theirs.contains(arrived)
        np.testing.assert_allclose(arrived, action, rtol=1e-6)
        if unit[0] in (-1, 1):
            bound = (low if unit[0] < 0 else high)[0]
            assert arrived[0] == pytest.approx(bound, rel=1e-7)


def test_actions_of_every_kind_arrive_as_the_environment_wants_them():
    space = spaces.Dict(
        {
            "turn": spaces.Discrete(3, start=5),
            "grid": spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, 0]]),
            "keys": spaces.MultiBinary(3),
            "pull": spaces.Tuple([spaces.Box(-2, 5, (2, 1), np.float64)]),
            "count": spaces.Box(0, 9, (1,), np.int16),
        }
    )
    env = hosted(action=space)
    env.reset(0)
    action = {
        "count": np.array([[3], [9]]),
        "grid": np.array([[0, 2, 3, 4], [1, 0, 0, 0]]),
        "keys": np.array([[0, 1, 1], [1, 0, 0]]),
        "pull": (np.array([[[-2.0], [5.0]], [[7.0], [0.1]]], np.float32),),
        "turn": np.array([0, 2]),
    }
    env.step(action)
    first, second = given_to(env)
    assert space.contains(first)
    assert space.contains(second)
    assert (first["turn"], second["turn"]) == (5, 7)
    np.testing.assert_array_equal(first["grid"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(first["keys"], [0, 1, 1])
    np.testing.assert_array_equal(first["pull"][0], [[-2], [5]])
    assert second["pull"][0][0, 0] == 5  # held within the bounds
    assert second["pull"][0].dtype == np.float64
    np.testing.assert_array_equal(second["count"], [9])


def test_actions_of_every_kind_survive_a_snapshot():
    space = spaces.Tuple([spaces.Discrete(3, start=1), spaces.Box(-1, 1, (2,))])
    env = hosted(action=space)
    env.reset(0)
    rng = np.random.default_rng(0)
    for _ in range(3):
        pull = rng.uniform(-1, 1, (2, 2)).astype(np.float32)
        env.step((rng.integers(0, 3, 2), pull))
    saved = env.snapshot()
    other = hosted(action=space)
    assert other.restore(saved) is None
    for a, b in zip(env.fleet.bodies, other.fleet.bodies, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a.env.given, b.env.given)


@pytest.mark.parametrize(
    ("obs", "action", "said"),
    [
        (spaces.Text(4), ONE, "observation is a Text space"),
        (ONE, spaces.Sequence(ONE), "action is a Sequence space"),
        (
            spaces.Dict({"deep": spaces.Tuple([ONE, spaces.OneOf([ONE, ONE])])}),
            ONE,
            "observation['deep'][1] is a OneOf space",
        ),
        (
            spaces.Graph(spaces.Box(0, 1), None),
            ONE,
            "observation is a Graph space",
        ),
        (ONE, spaces.Box(0, np.inf, (2,)), "action has infinite bounds"),
        (
            ONE,
            spaces.Dict({"pull": spaces.Box(-np.inf, 1, (2,))}),
            "action['pull'] has infinite bounds",
        ),
    ],
)
def test_spaces_that_cannot_be_served_are_refused_by_name(obs, action, said):
    with pytest.raises(BadConfig) as caught:
        hosted(obs, action)
    assert str(caught.value).startswith(f"Echo: its {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        (np.float64, 1e300, "1e+300 is outside [-3.4"),
        (np.int64, 2**40, "1099511627776 is outside [-5, 2.147e+09]"),
    ],
)
def test_numbers_that_do_not_fit_the_device_are_faults(dtype, value, said):
    class Great(gymnasium.Env):
        high = np.inf if dtype is np.float64 else 2**50
        observation_space = spaces.Box(-5, high, (1,), dtype)
        action_space = ONE

        def reset(self, *, seed=None, options=None):
            return np.array([value], dtype), {}

    env = make(Great)
    env.obs.leaves[0].loosen(entirely=True)
    with pytest.raises(EnvironmentFault) as caught:
        env.reset(0)
    assert f"observation[0] = {said}" in str(caught.value)
