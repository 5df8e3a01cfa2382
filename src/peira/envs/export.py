"""Our environments for others: a JAX world as a `gymnasium.Env`."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from jaxtyping import PyTree

from ..core import Box, Discrete, Env, fold, MultiBinary, MultiDiscrete, root, Space
from .render import frame


class AsGymnasium(gymnasium.Env):
    """A JAX environment behind Gymnasium's interface; the mask of legal actions is
    `info["action_mask"]`."""

    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"

    def __init__(self, env: Env):
        self.env = env
        self.observation_space = translate(env.spec.obs)
        self.action_space = translate(env.spec.action)
        self._reset = jax.jit(lambda key: env.reset(key=fold(key, "reset")))
        self._step = jax.jit(
            lambda world, action, key, t: env.step(
                world, action, key=fold(key, "world", t)
            )
        )

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[Any, dict]:
        """Open an episode; without a seed, one that follows from the last."""
        gymnasium.Env.reset(self, seed=seed)
        self.key = root(int(self.np_random.integers(2**31)))
        self.steps = 0
        self.world, obs, legal = self._reset(self.key)
        return to_numpy(obs), self._info(legal)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.world, out = self._step(self.world, action, self.key, self.steps)
        self.steps += 1
        ends = bool(out.terminated), bool(out.truncated)
        return to_numpy(out.obs), float(out.reward), *ends, self._info(out.legal)

    def _info(self, legal: Any) -> dict:
        return {} if legal is None else {"action_mask": np.asarray(legal, np.int8)}

    def render(self) -> np.ndarray:
        return frame(self.env, self.world)


def to_numpy(tree: PyTree) -> PyTree:
    return jax.tree.map(np.asarray, tree)


def translate(space: PyTree[Space]) -> spaces.Space:
    """Gymnasium's space for ours."""
    match space:
        case Box():
            return spaces.Box(space.low, space.high, dtype=space.dtype.type)
        case Discrete():
            return spaces.Discrete(space.n)
        case MultiDiscrete():
            return spaces.MultiDiscrete(list(space.nvec))
        case MultiBinary():
            return spaces.MultiBinary(space.shape)
        case dict():
            return spaces.Dict({k: translate(v) for k, v in space.items()})
    return spaces.Tuple([translate(v) for v in space])
