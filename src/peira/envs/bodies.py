"""Gymnasium environments side by side, here or in a process each."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core import Action, EnvironmentFault, Outcome, Spec, TimeStep
from .body import Body, OpenEnv, Seen, Step
from .fleet import Answers, Away, Here
from .hosted import Care, Hosted


TRIES = 10  # faults in a row after which a restarted environment is given up
KEPT = 20  # faults that are remembered


class Trail(NamedTuple):
    """Where an environment stands: its episode, and what was done in it so far."""

    env: int
    episode: int
    actions: list[Any]


class Bodies(Hosted):
    """Gymnasium environments of one kind, side by side."""

    def __init__(
        self,
        open_env: OpenEnv,
        name: str,
        *,
        envs: int,
        processes: bool = False,
        care: Care = Care(),
    ):
        self.name, self.envs, self.count, self.care = name, envs, 0, care
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
            self.fleet: Here | Away = Away(open_env, name, envs, care)
        else:
            make = lambda i: Body(open_env, name, i)
            self.fleet = Here([first, *map(make, range(1, envs))], make)
        self.lost = np.zeros(envs, bool)
        self.unlucky = [0] * envs  # faults in a row
        self.faults = []

    def reset(self, seed: int, first: int = 0) -> TimeStep:
        self.seed, self.count = seed, 0
        self.lost = np.zeros(self.envs, bool)
        self.trails = [Trail(first + i, 0, []) for i in range(self.envs)]
        begun = {i: (seed, first + i) for i in range(self.envs)}
        seen = self._ask("begin", begun)
        self.steps = [opening(seen[i]) for i in range(self.envs)]
        obs, legal = self._batch(lambda step: step.seen)
        return TimeStep(
            obs, np.zeros(self.envs, np.float32), np.ones(self.envs, bool), legal
        )

    def step(
        self, action: Action, only: np.ndarray | None = None
    ) -> tuple[Outcome, TimeStep]:
        self.count += only is None
        chosen = np.flatnonzero(only).tolist() if only is not None else range(self.envs)
        rows = self.act.rows(action)
        return self._step({i: rows[i] for i in chosen})

    def _step(self, actions: dict[int, Any]) -> tuple[Outcome, TimeStep]:
        self.lost = np.zeros(self.envs, bool)
        for i, action in actions.items():
            self.trails[i].actions.append(action)
        found = self._ask("step", {i: (action,) for i, action in actions.items()})
        for i, step in found.items():
            self.steps[i] = opening(step) if self.lost[i] else step
        obs, legal = self._batch(lambda step: step.seen)
        fresh, first_legal = obs, legal
        if any(step.fresh for step in self.steps):
            fresh, first_legal = self._batch(lambda step: step.fresh or step.seen)
        reward = np.array([s.reward for s in self.steps], np.float32)
        terminated = np.array([s.terminated for s in self.steps])
        truncated = np.array([s.truncated for s in self.steps])
        over = terminated | truncated
        for i in actions:
            if over[i]:
                self.trails[i] = following(self.trails[i])
            self.unlucky[i] *= bool(self.lost[i])
        out = Outcome(obs, reward, terminated, truncated, legal)
        return out, TimeStep(fresh, reward, over | self.lost, first_legal)

    def _ask(self, method: str, args: Mapping[int, tuple]) -> Answers:
        """Answers, the first frame of another episode in place of a fault."""
        answers = self.fleet.call(method, args)
        for i, answer in answers.items():
            if isinstance(answer, EnvironmentFault):
                answers[i] = self._begin_anew(i, answer)
        return answers

    def _begin_anew(self, i: int, fault: EnvironmentFault) -> Seen:
        """The first frame of another episode of an environment that failed; raises the
        fault where that is not wanted, or comes to nothing."""
        trail = self.trails[i]
        self.faults = [*self.faults, self._written(fault, trail)][-KEPT:]
        self.unlucky[i] += 1
        if not self.care.restart:
            raise fault
        if self.unlucky[i] >= TRIES:
            raise EnvironmentFault(f"{fault}; this is fault {TRIES} in a row")
        self.lost[i], self.trails[i] = True, following(trail)
        try:
            self.fleet.revive(i)
        except EnvironmentFault as another:
            return self._begin_anew(i, another)
        again = (self.seed, trail.env, trail.episode + 1, self.count)
        return self._ask("begin", {i: again})[i]

    def _written(self, fault: EnvironmentFault, trail: Trail) -> dict[str, Any]:
        said = {"message": str(fault), "seed": self.seed, "step": self.count}
        return said | self._trail(trail)

    def _trail(self, trail: Trail) -> dict[str, Any]:
        leaves = zip(*(self.act.take(a) for a in trail.actions), strict=True)
        actions = [np.stack(leaf).tolist() for leaf in leaves]
        return {"index": trail.env, "episode": trail.episode, "actions": actions}

    def _batch(self, pick: Callable[[Step], Seen]) -> tuple[Any, np.ndarray | None]:
        """Observations and masks, stacked, once every value has been checked."""
        batches = []
        for j, leaf in enumerate(self.obs.leaves):
            rows = np.empty((self.envs, *leaf.shape), leaf.dtype)
            for i, step in enumerate(self.steps):
                rows[i] = pick(step).obs[j]
            wrong = leaf.check(rows)
            if wrong:
                i, why = wrong
                fault = EnvironmentFault(
                    f"{self.name}, environment {i}, step {self.count}: {why}"
                )
                self.steps[i] = opening(self._begin_anew(i, fault))
                return self._batch(pick)
            batches.append(rows)
        legal = None
        if self.spec.masked:
            legal = np.array([pick(step).legal for step in self.steps])
        return self.obs.tree(batches), legal

    def snapshot(self) -> dict[str, Any]:
        def one(trail: Trail, step: Step) -> dict[str, Any]:
            seen = step.fresh or step.seen
            kept = {"steps": self.count, "reward": step.reward, "seen": seen.digest()}
            return self._trail(trail) | kept

        each = map(one, self.trails, self.steps)
        return {"seed": self.seed, "steps": self.count, "envs": list(each)}

    def restore(self, snapshot: dict[str, Any]) -> TimeStep | None:
        self.seed, self.count = snapshot["seed"], snapshot["steps"]
        saved = snapshot["envs"]
        self.lost = np.zeros(self.envs, bool)
        self.trails = [
            Trail(x["index"], x["episode"], self._actions(x["actions"])) for x in saved
        ]
        given = {
            i: (self.seed, saved[i], trail.actions)
            for i, trail in enumerate(self.trails)
        }
        found = self.fleet.call("restore", given)
        same, steps = [], []
        for i, answer in found.items():
            if isinstance(answer, EnvironmentFault):
                answer = self._begin_anew(i, answer), False
            elif not answer[1]:
                self.trails[i] = following(self.trails[i])
            steps.append(opening(answer[0], saved[i]["reward"]))
            same.append(answer[1])
        self.steps = steps
        if all(same):
            return None
        warnings.warn(
            f"{self.name} is not deterministic: replaying its actions led elsewhere, "
            f"so {same.count(False)} of {self.envs} environments begin a new episode",
            RuntimeWarning,
            stacklevel=2,
        )
        obs, legal = self._batch(lambda step: step.seen)
        reward = np.array([step.reward for step in self.steps], np.float32)
        first = np.array([not trail.actions for trail in self.trails])
        return TimeStep(obs, reward, first, legal)

    def _actions(self, leaves: list[Any]) -> list[Any]:
        """Actions as the environment takes them, from plain lists."""
        kept = zip(self.act.leaves, leaves, strict=False)
        arrays = [np.array(x, leaf.dtype).reshape(-1, *leaf.shape) for leaf, x in kept]
        return [self.act.build(row) for row in zip(*arrays, strict=True)]

    def again(self, fault: dict[str, Any]) -> str | None:
        """Play the recorded episode of a fault; what goes wrong now, if anything."""
        self.seed, self.count = fault["seed"], 0
        self.trails = [Trail(fault["index"], fault["episode"], [])]
        try:
            begun = self._ask("begin", {0: (self.seed, *self.trails[0][:2])})
            self.steps = [opening(begun[0])]
            for action in self._actions(fault["actions"]):
                self.count += 1
                self._step({0: action})
        except EnvironmentFault as wrong:
            return str(wrong)
        return None

    def frame(self) -> np.ndarray:
        return self._ask("frame", {0: ()})[0]

    def close(self) -> None:
        self.fleet.close()


def opening(seen: Seen, reward: float = 0.0) -> Step:
    """An environment at the first frame of an episode."""
    return Step(seen, reward, False, False, None)


def following(trail: Trail) -> Trail:
    """The beginning of the next episode."""
    return Trail(trail.env, trail.episode + 1, [])


def from_gymnasium(spec: Any) -> bool:
    """Whether it is one of Gymnasium's own environments, whose observations are known
    to leave their bounds (LunarLander, BipedalWalker)."""
    return spec is not None and str(spec.entry_point).startswith("gymnasium.envs.")
