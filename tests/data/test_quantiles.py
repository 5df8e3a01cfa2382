"""Where the columns of a dataset are cut, discounted returns, and the last observation
of an episode."""

import jax
import jax.random as jr
import numpy as np
import pytest
from episodes import made, VECTOR

from peira.core import Box
from peira.data import Deal


BOX = Box(np.full(2, -1, "f4"), np.full(2, 1, "f4"))
LENGTHS = (3, 1, 5, 2)


def by_hand(data, gamma):
    """The discounted rewards from each step to the end of its episode."""
    found = np.zeros(data.steps)
    for e in range(data.episodes):
        for t in range(data.starts[e], data.starts[e + 1]):
            rest = data.reward[t : data.starts[e + 1]]
            found[t] = (rest * gamma ** np.arange(len(rest))).sum()
    return found


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_returns_are_discounted(gamma):
    data = made(VECTOR, BOX, LENGTHS)
    before = data.reward.copy()
    deal = Deal(4, hindsight="return", discount=gamma)
    np.testing.assert_allclose(
        deal.shelve(data).extras.to_go, by_hand(data, gamma), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(data.reward, before)


def test_quantiles_are_those_of_each_column():
    """Of what something was done in, what was done, what it earned and what came
    after."""
    data = made(VECTOR, BOX, LENGTHS)
    assert Deal(4).informed(data.facts(), data).edges is None
    edges = Deal(4, quantiles=5, discount=0.5).informed(data.facts(), data).edges
    row = np.arange(data.steps) + data.episode
    rest = by_hand(data, 0.5) - data.reward
    table = np.column_stack(
        [data.obs[row].reshape(data.steps, -1), data.action, data.reward, rest]
    )
    assert data.steps == 11  # every second of them in order is an edge
    np.testing.assert_allclose(edges, np.sort(table, axis=0)[::2].T, atol=1e-5)


def test_the_last_observation_of_the_episode():
    data = made(VECTOR, BOX, LENGTHS)
    deal = Deal(50, 2, hindsight="end", before=0)
    kept = deal.shelve(data)
    batch = deal.lookup(kept, jax.device_get(deal.draw(kept.steps, key=jr.key(0))))
    last = data.starts[1:] + np.arange(data.episodes)
    wanted = data.obs[last[data.episode[batch.index]]]
    np.testing.assert_array_equal(batch.steps.extras, wanted)
