"""Gymnasium environments one by one: each in a body that knows its own seeds, keeps
its own actions and resets itself, here or in a process of its own.
"""

import hashlib
import multiprocessing
import signal
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np

from ..core import Action, BadConfig, EnvironmentFault, Outcome, Spec, TimeStep
from .hosted import episode_seed, Hosted
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
        self.index = index
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

    def begin(self, seed: int) -> Seen:
        """Open episode 0 under a seed."""
        self.seed, self.episode, self.count, self.reward = seed, -1, 0, 0.0
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
        if not np.isfinite(reward):
            raise EnvironmentFault(f"reward = {reward} is not finite")
        seen = Seen(self.obs.take(obs), self._legal(info, over=over))
        return seen, reward, bool(terminated), bool(truncated)

    def _legal(self, info: dict, *, over: bool) -> np.ndarray | None:
        if self.masker is None or self.choices is None:
            return None
        mask = self.masker(info)
        if mask is None and over:
            return np.ones(self.choices, bool)
        if isinstance(mask, tuple):  # one for each entry of a MultiDiscrete
            mask = np.concatenate(mask)
        legal = np.array(mask, bool).ravel() if mask is not None else np.zeros(0, bool)
        if legal.shape != (self.choices,):
            raise EnvironmentFault(
                f"action mask has {legal.size} entries, not {self.choices}"
            )
        if not legal.any() and not over:
            raise EnvironmentFault("action mask allows no action")
        return legal

    def snapshot(self) -> dict[str, Any]:
        """How to come back to this instant, as plain JSON."""
        leaves = zip(*(self.act.take(a) for a in self.actions), strict=True)
        return {
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
        self.seed, self.episode = seed, saved["episode"]
        self.count, self.reward = saved["steps"], saved["reward"]
        self._reset()
        kept = zip(self.act.leaves, saved["actions"], strict=False)
        actions = [np.array(x, leaf.dtype).reshape(-1, *leaf.shape) for leaf, x in kept]
        over = False
        for row in zip(*actions, strict=True):
            if over:
                break
            action = self.act.build(row)
            self.last, _, *ends = self._try("step", lambda: self._act(action))
            over = any(ends)
            self.actions.append(action)
        same = not over and self.last.digest() == saved["seen"]
        seen = self.last if same else self._open()
        return seen, self.reward, not self.actions, same

    def frame(self) -> np.ndarray:
        return self._try("render", lambda: picture(self.env))

    def close(self) -> None:
        self.env.close()


def choices(space: gymnasium.Space) -> int | None:
    """The length of a mask for a space of actions that can be masked."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return None


class Here:
    """Bodies in this process."""

    def __init__(self, bodies: Sequence[Body]):
        self.bodies = bodies

    def call(self, method: str, args: Sequence[tuple]) -> list[Any]:
        """What each body answers; bodies beyond the arguments are not asked."""
        return [
            getattr(body, method)(*given)
            for body, given in zip(self.bodies, args, strict=False)
        ]

    def close(self) -> None:
        for body in self.bodies:
            body.close()


class Away:
    """Bodies in a process each, answering calls sent through a pipe."""

    def __init__(self, open_env: OpenEnv, name: str, envs: int):
        context = multiprocessing.get_context("spawn")
        self.name, self.pipes, self.processes = name, [], []
        for i in range(envs):
            ours, its = context.Pipe()
            process = context.Process(
                target=serve, args=(its, open_env, name, i), daemon=True
            )
            try:
                process.start()
            except (AttributeError, TypeError, ValueError) as error:
                self.close()
                raise BadConfig(
                    f"{name}: another process cannot make it ({error}); give an id or "
                    "an importable function"
                ) from None
            its.close()
            self.pipes.append(ours)
            self.processes.append(process)
        self.call("ready", [()] * envs)

    def call(self, method: str, args: Sequence[tuple]) -> list[Any]:
        """As `Here.call`."""
        asked = list(zip(self.pipes, args, strict=False))
        for i, (pipe, given) in enumerate(asked):
            try:
                pipe.send((method, given))
            except OSError:
                raise self._death(i) from None
        answers = [self._answer(i) for i in range(len(asked))]
        for answer in answers:
            if isinstance(answer, EnvironmentFault | BadConfig):
                raise answer
        return answers

    def _answer(self, i: int) -> Any:
        try:
            return self.pipes[i].recv()
        except (EOFError, OSError):
            raise self._death(i) from None

    def _death(self, i: int) -> EnvironmentFault:
        self.processes[i].join(timeout=1.0)
        code = self.processes[i].exitcode
        return EnvironmentFault(
            f"{self.name}, environment {i}: its process died (exit code {code})"
        )

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(timeout=5.0)
            if process.is_alive():
                process.kill()
                process.join()


def serve(pipe: Connection, open_env: OpenEnv, name: str, index: int) -> None:
    """In the process: answer calls until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    body = None
    try:
        while True:
            method, args = pipe.recv()
            try:
                if method == "ready":
                    body = Body(open_env, name, index)
                    pipe.send(None)
                else:
                    pipe.send(getattr(body, method)(*args))
            except (EnvironmentFault, BadConfig) as fault:
                pipe.send(type(fault)(str(fault)))
    except (EOFError, OSError):
        pass
    finally:
        if body is not None:
            body.close()


class Bodies(Hosted):
    """Gymnasium environments of one kind, side by side."""

    def __init__(
        self, open_env: OpenEnv, name: str, *, envs: int, processes: bool = False
    ):
        self.name, self.envs, self.count = name, envs, 0
        first = Body(open_env, name, 0)
        self.obs, self.act = first.obs, first.act
        spec = first.env.spec
        self.max_steps = spec.max_episode_steps if spec else None
        masked = first.masker is not None
        self.spec = Spec(self.obs.space, self.act.space, masked)
        for leaf in self.obs.leaves:
            leaf.loosen(entirely=from_gymnasium(spec))
        if processes:
            first.close()
            self.fleet: Here | Away = Away(open_env, name, envs)
        else:
            rest = [Body(open_env, name, i) for i in range(1, envs)]
            self.fleet = Here([first, *rest])

    def reset(self, seed: int) -> TimeStep:
        self.seed, self.count = seed, 0
        seen = self.fleet.call("begin", [(seed,)] * self.envs)
        obs, legal = self._batch(seen)
        return TimeStep(
            obs, np.zeros(self.envs, np.float32), np.ones(self.envs, bool), legal
        )

    def step(self, action: Action) -> tuple[Outcome, TimeStep]:
        self.count += 1
        given = [(a,) for a in self.act.rows(action)]
        steps: list[Step] = self.fleet.call("step", given)
        reward = np.array([s.reward for s in steps], np.float32)
        terminated = np.array([s.terminated for s in steps])
        truncated = np.array([s.truncated for s in steps])
        obs, legal = self._batch([s.seen for s in steps])
        out = Outcome(obs, reward, terminated, truncated, legal)
        over = terminated | truncated
        if over.any():
            obs, legal = self._batch([s.fresh or s.seen for s in steps])
        return out, TimeStep(obs, reward, over, legal)

    def _batch(self, seen: Sequence[Seen]) -> tuple[Any, np.ndarray | None]:
        """Observations and masks, stacked, once every value has been checked."""
        batches = []
        for j, leaf in enumerate(self.obs.leaves):
            rows = np.empty((len(seen), *leaf.shape), leaf.dtype)
            for i, one in enumerate(seen):
                rows[i] = one.obs[j]
            wrong = leaf.check(rows)
            if wrong:
                raise EnvironmentFault(
                    f"{self.name}, environment {wrong[0]}, step {self.count}: {wrong[1]}"
                )
            batches.append(rows)
        legal = np.stack([s.legal for s in seen]) if self.spec.masked else None
        return self.obs.tree(batches), legal

    def snapshot(self) -> dict[str, Any]:
        bodies = self.fleet.call("snapshot", [()] * self.envs)
        return {"seed": self.seed, "steps": self.count, "envs": bodies}

    def restore(self, snapshot: dict[str, Any]) -> TimeStep | None:
        self.seed, self.count = snapshot["seed"], snapshot["steps"]
        given = [(self.seed, saved) for saved in snapshot["envs"]]
        seen, reward, first, same = zip(*self.fleet.call("restore", given), strict=True)
        if all(same):
            return None
        warnings.warn(
            f"{self.name} is not deterministic: replaying its actions led elsewhere, so "
            f"{same.count(False)} of {self.envs} environments begin a new episode",
            RuntimeWarning,
            stacklevel=2,
        )
        obs, legal = self._batch(seen)
        return TimeStep(obs, np.array(reward, np.float32), np.array(first), legal)

    def frame(self) -> np.ndarray:
        return self.fleet.call("frame", [()])[0]

    def close(self) -> None:
        self.fleet.close()


def from_gymnasium(spec: Any) -> bool:
    """Whether it is one of Gymnasium's own environments, whose observations are known
    to leave their bounds (LunarLander, BipedalWalker)."""
    return spec is not None and str(spec.entry_point).startswith("gymnasium.envs.")
