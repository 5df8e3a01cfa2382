"""What came of a step, dealt with it: the reward to come, or a later observation."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import Box, Discrete, Spec
from peira.data import Dataset, Deal, sketch


REAL = lambda n: Box(np.full(n, -np.inf, "f4"), np.full(n, np.inf, "f4"))


def ragged(lengths=(3, 1, 5, 2), seed=0):
    """Episodes of several lengths; an observation says episode and row."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *lengths])
    last = np.zeros(starts[-1], bool)
    last[starts[1:] - 1] = True
    rows = [(e, t) for e, n in enumerate(lengths) for t in range(n + 1)]
    return Dataset(
        Spec(REAL(2), Discrete(3)),
        np.array(rows, np.float32),
        rng.integers(0, 3, starts[-1]).astype(np.int32),
        rng.normal(size=starts[-1]).astype(np.float32),
        last,
        np.zeros_like(last),
        starts,
    )


def test_the_reward_to_come_is_spread_over_the_steps_to_the_horizon():
    data = ragged()
    wanted = []
    for e in range(data.episodes):
        rewards = data.reward[data.starts[e] : data.starts[e + 1]]
        wanted += [sum(rewards[t:].tolist()) / (5 - t) for t in range(len(rewards))]
    deal = Deal(hindsight="reward")
    steps = deal.shelve(data).gather(np.arange(data.steps))
    np.testing.assert_allclose(steps.extras, wanted, rtol=1e-5)
    kept = jax.tree.map(jnp.asarray, deal.shelve(data))
    batch = deal.sample(kept, key=jr.key(0))
    np.testing.assert_array_equal(batch.steps.extras, steps.extras[batch.index])


def test_the_best_episodes_have_a_horizon_of_their_own():
    data = dataclasses.replace(
        ragged((2, 4)), reward=np.array([3, 3, 0, 0, 0, 0], "f4")
    )
    steps = Deal(hindsight="reward", top=0.5).shelve(data)
    np.testing.assert_allclose(steps.extras, [3, 3])


def test_rewards_to_come_keep_their_precision_in_a_long_dataset():
    lengths = (50_000, 50_000)
    data = dataclasses.replace(ragged(lengths), reward=np.full(100_000, 1e3, "f4"))
    np.testing.assert_allclose(Deal(hindsight="reward").shelve(data).extras, 1e3)


@pytest.mark.parametrize("window", [None, 3])
def test_goals_lie_later_in_the_same_episode(window):
    data = ragged()
    deal = Deal(batch=2000, window=window, hindsight="goal")
    kept = jax.tree.map(jnp.asarray, deal.shelve(data))
    steps = deal.sample(kept, key=jr.key(0)).steps
    now, goal = np.asarray(steps.obs), np.asarray(steps.extras)
    assert goal.shape == now.shape
    assert (goal[..., 0] == now[..., 0]).all()
    assert (goal[..., 1] > now[..., 1]).all()


def test_every_later_observation_is_as_likely():
    data = ragged()
    deal = Deal(batch=22_000, hindsight="goal")
    kept = jax.tree.map(jnp.asarray, deal.shelve(data))
    batch = deal.sample(kept, key=jr.key(0))
    goal = np.asarray(batch.steps.extras)[:, 1]
    for step in range(data.steps):
        mine = goal[np.asarray(batch.index) == step]
        episode = data.episode[step]
        first, n = step - data.starts[episode] + 1, data.lengths[episode]
        count = np.array([(mine == t).sum() for t in range(first, n + 1)])
        wanted = len(mine) / len(count)
        assert count.sum() == len(mine) > 1500
        assert ((count - wanted) ** 2 / wanted).sum() < 20  # 4 degrees of freedom


def test_a_goal_drawn_at_the_very_end_is_the_last_observation():
    from peira.data.deal import later

    row, end = np.array([0, 7]), np.array([100_003, 8])
    almost = np.full(2, np.nextafter(np.float32(1), np.float32(0)))
    np.testing.assert_array_equal(later(row, end, almost), end)
    np.testing.assert_array_equal(later(row, end, 0 * almost), row + 1)


@pytest.mark.parametrize("hindsight", ["none", "reward", "goal"])
def test_a_batch_is_the_same_on_the_host(hindsight):
    """Bit for bit; drawn on the device, looked up there or here."""
    data = ragged((30, 1, 77, 12))
    deal = Deal(batch=64, window=2, hindsight=hindsight)
    here = deal.shelve(data)
    there = jax.tree.map(jnp.asarray, here)
    drawn = deal.draw(here.steps, key=jr.key(3))
    ours = deal.lookup(here, jax.device_get(drawn))
    theirs = jax.jit(lambda k: deal.sample(k, key=jr.key(3)))(there)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("hindsight", ["none", "reward", "goal"])
@pytest.mark.parametrize("window", [None, 3])
def test_a_sketch_has_the_shapes_of_what_is_dealt(hindsight, window):
    data, deal = ragged(), Deal(4, window, hindsight=hindsight)
    real = jax.tree.map(jnp.asarray, deal.shelve(data))
    drawn = [
        jax.eval_shape(
            lambda k: deal.sample(k, key=jr.key(0)), jax.tree.map(jnp.asarray, x)
        )
        for x in (real, sketch(data.spec, deal))
    ]
    assert drawn[0] == drawn[1]


def test_what_a_step_is_worth_at_least():
    """The discounted rewards to a death; of a cut episode nothing is known."""
    data = ragged((3, 2))
    cut = np.array([False, False, True, False, False])
    data = dataclasses.replace(data, terminated=data.terminated & ~cut, truncated=cut)
    deal = Deal(4, 1, hindsight="least", before=0, discount=0.5)
    found = deal.shelve(data).extras
    assert (found[:3] == -np.inf).all()
    first, last = data.reward[3:]
    np.testing.assert_allclose(found[3:], [first + 0.5 * last, last], rtol=1e-6)
    assert sketch(data.spec, deal).extras.shape == (2,)
