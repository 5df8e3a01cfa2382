"""Our environments behind Gymnasium's interface."""

import warnings

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from peira.core import Box, Discrete, EnvironmentFault, MultiBinary, MultiDiscrete
from peira.envs import as_gymnasium, make
from peira.envs.export import translate


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "probe:masked"])
def test_gymnasium_finds_no_fault(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on bounds
        check_env(as_gymnasium(make(name)), skip_render_check=True)


def test_the_hosted_and_the_compiled_world_are_one():
    env = make("probe:death")
    hosted = make(as_gymnasium(env), envs=2)
    assert hosted.spec == env.spec
    t = hosted.reset(0)
    world, obs, _ = env.reset(key=jr.key(0))
    step = jax.jit(lambda w: env.step(w, jnp.int32(0), key=jr.key(0)))
    for _ in range(10):
        np.testing.assert_array_equal(t.obs, [obs, obs])
        world, out = step(world)
        same, t = hosted.step(np.zeros(2, np.int32))
        for ours in ("obs", "reward", "terminated", "truncated"):
            value = np.asarray(getattr(out, ours))
            np.testing.assert_array_equal(getattr(same, ours), [value, value])
        obs = out.obs
    assert t.first.all()


def test_masks_go_through():
    hosted = make(as_gymnasium(make("probe:masked")))
    assert hosted.spec == make("probe:masked").spec
    t = hosted.reset(0)
    np.testing.assert_array_equal(t.legal, [[True, True, False]])


def test_pictures():
    cartpole = as_gymnasium(make("CartPole-v1"))
    cartpole.reset(seed=0)
    assert cartpole.render().shape == (400, 600, 3)
    probe = as_gymnasium(make("probe:once"))
    probe.reset(seed=0)
    with pytest.raises(EnvironmentFault, match="Chain has no picture"):
        probe.render()


def test_spaces():
    low, high = np.full((2, 3), -1, np.float32), np.full((2, 3), 4, np.float32)
    space = {"a": (Box(low, high), Discrete(3)), "b": MultiDiscrete((2, 5))}
    assert translate(space | {"c": MultiBinary((2, 2))}) == spaces.Dict(
        {
            "a": spaces.Tuple([spaces.Box(low, high), spaces.Discrete(3)]),
            "b": spaces.MultiDiscrete([2, 5]),
            "c": spaces.MultiBinary((2, 2)),
        }
    )
