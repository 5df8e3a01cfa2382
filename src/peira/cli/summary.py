"""What to say of a run that has come to its end."""

import json as jsonlib
import math
from typing import Any, NamedTuple

import numpy as np

from ..engine.run import Run
from ..evidence import Estimate, mean
from ..evidence.curves import curve, last_episodes


FILES = ("curve.png", "episode.mp4", "episode.gif")


class Summary(NamedTuple):
    estimate: Estimate
    over: str
    """What the interval is over: seeds or episodes."""
    steps: int
    """Environment steps of each seed."""
    seconds: float
    """Time spent training."""
    rate: float
    """Environment steps per second, all seeds together."""


def summary(run: Run) -> Summary:
    """The final evaluation and what it took."""
    evaluations, metrics = run.evaluations(), run.metrics()
    one = curve(evaluations)
    if len(one.seeds) > 1:
        estimate = mean(one.returns[:, -1])
        over = f"{len(one.seeds)} seeds, {one.episodes} episodes each"
    else:
        estimate = mean(last_episodes(evaluations))
        over = f"{one.episodes} episodes of one seed; other seeds may differ"
    steps = int(np.max(metrics["step"]))
    seconds = float(np.max(metrics["seconds"]))
    return Summary(estimate, over, steps, seconds, steps * len(one.seeds) / seconds)


def say(run: Run, *, json: bool) -> None:
    """Print the summary, as text or as one JSON object."""
    found = summary(run)
    files = [name for name in FILES if (run.path / name).exists()]
    if json:
        print(jsonlib.dumps(as_json(run, found, files)))
        return
    config, seeds = run.config, len(run.seeds)
    many = f" x {seeds} seeds" if seeds > 1 else ""
    print(f"{config['algorithm']} on {config['env']}")
    print(f"  return  {found.estimate}: mean and 95 % interval over {found.over}")
    print(
        f"  steps   {found.steps:,}{many} in {found.seconds:.1f} s "
        f"({found.rate:,.0f} steps/s)"
    )
    film = f"; the film shows seed {run.seeds[0]}, greedy" if len(files) > 1 else ""
    print(f"  run     {run.path}" + (f" ({', '.join(files)}{film})" if files else ""))
    print(f"  next    peira evaluate {run.path}, peira watch {run.path}")


def as_json(run: Run, found: Summary, files: list[str]) -> dict[str, Any]:
    return {
        "event": "summary",
        "run": str(run.path),
        "algorithm": run.config["algorithm"],
        "env": run.config["env"],
        "seeds": list(run.seeds),
        "return": plain_estimate(found.estimate),
        "interval_over": found.over,
        "steps": found.steps,
        "seconds": found.seconds,
        "steps_per_second": found.rate,
        "files": files,
    }


def plain_estimate(one: Estimate) -> dict[str, float | None]:
    """For JSON, which has no NaN."""
    return {k: None if math.isnan(v) else v for k, v in one._asdict().items()}
