"""Replays: what is dealt is what was kept, in order, and in the right proportion.

Every kept step carries its number as its observation (step t of environment e is
`1000 e + t`), so that whatever is dealt says where it came from.
"""

import functools as ft
import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from peira.core import BadConfig, Report, Transition
from peira.data import Prioritised, Replay
from peira.data.replay import bytes_needed


def block(start: int, n: int, envs: int) -> Transition:
    """Steps `start` to `start + n - 1` of every environment."""
    number = (start + np.arange(n))[:, None] + 1000.0 * np.arange(envs)[None]
    number = jnp.asarray(number, jnp.float32)
    no = jnp.zeros((n, envs), bool)
    return Transition(number, number, number, no, no, number + 1)


def filled(store, *, total: int, size: int, envs: int):
    """The store after `total` steps of each environment in blocks of `size`."""
    first = block(0, 1, envs)
    kept = store.init(jax.tree.map(lambda x: x[0, 0], first), envs=envs)
    add = jax.jit(store.add)
    for start in range(0, total, size):
        kept = add(kept, block(start, size, envs))
    return kept


@ft.cache
def dealer(store):
    return jax.jit(lambda kept, key: store.sample(kept, key=key))


def dealt(store, kept, seed: int = 0):
    return dealer(store)(kept, jr.key(seed))


shapes = st.tuples(
    st.sampled_from([1, 3]),  # environments
    st.sampled_from([1, 2, 3]),  # size of a block
    st.sampled_from([None, 1, 3]),  # window
    st.sampled_from([7, 8]),  # rows
    st.integers(1, 8),  # blocks
)


@settings(max_examples=12)
@given(shapes, st.sampled_from([Replay, Prioritised]))
def test_windows_are_whole_recent_and_of_one_environment(shape, kind):
    envs, size, window, rows, blocks = shape
    total = size * blocks
    if total < (window or 1):
        return
    store = Replay(capacity=rows * envs, batch=64, warmup=0, window=window)
    store = store if kind is Replay else Prioritised(store)
    sample = dealt(store, filled(store, total=total, size=size, envs=envs))
    number = np.asarray(sample.steps.obs)
    start = number if window is None else number[:, 0]
    step, env = start % 1000, start // 1000
    newest = total - (window or 1)
    oldest = max(0, total - rows)
    assert ((step >= oldest) & (step <= newest)).all()
    assert set(env) <= set(range(envs))
    if window is not None:
        np.testing.assert_array_equal(number - start[:, None], [range(window)] * 64)
    np.testing.assert_array_equal(sample.steps.next_obs, number + 1)


@pytest.mark.parametrize("kind", [Replay, Prioritised])
def test_every_item_is_dealt_and_as_often_as_any_other(kind):
    store = Replay(capacity=24, batch=4096, warmup=0, window=3)
    store = store if kind is Replay else Prioritised(store)
    sample = dealt(store, filled(store, total=11, size=1, envs=2))
    start = np.asarray(sample.steps.obs)[:, 0]
    items, count = np.unique(start, return_counts=True)
    assert items.tolist() == [1000 * e + t for e in range(2) for t in range(9)]
    expected = 4096 / 18
    chi_square = ((count - expected) ** 2 / expected).sum()
    assert chi_square < 45  # 17 degrees of freedom: p < 0.0003
    np.testing.assert_allclose(sample.weight, 1.0, rtol=1e-5)


@pytest.mark.parametrize("kind", [Replay, Prioritised])
@pytest.mark.parametrize("rows", [12, 7])  # blocks that fit, and blocks that wrap
def test_a_block_is_its_steps_one_by_one(kind, rows):
    store = Replay(capacity=rows * 2, batch=8, warmup=0, window=2)
    store = store if kind is Replay else Prioritised(store)
    at_once = filled(store, total=9, size=3, envs=2)
    singly = filled(store, total=9, size=1, envs=2)
    for a, b in zip(jax.tree.leaves(at_once), jax.tree.leaves(singly), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rhythm():
    store = Replay(capacity=1000, warmup=100, every=4, updates=3, window=5)
    assert store.rhythm(envs=1) == (100, 4, 3)
    assert store.rhythm(envs=2) == (100, 4, 3)
    assert store.rhythm(envs=8) == (100, 8, 6)  # as many updates per step as ever
    assert Replay(warmup=1, window=5).rhythm(envs=2).warmup == 10
    with pytest.raises(BadConfig, match="3 environments cannot learn every 4"):
        store.rhythm(envs=3)
    assert Prioritised(store).rhythm(envs=8) == store.rhythm(envs=8)


def test_a_replay_too_small_for_its_windows_says_so():
    example = jax.tree.map(lambda x: x[0, 0], block(0, 1, 1))
    with pytest.raises(BadConfig, match="too small for 4 environments"):
        Replay(capacity=8, window=3).init(example, envs=4)
    with pytest.raises(BadConfig, match=r"Replay\.capacity = 0"):
        Replay(capacity=0)
    with pytest.raises(BadConfig, match=r"Prioritised\.alpha = 2"):
        Prioritised(alpha=2.0)


def test_bytes_needed():
    example = jax.tree.map(lambda x: x[0, 0], block(0, 1, 1))
    kept = Replay(capacity=10).init(example, envs=1)
    held = sum(x.nbytes for x in jax.tree.leaves(kept.data))
    assert bytes_needed(10, example) == held == 10 * (4 * 4 + 2)


def report(surprise) -> Report:
    return Report({}, surprise=jnp.asarray(surprise, jnp.float32))


def weights(kept):
    """The tree's leaves, all of them."""
    return np.asarray(kept.tree[-1]).ravel()


def test_priorities_and_weights_are_the_formula():
    """P(i) = pᵢ^α / Σ p^α and wᵢ = (N P(i))^-β / max w, with N the items there are."""
    alpha, beta, epsilon, batch = 0.7, 0.4, 0.01, 6
    base = Replay(capacity=6, batch=batch, warmup=0)
    store = Prioritised(base, alpha, beta, horizon=4, epsilon=epsilon)
    kept = filled(store, total=6, size=6, envs=1)
    surprise = np.array([0.1, -2.0, 0.5, 0.0, 3.0, 1.0])
    first = dealt(store, kept)  # one draw per item: all priorities are equal still
    assert sorted(first.index.tolist()) == list(range(6))
    kept = store.heed(kept, first, report(surprise[np.asarray(first.index)]))

    p = (np.abs(surprise) + epsilon) ** alpha
    p /= p.sum()
    chance = weights(kept)[:6] / weights(kept).sum()
    np.testing.assert_allclose(chance, p, rtol=1e-5)

    second = dealt(store, kept, 1)
    index = np.asarray(second.index)
    grown = beta + (1 - beta) * 1 / 4  # one of four updates has gone by
    weight = (6 * p[index]) ** -grown
    np.testing.assert_allclose(second.weight, weight / weight.max(), rtol=1e-4)
    np.testing.assert_array_equal(second.steps.obs, index)


def test_the_correction_becomes_full_and_stays_so():
    store = Prioritised(Replay(capacity=4, batch=4, warmup=0), beta=0.5, horizon=2)
    kept = filled(store, total=4, size=4, envs=1)
    for _ in range(5):
        sample = dealt(store, kept)
        kept = store.heed(kept, sample, report([0.1, 0.5, 1.0, 4.0]))
    p = weights(kept)[:4] / weights(kept).sum()
    sample = dealt(store, kept)
    weight = 1 / p[np.asarray(sample.index)]
    np.testing.assert_allclose(sample.weight, weight / weight.max(), rtol=1e-4)


def test_new_items_come_with_the_highest_priority_met():
    store = Prioritised(Replay(capacity=8, batch=4, warmup=0), alpha=1.0)
    kept = filled(store, total=4, size=4, envs=1)
    assert weights(kept)[:4].tolist() == [1, 1, 1, 1]
    kept = store.heed(kept, dealt(store, kept), report([9.0, 0.5, 0.5, 0.5]))
    kept = store.add(kept, block(4, 1, 1))
    assert weights(kept)[4] == pytest.approx(9, rel=1e-4)
    assert kept.peak == pytest.approx(9, rel=1e-4)


def test_draws_follow_the_priorities():
    store = Prioritised(Replay(capacity=4, batch=2048, warmup=0), alpha=1.0)
    kept = filled(store, total=4, size=4, envs=1)
    first = dealt(store, kept)
    kept = store.heed(kept, first, report(jnp.array([1.0, 2, 3, 4])[first.index]))
    index = np.asarray(dealt(store, kept, 1).index)
    # Strata hold every frequency to within one draw at each of an item's two ends.
    np.testing.assert_allclose(np.bincount(index), 204.8 * np.arange(1, 5), atol=2)


def test_a_prioritised_replay_without_surprise_says_what_it_needs():
    store = Prioritised(Replay(capacity=4, batch=2, warmup=0))
    kept = filled(store, total=4, size=4, envs=1)
    with pytest.raises(BadConfig, match="surprise"):
        store.heed(kept, dealt(store, kept), Report({}))


def test_a_failed_update_leaves_every_item_as_surprising_as_it_was():
    store = Prioritised(Replay(capacity=8, batch=4, warmup=0), alpha=1.0)
    kept = filled(store, total=4, size=4, envs=1)
    sample = dealt(store, kept)
    before = store.heed(kept, sample, report([9.0, 0.5, 0.5, 2.0]))
    after = store.heed(before, sample, report([jnp.nan, jnp.inf, jnp.nan, jnp.nan]))
    np.testing.assert_array_equal(after.tree, before.tree)
    assert after.peak == before.peak


@pytest.mark.parametrize("kind", [Replay, Prioritised])
def test_only_the_newest_step_is_cut_off_and_a_death_stays_one(kind):
    base = Replay(capacity=12, batch=4, warmup=0)
    store = base if kind is Replay else Prioritised(base)
    kept = filled(store, total=5, size=1, envs=2)
    ring = kept if kind is Replay else kept.ring
    died = ring.data.terminated.at[4].set(jnp.array([True, False]))
    over = ring.data.truncated.at[...].set(False)
    place = lambda k: [getattr(k, "ring", k).data.terminated]
    kept = eqx.tree_at(place, kept, [died])
    kept = eqx.tree_at(lambda k: [getattr(k, "ring", k).data.truncated], kept, [over])
    for lost in ([True, True], [False, False]):
        now = store.cut(kept, jnp.array(lost))
        found = np.asarray(getattr(now, "ring", now).data.truncated)
        expected = np.zeros((6, 2), bool)
        expected[4, 1] = lost[1]
        np.testing.assert_array_equal(found, expected)


def test_an_update_copies_nothing_that_is_kept():
    """A copy would take as long as the replay is large."""
    store = Prioritised(Replay(capacity=4096, batch=32, warmup=0))
    kept = filled(store, total=4, size=4, envs=1)

    def update(kept, key):
        k_draw, k_loss = jr.split(key)
        batch = store.sample(kept, key=k_draw)
        surprise = batch.steps.reward * jr.uniform(k_loss)
        return store.heed(kept, batch, report(surprise)), (
            batch.weight * surprise
        ).sum()

    many = lambda kept, keys: jax.lax.scan(update, kept, keys)
    traced = jax.jit(many, donate_argnums=0).lower(kept, jr.split(jr.key(0), 10))
    copies = re.findall(r"\[([\d,]+)\]\S* copy\(", traced.compile().as_text())
    sizes = [math.prod(map(int, shape.split(","))) for shape in copies]
    assert max(sizes, default=0) < 4096
