"""Till: pay an amount with as few coins as possible. A Gymnasium environment whose
observations are a Dict and whose actions are masked.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


COINS = np.array([1, 2, 5])


class Till(gymnasium.Env):
    def __init__(self, most: int = 20):
        self.most = most
        self.observation_space = Dict(
            {"owed": Discrete(most + 1), "paid": Box(0, 1, (1,), np.float32)}
        )
        self.action_space = Discrete(len(COINS))

    def look(self) -> dict[str, Any]:
        paid = 1 - self.owed / self.most
        return {"owed": self.owed, "paid": np.array([paid], np.float32)}

    def action_masks(self) -> np.ndarray:
        return self.owed >= COINS  # never pay more than is owed

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.owed = int(self.np_random.integers(1, self.most + 1))
        return self.look(), {}

    def step(self, action: int):
        self.owed -= int(COINS[action])
        return self.look(), -1.0, self.owed == 0, False, {}
