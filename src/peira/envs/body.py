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

    def begin(self, seed: int, index: int, episode: int = 0, count: int = 0) -> Seen:
        """Open an episode of the environment of that index under a seed, after so many
        steps."""
        self.seed, self.index = seed, index
        self.episode, self.count = episode, count
        return self._reset()

    def _open(self) -> Seen:
        self.episode += 1
        return self._reset()

    def _reset(self) -> Seen:
        seed = episode_seed(self.seed, self.index, self.episode)

        def reset() -> Seen:
            obs, info = self.env.reset(seed=seed)
            return Seen(self.obs.take(obs), self._legal(info, over=False))

        return self._try("reset", reset)

    def step(self, action: Any) -> Step:
        """Act, and open the next episode if this one is over."""
        self.count += 1
        seen, reward, terminated, truncated = self._try(
            "step", lambda: self._act(action)
        )
        if not (terminated or truncated):
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

    def restore(
        self, seed: int, saved: dict[str, Any], actions: list[Any]
    ) -> tuple[Seen, bool]:
        """What is seen after the actions of an episode, and whether it is what was seen
        then: if not, a new episode has begun."""
        seen = self.begin(seed, saved["index"], saved["episode"], saved["steps"])
        over = False
        for action in actions:
            if over:
                break
            seen, _, *ends = self._try("step", lambda a=action: self._act(a))
            over = any(ends)
        same = not over and seen.digest() == saved["seen"]
        return (seen if same else self._open()), same

    def frame(self) -> np.ndarray:
        return self._try("render", lambda: picture(self.env))

    def close(self) -> None:
        self.env.close()
