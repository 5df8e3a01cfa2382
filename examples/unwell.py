"""Tank: hold its level at 1 with two valves. Three things are wrong with it, which
`peira doctor unwell:Tank` finds.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class Tank(gymnasium.Env):
    def __init__(self):
        self.observation_space = Box(0, 10, (2,), np.float32)
        self.action_space = Box(0, 1, (2,), np.float32)
        self.flow = 0.0

    def look(self) -> np.ndarray:
        return np.array([self.level, self.flow])

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.level, self.steps = self.np_random.uniform(0, 2), 0
        return self.look(), {}

    def step(self, action: np.ndarray):
        inlet, outlet = action
        self.flow = 0.8 * self.flow + 0.2 * inlet
        self.level = np.clip(self.level + 0.1 * (self.flow - outlet), 0, 10)
        self.steps += 1
        return self.look(), -float(abs(self.level - 1)), self.steps == 100, False, {}
