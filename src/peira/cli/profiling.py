"""`peira.profile`: where the time of a run goes."""

import json as jsonlib
from pathlib import Path
from typing import Any

from ..core import Algorithm, BadConfig
from ..data import Dataset
from ..engine import profile as engine
from ..engine.problem import Problem
from ..engine.run import Run
from .tables import table
from .training import task_again


def profile(
    run: Run | str | Path,
    *,
    env: Any = None,
    data: Dataset | str | Path | None = None,
    algorithm: type[Algorithm] | None = None,
    seconds: float = 2.0,
) -> engine.Profile:
    """Measure a short piece of a run, which is thrown away: nothing is written. `env`,
    `data` and `algorithm` are as in `resume`; `seconds` is how long each part is
    measured. Raises `PeiraError`."""
    if not seconds > 0:
        raise BadConfig(f"--seconds {seconds:g}: must be above zero")
    run = run if isinstance(run, Run) else Run.open(run)
    task = task_again(run, env, data, algorithm)
    data = task.source and task.source.data
    problem = Problem(task.algorithm, task.env, task.plan, "", task.env_kwargs, data)
    return engine.profile(problem, run.config, most=seconds)


def say(found: engine.Profile, *, path: str, json: bool) -> None:
    """Print a profile, as a table or as JSON."""
    if json:
        said = {"seconds": dict(found.parts), "update": found.update._asdict()}
        print(jsonlib.dumps({**said, "busy": found.busy, "advice": found.advice}))
        return
    rows = [
        {"part": part, "seconds": spent, "share": f"{spent / found.total:.1%}"}
        for part, spent in found.parts.items()
    ]
    table(rows, title=f"{path}: {found.total:.4g} s for the whole run, counted up")
    print(
        f"an update is {found.update.flops / 1e6:.4g} MFLOP; updates run at "
        f"{found.busy:.0%} of a large matrix product"
    )
    print(found.advice)
