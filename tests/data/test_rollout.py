"""Rollouts, and rewards scaled as a loop over the steps would scale them."""

import functools as ft

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from peira.core import BadConfig, Report, Transition
from peira.data import Rollout, ScaledRewards


T, ENVS = 4, 2


def steps(reward, terminated=None, truncated=None) -> Transition:
    x = jnp.asarray(reward, jnp.float32)
    no = jnp.zeros(x.shape, bool)
    terminated = no if terminated is None else jnp.asarray(terminated)
    truncated = no if truncated is None else jnp.asarray(truncated)
    return Transition(x, x, x, terminated, truncated, x)


def example() -> Transition:
    return jax.tree.map(lambda x: x[0, 0], steps(np.zeros((1, 1))))


def test_a_rollout_is_dealt_whole():
    store, block = Rollout(T), steps(np.arange(8.0).reshape(T, ENVS))
    kept = store.add(store.init(example(), envs=ENVS), block)
    batch = store.sample(kept, key=jr.key(0))
    np.testing.assert_array_equal(batch.reward, block.reward)
    assert store.rhythm(envs=ENVS) == (0, 8, 1)
    assert store.heed(kept, batch, Report({})) is kept
    with pytest.raises(BadConfig, match=r"Rollout\.length = 0"):
        Rollout(0)


def scaled(blocks, *, gamma, divide, clip):
    """The definition: what the last of the blocks is dealt as."""
    sums, running = [], np.zeros(ENVS)
    for reward, over in blocks:
        for t in range(T):
            running = gamma * running + reward[t]
            sums.extend(running)
            running = np.where(over[t], 0.0, running)
    reward = blocks[-1][0]
    if divide:
        reward = reward / np.sqrt(np.var(sums) + 1e-8)
    return reward if clip is None else np.clip(reward, -clip, clip)


@ft.cache
def program(divide, clip):
    """Adding a block and dealing it again, and the store."""
    store = ScaledRewards(Rollout(T), 0.9, divide, clip)

    def step(kept, block):
        kept = store.add(kept, block)
        return kept, store.sample(kept, key=jr.key(0)).reward

    return store, jax.jit(step)


rewards = hnp.arrays(np.float32, (T, ENVS), elements=st.integers(-20, 20))
ends = hnp.arrays(bool, (T, ENVS))


@settings(max_examples=10)
@given(st.lists(st.tuples(rewards, ends, ends), min_size=1, max_size=3))
def test_scaled_rewards_against_the_loop(blocks):
    for divide, clip in ((True, 2.0), (True, None), (False, 2.0)):
        store, step = program(divide, clip)
        kept = store.init(example(), envs=ENVS)
        for reward, terminated, truncated in blocks:
            kept, dealt = step(kept, steps(reward, terminated, truncated))
        raw = [(r.astype(float), a | b) for r, a, b in blocks]
        if divide and np.var([x for r, _ in raw for x in r.ravel()]) == 0:
            continue  # 0 / 1e-4: rounding alone
        wanted = scaled(raw, gamma=0.9, divide=divide, clip=clip)
        np.testing.assert_allclose(dealt, wanted, rtol=1e-3, atol=1e-3)


def test_what_is_kept_is_raw():
    store = ScaledRewards(Rollout(T), clip=1.0)
    block = steps(np.full((T, ENVS), 5.0))
    kept = store.add(store.init(example(), envs=ENVS), block)
    np.testing.assert_array_equal(kept.kept.reward, block.reward)
    assert store.rhythm(envs=ENVS) == Rollout(T).rhythm(envs=ENVS)


def test_the_sum_of_rewards_begins_anew_where_an_environment_was_lost():
    store = ScaledRewards(Rollout(1), gamma=0.5)
    one = steps(np.array([[4.0, 8.0]]))
    kept = store.add(store.init(example(), envs=2), one)
    kept = store.cut(kept, jnp.array([True, False]))
    assert store.add(kept, one).running.tolist() == [4.0, 12.0]
