"""gymnax environments of both signatures."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import BadConfig, Box, Discrete
from peira.envs import make


pytest.importorskip("gymnax")

from peira.envs.gymnax_adapter import Gymnax, translate


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    time: jax.Array
    fallen: jax.Array


@dataclasses.dataclass(frozen=True)
class Params:
    max_steps_in_episode: int = 4


class Space:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Tower:
    """Falls at action 1, stands at action 0; remembers having fallen, as MinAtar's
    games do, also when time runs out."""

    def __init__(self, values):
        self.values = values

    def observation_space(self, params):
        return Space(low=0, high=1.0, shape=(1,), dtype=jnp.float32)

    def action_space(self, params):
        return Space(n=2)

    def reset_env(self, key, params):
        return jnp.zeros(1), State(0, False)

    def step_env(self, key, state, action, params):
        time = state.time + 1
        late = time >= params.max_steps_in_episode
        terminated = action == 1
        state = State(time, terminated | late)
        obs = jnp.full(1, 0.5)
        if self.values == 6:
            return obs, state, 1, terminated, late & ~terminated, {}
        return obs, state, 1, terminated | late, {}


@pytest.mark.parametrize("values", [5, 6])
def test_both_signatures_tell_an_end_from_a_limit(values):
    env = Gymnax(Tower(values), Params())
    step = jax.jit(lambda w, a: env.step(w, a, key=jr.key(0)))
    ends = {}
    for falls_at in (2, 4, 9):
        world, _, legal = env.reset(key=jr.key(0))
        assert legal is None
        for i in range(1, 5):
            world, out = step(world, jnp.int32(i == falls_at))
            over = bool(out.terminated), bool(out.truncated)
            if any(over):
                break
        ends[falls_at] = (i, *over)
        assert out.obs.dtype == out.reward.dtype == jnp.float32
    assert ends == {2: (2, True, False), 4: (4, True, False), 9: (4, False, True)}


def test_without_a_limit_done_is_the_end():
    @dataclasses.dataclass(frozen=True)
    class Bare:
        pass

    class Short(Tower):
        def step_env(self, key, state, action, params):
            return super().step_env(key, state, action, Params(1))

    env = Gymnax(Short(5), Bare())
    world, _, _ = env.reset(key=jr.key(0))
    _, out = env.step(world, jnp.int32(0), key=jr.key(0))
    assert out.terminated
    assert not out.truncated


def test_cartpole_is_ours():
    theirs, ours = make("gymnax:CartPole-v1"), make("CartPole-v1")
    assert theirs.spec.action == ours.spec.action == Discrete(2)
    assert isinstance(theirs.spec.obs, Box)
    step = jax.jit(lambda w, a: theirs.step(w, a, key=jr.key(0)))
    twin = jax.jit(lambda w, a: ours.step(w, a, key=jr.key(0)))
    world, obs, _ = theirs.reset(key=jr.key(3))
    same = (obs, jnp.int32(0))
    for i in range(100):
        world, out = step(world, jnp.int32(i % 2))
        same, expected = twin(same, jnp.int32(i % 2))
        np.testing.assert_allclose(out.obs, expected.obs, rtol=1e-4, atol=1e-5)
        assert out.terminated == expected.terminated
        if out.terminated:
            break
    assert out.terminated


def test_spaces():
    box = Space(low=-1, high=jnp.ones(2), shape=(2,), dtype=jnp.float32)
    nested = Space(spaces={"a": Space(spaces=(box, Space(n=3)))})
    ones = np.ones(2, np.float32)
    assert translate(nested, "observation") == {"a": (Box(-ones, ones), Discrete(3))}
    with pytest.raises(BadConfig, match="its action has infinite bounds"):
        translate(Space(low=-np.inf, high=1, shape=(), dtype=jnp.float32), "action")
    with pytest.raises(BadConfig, match=r"its observation\['a'\] is a Space space"):
        translate(Space(spaces={"a": Space()}), "observation")


@pytest.mark.filterwarnings("ignore:scatter inputs:FutureWarning")  # gymnax's own
def test_minatar():
    env = make("gymnax:Breakout-MinAtar")
    assert env.spec.obs.shape == (10, 10, 4)
    run = jax.jit(
        lambda w: jax.lax.scan(
            lambda w, k: env.step(w, jr.randint(k, (), 0, 3), key=jr.fold_in(k, 1)),
            w,
            jr.split(jr.key(0), 60),
        )
    )
    world, _, _ = env.reset(key=jr.key(0))
    _, out = run(world)
    assert out.terminated.any()
    assert not out.truncated.any()
    assert env.spec.obs.contains(np.asarray(out.obs)).all()
