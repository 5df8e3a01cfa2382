"""The standard preprocessing of Atari."""

import itertools
import json

import numpy as np
import pytest

from peira.core import Box, Discrete, is_space
from peira.envs import make


pytest.importorskip("ale_py")
pytest.importorskip("cv2")


@pytest.mark.parametrize("name", ["ALE/Pong-v5", "PongNoFrameskip-v4"])
def test_what_is_seen_and_done(name):
    env = make(name)
    dark = np.zeros((84, 84, 4), np.uint8)
    assert env.spec.obs == Box(dark, dark + 255)
    assert env.spec.action == Discrete(6)
    game = env.fleet.bodies[0].env.unwrapped
    assert game.ale.getFloat("repeat_action_probability") == 0
    t = env.reset(0)
    assert t.obs.dtype == np.uint8
    (start,) = {game.ale.getEpisodeFrameNumber()}
    assert 1 <= start <= 30
    seen = []
    for i in range(6):
        out, t = env.step(np.array([i % 6]))
        seen.append(out.obs[0])
    assert game.ale.getEpisodeFrameNumber() == start + 6 * 4
    for before, after in itertools.pairwise(seen):
        np.testing.assert_array_equal(before[..., 1:], after[..., :-1])
    assert env.frame().shape == (210, 160, 3)
    saved = json.loads(json.dumps(env.snapshot()))
    assert make(name).restore(saved) is None


def test_scores_are_the_games_own_unless_asked_otherwise():
    rewards = {}
    for clip in (False, True):
        env = make("ALE/Boxing-v5", clip_reward=clip)
        env.reset(0)
        rng = np.random.default_rng(0)
        rewards[clip] = [
            env.step(rng.integers(0, 18, 1))[0].reward[0] for _ in range(250)
        ]
    assert np.abs(rewards[False]).max() >= 1
    np.testing.assert_array_equal(np.sign(rewards[False]), rewards[True])


def test_stickiness_and_lives_are_keywords():
    env = make("ALE/Breakout-v5", sticky=0.25, life_loss=True, full_action_space=True)
    game = env.fleet.bodies[0].env.unwrapped
    assert game.ale.getFloat("repeat_action_probability") == 0.25
    assert env.spec.action == Discrete(18)
    assert is_space(env.spec.obs)
    env.reset(0)
    for _ in range(300):
        out, _ = env.step(np.array([1]))  # fire, and never move
        if out.terminated[0]:
            break
    assert out.terminated[0]
    assert game.ale.lives() == 5  # a new game, the first of five lives lost
