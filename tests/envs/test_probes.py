"""The probes' answers, found again by playing them."""

import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import BadConfig, Discrete
from peira.envs import make, PROBES


GAMMA = 0.9


def play(env, choose, steps):
    """Follow a policy `choose(obs)`: the outcomes, and the first observation."""
    step = jax.jit(lambda world, action: env.step(world, action, key=jr.key(1)))
    world, first, _ = env.reset(key=jr.key(0))
    outcomes, obs = [], first
    for _ in range(steps):
        world, out = step(world, choose(obs))
        outcomes.append(out)
        obs = out.obs
        if out.terminated or out.truncated:
            break
    return first, outcomes


def discounted(outcomes):
    return sum(GAMMA**i * float(out.reward) for i, out in enumerate(outcomes))


@pytest.mark.parametrize(
    ("name", "steps", "value"),
    [
        ("once", 1, 1.0),
        ("later", 2, GAMMA),
        ("death", 10, (1 - GAMMA**10) / (1 - GAMMA)),
    ],
)
def test_chains_that_terminate(name, steps, value):
    first, outcomes = play(make(f"probe:{name}"), lambda obs: jnp.int32(0), 99)
    assert len(outcomes) == steps
    assert outcomes[-1].terminated
    assert not outcomes[-1].truncated
    assert discounted(outcomes) == pytest.approx(value)
    shown = [float(obs[0]) for obs in [first] + [out.obs for out in outcomes]]
    np.testing.assert_allclose(shown, np.arange(steps + 1) / steps, rtol=1e-6)


def test_a_loop_is_cut_by_time_alone():
    first, outcomes = play(make("probe:loop"), lambda obs: jnp.int32(1), 99)
    assert len(outcomes) == 10
    assert outcomes[-1].truncated
    assert not outcomes[-1].terminated
    value = 1 / (1 - GAMMA)
    assert discounted(outcomes) + GAMMA**10 * value == pytest.approx(value)
    assert all(out.obs == first for out in outcomes)


@pytest.mark.parametrize("name", ["match", "masked", "images"])
def test_matching_pays(name):
    env = make(f"probe:{name}")
    worlds, obs, legal = jax.vmap(lambda k: env.reset(key=k))(jr.split(jr.key(0), 400))
    assert 120 < int(worlds.sum()) < 280  # a fair coin, 8 standard deviations wide
    if name == "images":
        assert obs.dtype == jnp.uint8
        left, right = obs[:, :, :6].mean((1, 2, 3)), obs[:, :, 6:].mean((1, 2, 3))
        side = (right > left).astype(int)
        assert set(np.unique(obs)) == {0, 255}
    else:
        side = obs[:, 0].astype(int)
    step = lambda w, a: env.step(w, a, key=jr.key(0))[1]
    right, wrong = jax.vmap(step)(worlds, side), jax.vmap(step)(worlds, 1 - side)
    assert (right.reward == 1).all()
    assert (wrong.reward == 0).all()
    assert right.terminated.all()
    if name == "masked":
        assert env.spec.masked
        np.testing.assert_array_equal(legal, [[True, True, False]] * 400)
        assert (jax.vmap(step)(worlds, jnp.full(400, 2)).reward == -10).all()


def test_reaching():
    env = make("probe:reach")
    assert (env.spec.action.low, env.spec.action.high) == (-3, 1)
    _, (out,) = play(env, lambda obs: obs, 9)
    assert out.reward == 0
    assert out.terminated
    _, (out,) = play(env, lambda obs: obs - 2, 9)
    assert float(out.reward) == pytest.approx(-4)
    targets = jax.vmap(lambda k: env.reset(key=k)[1])(jr.split(jr.key(0), 300))
    assert targets.min() < -2.9
    assert targets.max() > 0.9


@pytest.mark.parametrize("name", sorted(PROBES))
def test_worlds_keep_their_types(name):
    env = make(name)
    world, obs, legal = jax.eval_shape(lambda: env.reset(key=jr.key(0)))
    action = env.spec.action
    blank = jnp.zeros(action.shape, action.dtype)
    after, out = jax.eval_shape(lambda w: env.step(w, blank, key=jr.key(0)), world)
    kind = lambda x: (x.shape, x.dtype, x.weak_type)
    kinds = lambda *trees: [kind(x) for x in jax.tree.leaves(trees)]
    assert kinds(world, obs, legal) == kinds(after, out.obs, out.legal)
    assert not out.reward.weak_type
    assert (obs.shape, obs.dtype) == (env.spec.obs.shape, env.spec.obs.dtype)
    real = name in ("probe:reach", "probe:accord")
    assert isinstance(action, Discrete) != real


def test_who_gambles_loses():
    """The sure thing pays 1; gambles pay 5 or -15 and -5 on average, within four
    standard errors."""
    env = make("probe:gamble")
    step = jax.jit(lambda action, key: env.step((), action, key=key)[1].reward)
    keys = jr.split(jr.key(0), (2, 1000))
    pay = np.array([jax.vmap(ft.partial(step, a))(keys[a]) for a in (0, 1)])
    assert (pay[0] == 1).all()
    assert {*pay[1].tolist()} == {5.0, -15.0}
    assert abs(pay[1].mean() + 5) < 4 * 10 / np.sqrt(1000)


def test_unknown_probes():
    with pytest.raises(BadConfig, match="did you mean probe:match"):
        make("probe:mach")
