"""Evaluations: whole episodes, each with a seed of its own."""

import jax.numpy as jnp
import numpy as np
from tiny import Wanderer

from peira.engine.evaluate import evaluate
from peira.envs import make, shut


def test_episodes_do_not_depend_on_how_many_are_played_side_by_side():
    def play(envs, episodes, seed=5):
        world = make("CartPole-v1", envs=envs, backend="gymnasium")
        policy = Wanderer(jnp.array(0.1))
        found = evaluate(policy, world, episodes=episodes, seed=seed)
        shut(world)
        return found

    alone = play(1, 7)
    assert len(set(zip(*map(tuple, alone), strict=True))) > 3
    for envs in (2, 3, 7, 10):
        np.testing.assert_array_equal(alone, play(envs, 7))
    np.testing.assert_array_equal(alone.lengths[:4], play(3, 4).lengths)
    assert not np.isin(play(3, 7, seed=6).lengths, alone.lengths).all()
