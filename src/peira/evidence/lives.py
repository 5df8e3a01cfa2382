"""Trainings as they were at their checkpoints: what was learned, and what was kept."""

from typing import Any

from ..core import DataFault
from ..engine import checkpoint
from ..engine.loop import Beat
from ..engine.problem import Problem
from ..engine.run import Run
from ..engine.trainer import loop
from ..envs import shut


def lives(problem: Problem, run: Run, seed: int, *steps: int) -> tuple[Beat, list[Any]]:
    """A run of this problem counted out, and one seed of it at each of some steps.
    Raises `PeiraError`."""
    world, beat = problem.open()
    try:
        like, _ = loop(world, beat, (seed,), problem.plan).save(0)
    finally:
        shut(world)
    folder, owner = run.seed(seed).path / "checkpoints", run.owner(seed)
    found = []
    for step in steps:
        life, meta = checkpoint.latest(folder, like, by=step, owner=owner)
        if meta["step"] != step:
            raise DataFault(
                f"{folder} has lost its checkpoint of step {step}: train anew"
            )
        found.append(life)
    return beat, found
