"""An environment that breaks in some of its episodes; other processes import it."""

import os
import threading

import gymnasium
import numpy as np
from gymnasium import spaces


HOARD = []


class Breaking(gymnasium.Env):
    """A walk with noise drawn at the reset. Every episode is cut off after `last` steps
    at most; one whose noise lies below `often` breaks in its step `at`."""

    def __init__(self, how: str, at: int = 3, often: float = 0.5, last: int = 7):
        self.how, self.at, self.often, self.last = how, at, often, last
        self.observation_space = spaces.Box(-50.0, 50.0, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.obs = np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.noise = 0, self.np_random.uniform()
        self.obs = np.array([self.noise, 0], np.float32)
        if self.how == "reset" and self.noise < self.often:
            raise RuntimeError("no")
        return self.obs, {}

    def step(self, action):
        self.steps += 1
        self.obs = self.obs + np.array([0, action[0]], np.float32)
        reward, obs = float(self.obs[1]), self.obs
        over = self.steps >= self.last
        breaks = self.noise < self.often
        if breaks and self.how == "cut" and self.steps == self.at - 1:
            over = True
        if breaks and self.steps == self.at:
            match self.how:
                case "raises":
                    raise RuntimeError("no")
                case "reward":
                    reward = float("nan")
                case "obs":
                    obs = obs * np.nan
                case "shape":
                    obs = obs[:1]
                case "dies":
                    os._exit(3)
                case "hangs":
                    threading.Event().wait()
                case "leaks":
                    HOARD.append(np.ones(2**27, np.uint8))
        return obs, reward, False, over, {}


def breaking(how: str, **kwargs) -> gymnasium.Env:
    return Breaking(how, **kwargs)
