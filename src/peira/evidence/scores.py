"""One number for every run and task: what every statistic is over.

A run is a training of its own, with its own seed. Episodes of one run are no runs:
however many there are, they say nothing of another seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..core import BadConfig


Matrix = Float[np.ndarray, "run task"]


class Scores(NamedTuple):
    """Scores with the names of their runs and tasks."""

    values: Matrix
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]


def matrix(scores: Any) -> Matrix:
    """The scores as a matrix of runs by tasks; one axis is runs of one task. Raises
    `BadConfig` for any other axis, and for numbers that are not finite."""
    found = np.asarray(scores, float)
    if found.ndim not in (1, 2):
        raise BadConfig(
            f"scores have the shape {found.shape}, but runs and tasks are two axes: "
            "average the episodes of each run first, for episodes are not runs"
        )
    found = found[:, None] if found.ndim == 1 else found
    if not found.size:
        raise BadConfig("there are no scores")
    if not np.isfinite(found).all():
        raise BadConfig(
            "a score is not finite: say what a failed run is worth, and put that in"
        )
    return found


def collect(
    rows: Iterable[Mapping[str, Any]],
    *,
    score: str = "score",
    seed: str = "seed",
    task: str = "task",
) -> Scores:
    """A table with one row for each run and task as a matrix, under the names of its
    columns. Raises `BadConfig` where a run has several rows of one task (they are its
    episodes or its evaluations), or lacks one."""
    cells: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        if missing := [name for name in (score, seed, task) if name not in row]:
            raise BadConfig(f"a row has no {missing[0]}; it has {', '.join(row)}")
        at = int(row[seed]), str(row[task])
        cells.setdefault(at, []).append(float(row[score]))
    for (run, name), found in cells.items():
        if len(found) > 1:
            raise BadConfig(
                f"seed {run} has {len(found)} scores on {name}: episodes are not runs; "
                "average them to one score for each seed and task"
            )
    seeds = tuple(sorted({run for run, _ in cells}))
    tasks = tuple(sorted({name for _, name in cells}))
    for run in seeds:
        for name in tasks:
            if (run, name) not in cells:
                raise BadConfig(
                    f"seed {run} has no score on {name}: run it, or leave one out"
                )
    values = [[cells[run, name][0] for name in tasks] for run in seeds]
    return Scores(matrix(values), seeds, tasks)


def seeds_of(runs: Sequence[int], scores: Any) -> None:
    """Raise `BadConfig` where scores are not one for each of these seeds."""
    found = matrix(scores)
    if len(set(runs)) < len(runs):
        raise BadConfig("a seed is named twice: episodes of one seed are not runs")
    if len(found) != len(runs):
        raise BadConfig(
            f"{len(found)} scores are from {len(runs)} seeds: episodes are not runs; "
            "average them to one score for each seed"
        )
