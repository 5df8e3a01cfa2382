"""Meta-World's task `push-v3`, a puck to be pushed to a goal, as a Gymnasium id:

    PYTHONPATH=bench peira train bc pushing:Push-v0 --data datasets/push-scripted

The reward is 1 once the puck is at the goal, which ends the episode, and 0 before: the
return is the success. Both places are drawn anew for every episode. What it sees, the
package's own 39 numbers, are the hand, the gripper and the puck, now and a step ago,
and the goal.
"""

from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box
from metaworld.envs.sawyer_push_v3 import SawyerPushEnvV3


class Sawyer(SawyerPushEnvV3):
    """With the goal in sight, and places that the seed decides."""

    def __init__(self) -> None:
        super().__init__()
        self._partially_observable = False
        del self.sawyer_observation_space  # kept from when the goal was hidden
        self._set_task_called = True
        self._freeze_rand_vec = False
        self.seeded_rand_vec = True

    def reset_mocap_welds(self) -> None:
        """The package's numbers for a weld are 11, those of MuJoCo 4 one more."""
        weld = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD
        self.model.eq_data[weld, :11] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]


class Push(gymnasium.Env):
    """Ends with success, and has no other reward."""

    def __init__(self) -> None:
        self.world = Sawyer()
        self.observation_space = Box(-np.inf, np.inf, (39,), np.float32)
        self.action_space = self.world.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self.world.seed(seed)
        obs, _ = self.world.reset()
        return obs.astype(np.float32), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, _, _, _, info = self.world.step(action)
        success = bool(info["success"])
        return obs.astype(np.float32), float(success), success, False, {}


gymnasium.register("Push-v0", "pushing:Push", max_episode_steps=150)
