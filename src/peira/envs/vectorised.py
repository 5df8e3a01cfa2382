"""A vector environment of the user's own, which resets within the step."""

import warnings
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from ..core import Action, BadConfig, EnvironmentFault, Outcome, Spec, TimeStep
from .hosted import episode_seed, Hosted
from .masks import choices, mask
from .spaces import Port


class Vectorised(Hosted):
    """A `gymnasium.vector.VectorEnv` in `AutoresetMode.SAME_STEP`.

    It seeds its first episodes only and cannot be replayed: a restored run begins new
    episodes.
    """

    def __init__(self, env: VectorEnv):
        self.env, self.envs, self.count = env, env.num_envs, 0
        self.name = env.spec.id if env.spec else type(env).__name__
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise BadConfig(
                f"{self.name}: make the vector environment with "
                "autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
            )
        self.obs = Port(env.single_observation_space, "observation", self.name)
        self.act = Port(env.single_action_space, "action", self.name)
        self.act.require_bounds(self.name)
        for leaf in self.obs.leaves:
            leaf.loosen(entirely=False)
        self.choices = choices(env.single_action_space)
        self.max_steps = env.spec.max_episode_steps if env.spec else None
        masked = self.choices is not None and "action_mask" in env.reset(seed=0)[1]
        self.spec = Spec(self.obs.space, self.act.space, masked)
        self.lost, self.faults = np.zeros(self.envs, bool), []

    def reset(self, seed: int, first: int = 0) -> TimeStep:
        self.seed, self.count = seed, 0
        seeds: Any = [episode_seed(seed, first + i, 0) for i in range(self.envs)]
        obs, info = self._try(lambda: self.env.reset(seed=seeds))
        zero, new = np.zeros(self.envs, np.float32), np.ones(self.envs, bool)
        return TimeStep(self._batch(obs), zero, new, self._legal(info))

    def step(
        self, action: Action, only: np.ndarray | None = None
    ) -> tuple[Outcome, TimeStep]:
        self.count += 1
        given = self.act.build(self.act.batches(action))
        obs, reward, terminated, truncated, info = self._try(
            lambda: self.env.step(given)
        )
        wrong = np.flatnonzero(~np.isfinite(reward))
        if wrong.size:
            i = int(wrong[0])
            raise self._fault(i, f"reward = {reward[i]} is not finite")
        over = np.asarray(terminated | truncated, bool)
        seen, legal = self._batch(obs), self._legal(info)
        final, final_legal = self._final(obs, info, over), legal
        last = self._legal(info.get("final_info", {}))
        if legal is not None and last is not None:
            final_legal = np.where(over[:, None], last, legal)
        reward = np.asarray(reward, np.float32)
        out = Outcome(
            final, reward, np.array(terminated), np.array(truncated), final_legal
        )
        return out, TimeStep(seen, reward, over, legal)

    def _try(self, call: Any) -> Any:
        try:
            return call()
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise EnvironmentFault(
                f"{self.name}, step {self.count}: {type(error).__name__}: {lines[0]}"
            ) from error

    def _fault(self, i: int, what: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self.name}, environment {i}, step {self.count}: {what}"
        )

    def _batch(self, obs: Any) -> Any:
        """Observations as ours, once every value has been checked."""
        return self._checked([leaf.pick(obs).copy() for leaf in self.obs.leaves])

    def _final(self, obs: Any, info: dict, over: np.ndarray) -> Any:
        """The true successors: the last observation where an episode is over."""
        rows = [leaf.pick(obs).copy() for leaf in self.obs.leaves]
        for i in np.flatnonzero(over):
            for row, last in zip(
                rows, self.obs.take(info["final_obs"][i]), strict=True
            ):
                row[i] = last
        return self._checked(rows)

    def _checked(self, rows: list[np.ndarray]) -> Any:
        for leaf, x in zip(self.obs.leaves, rows, strict=True):
            wrong = leaf.check(x)
            if wrong:
                raise self._fault(*wrong)
        return self.obs.tree(rows)

    def _legal(self, info: dict) -> np.ndarray | None:
        """The mask of each; where none was given, everything."""
        if not self.spec.masked or self.choices is None:
            return None
        given = info.get("_action_mask", np.zeros(self.envs, bool))
        all_legal = np.ones(self.choices, bool)
        return np.stack(
            [
                mask(info["action_mask"][i], self.choices) if given[i] else all_legal
                for i in range(self.envs)
            ]
        )

    def snapshot(self) -> dict[str, Any]:
        return {"seed": self.seed, "steps": self.count}

    def restore(self, snapshot: dict[str, Any]) -> TimeStep:
        warnings.warn(
            f"{self.name}: a vector environment cannot be replayed, so its "
            f"{self.envs} environments begin new episodes",
            RuntimeWarning,
            stacklevel=2,
        )
        again = episode_seed(snapshot["seed"], self.envs, snapshot["steps"])
        t = self.reset(again)
        self.seed, self.count = snapshot["seed"], snapshot["steps"]
        return t

    def frame(self) -> np.ndarray:
        if self.env.render_mode != "rgb_array":
            raise EnvironmentFault(f"{self.name} has no picture")
        frames = self._try(self.env.render)
        return np.asarray(frames[0], np.uint8)

    def close(self) -> None:
        if not self.env.closed:
            self.env.close()
