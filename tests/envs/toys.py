"""Small Gymnasium environments whose every answer is known; other processes import
them from here."""

import copy
import itertools
import multiprocessing
import os
import threading

import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env):
    """Observes (a number drawn at the reset, steps so far) in a buffer that it writes
    over; ends after `length` steps; the reward is the steps so far."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, length=4, truncates=False, render_mode=None):
        self.length, self.truncates, self.render_mode = length, truncates, render_mode
        self.observation_space = spaces.Box(0.0, 100.0, (2,), np.float64)
        self.action_space = spaces.Box(-1.0, 3.0, (2,), np.float32)
        self.obs = np.zeros(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.obs[:] = self.np_random.uniform(), 0
        return self.obs, {}

    def step(self, action):
        self.obs[1] += 1
        over = self.obs[1] >= self.length
        ends = (False, over) if self.truncates else (over, False)
        return self.obs, self.obs[1], *ends, {}

    def render(self):
        return np.full((4, 6, 3), self.obs[1], np.uint8)


class Echo(gymnasium.Env):
    """Observes a sample of `observation_space`; remembers the actions it was given."""

    def __init__(self, observation_space, action_space):
        self.observation_space = copy.deepcopy(observation_space)  # it has a seed
        self.action_space = action_space
        self.given = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.given.append(action)
        return self.observation_space.sample(), 0.0, False, False, {}


class Faulty(gymnasium.Env):
    """Breaks one promise at step `at`."""

    def __init__(self, fault, at=2):
        self.fault, self.at = fault, at
        self.observation_space = spaces.Dict(
            {"a": spaces.Box(-1, 1, (3,), np.float32), "b": spaces.Discrete(3, start=5)}
        )
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.good(), {}

    def good(self):
        return {"a": np.zeros(3, np.float32), "b": 6}

    def step(self, action):
        self.steps += 1
        obs, reward, info = self.good(), 1.0, {}
        if self.steps == self.at:
            match self.fault:
                case "raises":
                    raise ZeroDivisionError("division by\nzero")
                case "dies":
                    os._exit(3)
                case "hangs":
                    threading.Event().wait()
                case "reward":
                    reward = float("nan")
                case "nan":
                    obs["a"][1] = np.nan
                case "infinite":
                    obs["a"][2] = -np.inf
                case "bounds":
                    obs["a"][0] = 1.5
                case "choice":
                    obs["b"] = 4
                case "shape":
                    obs["a"] = np.zeros(2, np.float32)
                case "dtype":
                    obs["b"] = 6.5
                case "missing":
                    del obs["b"]
        return obs, reward, False, False, info


class Careful(gymnasium.Env):
    """Says which of its actions are legal: all but the one last taken."""

    def __init__(self, n=3, method=False, length=3):
        self.observation_space = spaces.Discrete(n, start=-1)
        self.action_space = spaces.Discrete(n, start=2)
        self.length, self.last = length, 0
        if method:
            self.action_masks = self.mask
        self.method = method

    def mask(self):
        return np.arange(self.action_space.n) != self.last

    def info(self):
        return {} if self.method else {"action_mask": self.mask().astype(np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.last = 0, 0
        return -1, self.info()

    def step(self, action):
        self.steps += 1
        self.last = int(action) - 2
        return self.last - 1, 1.0, self.steps >= self.length, False, self.info()


class Levers(Careful):
    """Masks for both entries of a MultiDiscrete; forgets them after a step."""

    def __init__(self):
        super().__init__()
        self.action_space = spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        return 0, {"action_mask": (np.array([1, 0]), np.array([0, 1, 1]))}

    def step(self, action):
        return 0, 0.0, action[1] == 1, False, {}


class Restless(Counter):
    """Takes no notice of seeds."""

    ticks = itertools.count()

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        obs[0] = next(self.ticks) % 100
        return obs, info


class Blind(gymnasium.Env):
    """Cannot be drawn."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}


def counter(**kwargs) -> gymnasium.Env:
    return Counter(**kwargs)


def faulty(**kwargs):
    return Faulty(**kwargs)


def homebody():
    if multiprocessing.parent_process() is not None:
        raise OSError("not away from home")
    return Counter()


def number():
    return 3
