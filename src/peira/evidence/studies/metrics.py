"""What a run scores."""

import dataclasses
import math
from functools import cache
from typing import Any

import jax

from ...core import Algorithm, Box, Discrete
from ...engine.blackbox import outline
from ...engine.run import Run
from ..conformance.made_up import PROBLEMS
from ..curves import SCORES


def measured(run: Run) -> dict[str, float]:
    """All scores of a run of one seed, and what its last line of metrics says."""
    last: dict[str, Any] = run.metrics().to_pylist()[-1]
    said = {k: v for k, v in last.items() if isinstance(v, float) and math.isfinite(v)}
    evaluations = run.evaluations()
    scores = {name: float(score(evaluations)[0]) for name, score in SCORES.items()}
    return {k: v for k, v in said.items() if k != "seconds"} | scores


@cache
def reported(algorithm: Algorithm, *, from_data: bool) -> tuple[str, ...]:
    """The metrics that an algorithm's update reports, found on a made-up problem."""
    kinds = {Box: "box", Discrete: "discrete"}
    kind = next(kinds[space] for space in kinds if space in algorithm.serves)
    spec = PROBLEMS[kind]
    if not from_data:
        spec = dataclasses.replace(spec, data=None)

    def update() -> dict[str, Any]:
        begun = outline(algorithm, spec, 2)
        learner, batch, key = (begun[name] for name in ("learner", "batch", "key"))
        return algorithm.update(learner, batch, key=key)[1].metrics

    return tuple(jax.eval_shape(update))
