"""Gymnasium environments side by side, here or in a process each."""

import multiprocessing
import signal
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..core import Action, BadConfig, EnvironmentFault, Outcome, Spec, TimeStep
from .body import Body, OpenEnv, Seen, Step
from .hosted import Hosted


PATIENCE = 600.0  # seconds before an environment in a process is given up


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
            except Exception as error:
                self.close()
                raise BadConfig(
                    f"{name}: another process cannot make it ({error}); give an id or "
                    "an importable function"
                ) from None
            its.close()
            self.pipes.append(ours)
            self.processes.append(process)
        try:
            self.call("ready", [()] * envs)
        except (EnvironmentFault, BadConfig):
            self.close()
            raise

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
            if self.pipes[i].poll(PATIENCE):
                return self.pipes[i].recv()
            self.processes[i].kill()
            raise EnvironmentFault(
                f"{self.name}, environment {i}: no answer for {PATIENCE:g} seconds"
            )
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

    def reset(self, seed: int, first: int = 0) -> TimeStep:
        self.seed, self.count = seed, 0
        seen = self.fleet.call("begin", [(seed, first + i) for i in range(self.envs)])
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
                i, why = wrong
                raise EnvironmentFault(
                    f"{self.name}, environment {i}, step {self.count}: {why}"
                )
            batches.append(rows)
        legal = np.array([s.legal for s in seen]) if self.spec.masked else None
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
            f"{self.name} is not deterministic: replaying its actions led elsewhere, "
            f"so {same.count(False)} of {self.envs} environments begin a new episode",
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
