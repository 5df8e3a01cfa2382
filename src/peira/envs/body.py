"""One Gymnasium environment that knows its own seeds, keeps its own actions and resets
itself.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np

from ..core import BadConfig, EnvironmentFault
from .hosted import episode_seed
from .masks import choices, mask
from .render import picture
from .spaces import Port


OpenEnv: TypeAlias = Callable[[], gymnasium.Env]


class Seen(NamedTuple):
    """An observation, leaf by leaf, and the mask that came with it."""

    obs: list[np.ndarray]
    legal: np.ndarray | None

    def digest(self) -> str:
        parts = self.obs if self.legal is None else [*self.obs, self.legal]
        return hashlib.sha256(b"".join(x.tobytes() for x in parts)).hexdigest()[:16]


class Step(NamedTuple):
    """What came of one action; `fresh` opens the next episode if this one is over."""

    seen: Seen
    reward: float
    terminated: bool
    truncated: bool
    fresh: Seen | None


class Body:
    """One environment, reset as soon as an episode is over."""

    def __init__(self, open_env: OpenEnv, name: str, index: int):
        self.where = f"{name}, environment {index}"
        self.count = 0
        self.env = self._try("making it", open_env)
        self.obs = Port(self.env.observation_space, "observation", name)
        self.act = Port(self.env.action_space, "action", name)
        self.act.require_bounds(name)
        self.choices = choices(self.env.action_space)
        self.masker = self._masker()

    def _masker(self) -> Callable[[dict], Any] | None:
        """How to ask for the mask of legal actions, where there is one."""
        if self.choices is None:
            return None
        if self.env.has_wrapper_attr("action_masks"):
            ask = self.env.get_wrapper_attr("action_masks")
            return lambda info: ask()
        _, info = self._try("reset", lambda: self.env.reset(seed=0))
        return (lambda info: info.get("action_mask")) if "action_mask" in info else None

    def _try(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BadConfig:
            raise
        except EnvironmentFault as fault:
            raise EnvironmentFault(
                f"{self.where}, step {self.count}: {fault}"
            ) from fault
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise EnvironmentFault(
                f"{self.where}, step {self.count}: {what} raised "
                f"{type(error).__name__}: {lines[0]}"
            ) from error

    def begin(self, seed: int, index: int) -> Seen:
        """Open episode 0 of the environment of that index under a seed."""
        self.seed, self.index = seed, index
        self.episode, self.count, self.reward = -1, 0, 0.0
        return self._open()

    def _open(self) -> Seen:
        self.episode += 1
        return self._reset()

    def _reset(self) -> Seen:
        self.actions: list[Any] = []
        seed = episode_seed(self.seed, self.index, self.episode)

        def reset() -> Seen:
            obs, info = self.env.reset(seed=seed)
            return Seen(self.obs.take(obs), self._legal(info, over=False))

        self.last = self._try("reset", reset)
        return self.last

    def step(self, action: Any) -> Step:
        """Act, and open the next episode if this one is over."""
        self.count += 1
        seen, reward, terminated, truncated = self._try(
            "step", lambda: self._act(action)
        )
        self.reward = reward
        if not (terminated or truncated):
            self.actions.append(action)
            self.last = seen
            return Step(seen, reward, terminated, truncated, None)
        # Some environments write the next observation over the last one.
        seen = Seen([x.copy() for x in seen.obs], seen.legal)
        return Step(seen, reward, terminated, truncated, self._open())

    def _act(self, action: Any) -> tuple[Seen, float, bool, bool]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        reward, over = float(reward), bool(terminated or truncated)
        if not math.isfinite(reward):
            raise EnvironmentFault(f"reward = {reward} is not finite")
        seen = Seen(self.obs.take(obs), self._legal(info, over=over))
        return seen, reward, bool(terminated), bool(truncated)

    def _legal(self, info: dict, *, over: bool) -> np.ndarray | None:
        if self.masker is None or self.choices is None:
            return None
        given = self.masker(info)
        if given is None and over:  # nothing will be done there
            return np.ones(self.choices, bool)
        if given is None:
            raise EnvironmentFault("action mask is missing")
        legal = mask(given, self.choices)
        if not (legal.any() or over):
            raise EnvironmentFault("action mask allows no action")
        return legal

    def snapshot(self) -> dict[str, Any]:
        """How to come back to this instant, as plain JSON."""
        leaves = zip(*(self.act.take(a) for a in self.actions), strict=True)
        return {
            "index": self.index,
            "episode": self.episode,
            "steps": self.count,
            "reward": self.reward,
            "actions": [np.stack(leaf).tolist() for leaf in leaves],
            "seen": self.last.digest(),
        }

    def restore(
        self, seed: int, saved: dict[str, Any]
    ) -> tuple[Seen, float, bool, bool]:
        """What is seen now, the last reward, whether an episode opens here, and
        whether all is as it was: if not, a new episode has begun."""
        self.seed, self.index, self.episode = seed, saved["index"], saved["episode"]
        self.count, self.reward = saved["steps"], saved["reward"]
        self._reset()
        kept = zip(self.act.leaves, saved["actions"], strict=False)
        actions = [np.array(x, leaf.dtype).reshape(-1, *leaf.shape) for leaf, x in kept]
        over = False
        for row in zip(*actions, strict=True):
            if over:
                break
            action = self.act.build(row)
            over = self._replay(action)
        same = not over and self.last.digest() == saved["seen"]
        seen = self.last if same else self._open()
        return seen, self.reward, not self.actions, same

    def _replay(self, action: Any) -> bool:
        """Act as before; whether the episode is over."""
        self.last, _, *ends = self._try("step", lambda: self._act(action))
        self.actions.append(action)
        return any(ends)

    def frame(self) -> np.ndarray:
        return self._try("render", lambda: picture(self.env))

    def close(self) -> None:
        self.env.close()
