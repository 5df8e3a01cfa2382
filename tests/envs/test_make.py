"""From names to environments, and what is said of bad ones."""

import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toys import Counter, number

from peira.core import BadConfig, Env
from peira.envs import CartPole, Hosted, make, Pendulum, TimeLimit


def test_ours_are_taken_where_we_have_them():
    env = make("CartPole-v1", envs=8)
    assert isinstance(env, TimeLimit)
    assert env.limit == 500
    assert isinstance(make("CartPole-v1", backend="jax"), Env)
    assert isinstance(make("CartPole-v1", backend="gymnasium"), Hosted)
    assert isinstance(make("CartPole-v1", sutton_barto_reward=True), Hosted)
    pendulum = Pendulum()
    assert make(pendulum) is pendulum
    assert isinstance(make(CartPole), CartPole)


def test_noise_is_on_the_rewards_and_on_nothing_else():
    plain, noisy = make("Pendulum-v1"), make("noisy:0.5:Pendulum-v1")
    assert noisy.spec == plain.spec
    world, _, _ = noisy.reset(key=jr.key(0))
    step = lambda env, k: env.step(world, jnp.ones(1), key=k)[1]
    keys = jr.split(jr.key(1), 20_000)
    out = jax.jit(jax.vmap(lambda k: step(noisy, k)))(keys)
    sure = step(plain, jr.key(2))
    np.testing.assert_array_equal(out.obs[0], sure.obs)
    noise = np.asarray(out.reward - sure.reward)
    assert noise.mean() == pytest.approx(0, abs=4 * 0.5 / 20_000**0.5)
    assert noise.std() == pytest.approx(0.5, rel=0.03)
    assert make("noisy:0:probe:once").deviation == 0


def test_names_of_functions():
    env = make("toys:counter", envs=2, length=7)
    assert (env.name, env.envs, env.max_steps) == ("counter", 2, None)
    gymnasium.register("Toy-v0", entry_point="toys:Counter", max_episode_steps=5)
    try:
        env = make("toys:Toy-v0", length=9)
        assert (env.name, env.max_steps) == ("toys:Toy-v0", 5)
    finally:
        del gymnasium.registry["Toy-v0"]


@pytest.mark.parametrize(
    ("env", "kwargs", "said"),
    [
        (
            "CartPole-1",
            {},
            "unknown environment 'CartPole-1'; did you mean CartPole-v1",
        ),
        ("noisy:CartPole-v1", {}, "asked for as noisy:DEVIATION:NAME"),
        ("noisy:-1:CartPole-v1", {}, "asked for as noisy:DEVIATION:NAME"),
        ("noisy:1:HalfCheetah-v5", {}, "HalfCheetah-v5 is no world in JAX"),
        ("HalfCheeta-v5", {}, "did you mean HalfCheetah-v5"),
        (
            "ALE/Pog-v5",
            {},
            "unknown environment 'ALE/Pog-v5'; did you mean ALE/Pong-v5",
        ),
        ("toys:missing", {}, "unknown environment or function of toys 'missing'"),
        ("os:system", {"command": "exit 1"}, "system does not say that it makes one"),
        ("subprocess:Popen", {"args": ["true"]}, "Popen does not say that"),
        (
            "nowhere:Env-v0",
            {},
            "environment 'nowhere:Env-v0': No module named 'nowhere'",
        ),
        ("HalfCheetah-v5", {"backend": "jax"}, "unknown JAX environment"),
        ("CartPole-v1", {"backend": "jax", "g": 1}, "in JAX takes no keywords (g)"),
        ("Pendulum-v1", {"gg": 1}, "unexpected keyword argument 'gg'"),
        (Counter(), {"length": 2}, "Counter: keywords (length) come too late"),
        (number, {}, "number returned int, not a gymnasium.Env"),
        (3, {}, "3 is no environment"),
        ("gymnax:Cartpole", {}, "unknown gymnax environment 'Cartpole'; did you mean"),
    ],
)
def test_mistakes_are_named_in_one_line(env, kwargs, said):
    with pytest.raises(BadConfig) as caught:
        make(env, **kwargs)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


IMPORTS = """
import sys
import peira.envs
late = {"gymnasium", "mujoco", "ale_py", "gymnax", "cv2", "pygame", "Box2D"}
assert not late & set(sys.modules), late & set(sys.modules)
from peira.core import BadConfig
for module in ("mujoco", "Box2D", "ale_py", "gymnax"):
    sys.modules[module] = None
for name, extra in [
    ("Ant-v5", "mujoco"),
    ("LunarLander-v3", "box2d"),
    ("ALE/Pong-v5", "atari"),
    ("PongNoFrameskip-v4", "atari"),
    ("gymnax:CartPole-v1", "gymnax"),
]:
    try:
        peira.envs.make(name)
    except BadConfig as error:
        start = f"{name} needs: pip install 'peira[{extra}]' ("
        assert str(error).startswith(start), error
        assert "\\n" not in str(error)
    else:
        raise AssertionError(name)
"""


def test_simulators_are_imported_when_needed_and_missing_ones_named():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
