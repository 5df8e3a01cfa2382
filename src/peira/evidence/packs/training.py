"""Behaviours that are learned: a training of our own, and what it looked like on the
way.

A training is a run like any other, so one that is interrupted goes on exactly where it
stopped. Its checkpoints hold the policy and, in the replay, all experience up to then:
nothing is collected alongside.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ...algos import get
from ...core import Algorithm, DataFault, Env, Policy, Spec
from ...data.ring import Ring
from ...engine.collect import Uniform
from ...engine.evaluate import evaluator
from ...engine.fields import plain, rebuild
from ...engine.files import write_file
from ...engine.plan import Plan
from ...engine.problem import Problem
from ...engine.run import configuration, Run
from ...engine.sinks import Sink
from ...engine.train import train
from ...envs import Hosted, make, shut
from ..lives import lives


Level = Literal["medium", "expert"]
MEDIUM = 1 / 3  # of the way from random to expert
FRESH = 100  # episodes behind a reference return
EVALUATION = 7  # the seed of those
MILESTONES = "milestones.json"


@dataclasses.dataclass(frozen=True)
class Training:
    """How a behaviour is learned, and how often it is looked at."""

    env: str
    algorithm: str
    steps: int
    every: int
    """Steps between the policies that are kept."""
    hyper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    episodes: int = 10
    """Of each evaluation."""

    @property
    def learner(self) -> Algorithm:
        """The algorithm; its replay forgets nothing."""
        return get(self.algorithm)(**{"capacity": self.steps, **self.hyper})

    @property
    def plan(self) -> Plan:
        return Plan(
            steps=self.steps,
            seeds=(self.seed,),
            evaluate_every=self.every,
            checkpoint_every=self.every,
            episodes=self.episodes,
            keep=self.steps // self.every + 1,
        )

    @property
    def config(self) -> dict[str, Any]:
        """What a run of it says of itself."""
        return configuration(self.algorithm, self.env, self.learner, self.plan)


class Milestones(NamedTuple):
    """When a training came to what, and the returns that follow: means over fresh
    episodes of the greedy policy."""

    medium: int
    """First step by which a third of the way from random to expert was made."""
    expert: int
    """Step of the best evaluation."""
    returns: dict[str, float]
    """Of `random`, `medium` and `expert`."""


def run_of(training: Training, folder: Path, *, sinks: Sequence[Sink] = ()) -> Run:
    """The run of a training, brought to its end if it is not there yet. Raises
    `DataFault` where the folder holds another."""
    resume = folder.exists()
    run = Run.open(folder) if resume else Run.create(folder, training.config)
    if not of(training, run):
        raise DataFault(
            f"{folder} holds the training of another recipe: choose another --out, or "
            "remove it"
        )
    if not run.done:
        train(
            training.learner,
            training.env,
            training.plan,
            run,
            name=training.algorithm,
            sinks=sinks,
            resume=resume,
        )
    return run


def of(training: Training, run: Run) -> bool:
    """Whether the run is this training's: fields that an older Peira did not know have
    their default."""
    said, own = run.config, training.config
    if said["algorithm"] != own["algorithm"]:
        return False
    filled = {
        "hyper": plain(rebuild(type(training.learner), said["hyper"])),
        "plan": plain(rebuild(Plan, said["plan"])),
    }
    return said | filled == own


def milestones(training: Training, run: Run) -> Milestones:
    """What the run came to; found once and then kept beside it."""
    file = run.path / MILESTONES
    if not file.exists():
        found = look(training, run)
        write_file(file, (json.dumps(found._asdict(), indent=2) + "\n").encode())
    return Milestones(**json.loads(file.read_text()))


def look(training: Training, run: Run) -> Milestones:
    """Find the milestones, and play fresh episodes there: the evaluations that chose
    them flatter them."""
    world = make(training.env, envs=10)
    try:
        (random,) = play(world, Uniform(world.spec.action), explore=True)
        steps = chosen(means(run), random)
        policies = [moment.policy for moment in moments(training, run, *steps)]
        medium, expert = play(world, *policies)
    finally:
        shut(world)
    returns = {"random": random, "medium": medium, "expert": expert}
    return Milestones(*steps, returns)


def play(world: Env | Hosted, *policies: Policy, explore: bool = False) -> list[float]:
    """What each policy earns in fresh episodes."""
    player = evaluator(world, episodes=FRESH, explore=explore)
    earned = [player(policy, EVALUATION).returns for policy in policies]
    return [float(returns.mean(dtype=float)) for returns in earned]


def chosen(scores: Mapping[int, float], random: float) -> tuple[int, int]:
    """The steps of the medium and of the expert policy, from the evaluation at each
    step; raises `DataFault` where nothing was learned."""
    expert = max(scores, key=lambda step: scores[step])
    if scores[expert] <= random:
        raise DataFault(
            f"the training never came above random play ({random:.4g}): it has no "
            "expert"
        )
    enough = random + MEDIUM * (scores[expert] - random)
    return min(step for step, score in scores.items() if score >= enough), expert


def means(run: Run) -> dict[int, float]:
    """The mean return of every evaluation."""
    found: dict[int, list[float]] = {}
    for row in run.evaluations().to_pylist():
        found.setdefault(row["step"], []).append(row["return"])
    return {step: float(np.mean(returns)) for step, returns in sorted(found.items())}


class Moment(NamedTuple):
    """A training at one of its checkpoints."""

    spec: Spec
    policy: Policy
    ring: Ring


def moments(training: Training, run: Run, *steps: int) -> list[Moment]:
    """The policy at each of some steps, and all experience up to it. Raises
    `RunFault`."""
    algorithm = training.learner
    problem = Problem(algorithm, training.env, training.plan, training.algorithm, {})
    beat, found = lives(problem, run, training.seed, *steps)
    return [
        Moment(beat.spec, algorithm.policy(life.learner), life.kept) for life in found
    ]
