"""From an algorithm and an environment, or a dataset, to a run on disk."""

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core import Algorithm, EnvironmentFault, Terminated
from ..data import Dataset
from ..envs import Hosted, shut
from .from_data import FromData
from .loop import Beat
from .parallel import orphaned, side_by_side
from .plan import Plan
from .problem import MakeEnv, Problem
from .run import Run
from .signals import stop_signal
from .sinks import Sink
from .trainer import Trainer


def train(
    algorithm: Algorithm,
    env: MakeEnv | None,
    plan: Plan,
    run: Run,
    *,
    name: str,
    sinks: Sequence[Sink] = (),
    env_kwargs: Mapping[str, Any] | None = None,
    data: Dataset | None = None,
    resume: bool = False,
) -> None:
    """Collect (unless there is a dataset to learn from), learn, evaluate, log,
    checkpoint and save the policy of every seed.

    Raises `KeyboardInterrupt` after saving when asked to stop, `NumericalFault` with
    the last checkpoint intact when a metric is not finite.
    """
    problem = Problem(algorithm, env, plan, name, dict(env_kwargs or {}), data)
    with run.held():
        started = time.perf_counter()
        try:
            train_all(problem, run, sinks, resume=resume)
        except EnvironmentFault as fault:
            again = f"see it again with: peira replay-fault {run.path}"
            raise EnvironmentFault(f"{fault}; {again}") from None
        finally:
            run.finish(time.perf_counter() - started)


def train_all(
    problem: Problem, run: Run, sinks: Sequence[Sink], *, resume: bool
) -> None:
    """Every seed: side by side in one program, or in processes."""
    seeds = problem.plan.seeds
    world, counted = problem.open()
    ahead = problem.plan.online if problem.data is not None else 0
    for sink in sinks:
        sink.start(run.config, list(seeds), counted.blocks * counted.stride + ahead)
    try:
        if isinstance(world, Hosted) and len(seeds) > 1:
            world.close()
            in_processes(problem, run, sinks, resume=resume)
        elif ahead:
            train_twice(problem, counted, run, seeds, sinks, resume=resume)
        else:
            Trainer(problem, world, counted, run, seeds, sinks).train(resume)
    finally:
        for sink in sinks:
            sink.close()


def in_processes(
    problem: Problem, run: Run, sinks: Sequence[Sink], *, resume: bool
) -> None:
    each = functools.partial(train_seed, problem, run.path, resume=resume)
    with stop_signal() as asked_to_stop:
        side_by_side(each, problem.plan.seeds, sinks, asked_to_stop)


def train_seed(
    problem: Problem, path: Path, seed: int, sink: Sink, *, resume: bool
) -> None:
    """One seed of a run, in a process of its own."""
    run = Run.open(path)
    with run.held(join=True):
        if orphaned():  # before it could join: the run may be somebody else's by now
            raise Terminated
        world, counted = problem.open()
        if isinstance(world, Dataset):
            train_twice(problem, counted, run, (seed,), [sink], resume=resume)
        else:
            Trainer(problem, world, counted, run, (seed,), [sink]).train(resume)


def train_twice(
    problem: Problem,
    counted: Beat,
    run: Run,
    seeds: tuple[int, ...],
    sinks: Sequence[Sink],
    *,
    resume: bool,
) -> None:
    """From the dataset, and then in the environment too."""
    assert problem.data is not None
    world, online = problem.open_online()
    many = isinstance(world, Hosted) and len(seeds) > 1
    if many:
        shut(world)
    first = Trainer(problem, problem.data, counted, run, seeds, sinks)
    begun = resume and min(run.seed(s).reached for s in seeds) > problem.plan.steps
    if not begun:
        first.train(resume, more=True)
    if many:
        in_processes(problem, run, sinks, resume=True)
        return
    learners = [first.loop.learner(i) for i in range(len(seeds))]
    old = first.loop.stored(0)
    second = Trainer(problem, world, online, run, seeds, sinks, before=counted.blocks)
    assert not isinstance(second.loop, FromData)
    second.loop.endow(learners, old, counted.blocks)
    second.train(begun)
