"""Atari with the field's standard preprocessing.

Every action is repeated for 4 frames, of which the maximum of the last two is seen, as
84 x 84 greys; the last 4 of those are the channels. Up to 30 no-ops open a game.
Rewards are the game's own and an episode is a whole game, so that returns are scores.
Mnih et al., 2015, https://doi.org/10.1038/nature14236; Machado et al., 2018,
https://arxiv.org/abs/1709.06009 (who also set `sticky=0.25`).
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from gymnasium.spaces import Box


def open_atari(
    name: str,
    *,
    sticky: float = 0.0,
    life_loss: bool = False,
    clip_reward: bool = False,
    **kwargs: Any,
) -> gymnasium.Env:
    """A game as `(84, 84, 4)` bytes.

    `sticky` is the probability that the console repeats the last action instead;
    `life_loss` terminates the episode, and restarts the game, when a life is lost;
    `clip_reward` keeps the sign of a reward only. Both change what a return means:
    never evaluate with them.
    """
    env = gymnasium.make(
        name,
        frameskip=1,
        repeat_action_probability=sticky,
        render_mode="rgb_array",
        disable_env_checker=True,
        **kwargs,
    )
    env = wrappers.AtariPreprocessing(env, terminal_on_life_loss=life_loss)
    env = wrappers.FrameStackObservation(env, 4)
    last = Box(0, 255, (84, 84, 4), np.uint8)
    env = wrappers.TransformObservation(env, lambda x: np.moveaxis(x, 0, -1), last)
    return wrappers.TransformReward(env, sign) if clip_reward else env


def sign(reward: Any) -> float:
    return float(np.sign(reward))
