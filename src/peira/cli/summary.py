"""What to say of a run that has come to its end."""

import json as jsonlib
import math
from typing import Any, NamedTuple

import numpy as np

from ..engine.run import Run
from ..evidence import Estimate, mean
from ..evidence.curves import curve, last_episodes
from ..evidence.handover import handover


NOTHING = Estimate(math.nan, math.nan, math.nan)
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
    steps = int(np.max(metrics["step"]))
    seconds = float(np.max(metrics["seconds"]))
    rate = steps * len(run.seeds) / seconds
    if not len(evaluations):
        return Summary(NOTHING, "no episode", steps, seconds, rate)
    one = curve(evaluations)
    if len(one.seeds) > 1:
        estimate = mean(one.returns[:, -1])
        over = f"{len(one.seeds)} seeds, {one.episodes} episodes each"
    else:
        estimate = mean(last_episodes(evaluations))
        over = f"{one.episodes} episodes of one seed; other seeds may differ"
    return Summary(estimate, over, steps, seconds, rate)


def say(run: Run, *, json: bool) -> None:
    """Print the summary, as text or as one JSON object."""
    found = summary(run)
    files = [name for name in FILES if (run.path / name).exists()]
    if json:
        print(jsonlib.dumps(as_json(run, found, files)))
        return
    config, seeds = run.config, len(run.seeds)
    many = f" x {seeds} seeds" if seeds > 1 else ""
    where = config["env"] or "a dataset"
    print(f"{config['algorithm']} on {where}")
    if math.isnan(found.estimate.value):
        print("  return  not known: there was no environment to play in")
    else:
        print(f"  return  {found.estimate}: mean and 95 % interval over {found.over}")
    if online := gone_online(run):
        print(f"  online  {online}")
    print(
        f"  steps   {found.steps:,}{many} in {found.seconds:.1f} s "
        f"({found.rate:,.0f} steps/s)"
    )
    film = f"; the film shows seed {run.seeds[0]}, greedy" if len(files) > 1 else ""
    print(f"  run     {run.path}" + (f" ({', '.join(files)}{film})" if files else ""))
    print(f"  next    peira evaluate {run.path}, peira watch {run.path}")


def gone_online(run: Run) -> str:
    """How a run that began with a dataset went on, in words; empty for any other."""
    begun = run.config["plan"]["steps"]
    found = handover(run.evaluations(), begun) if "data" in run.config else None
    if found is None:
        return ""
    back = np.isfinite(found.recovery)
    late = f"{found.recovery[back].max():,.0f} steps" if back.any() else "no time"
    return (
        f"from {mean(found.before)} to {mean(found.after)}; dip {mean(found.dip)}, "
        f"{back.sum()} of {back.size} seeds back within {late}; regret "
        f"{mean(found.regret)} an evaluation"
    )


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
        **({"online": gone_online(run)} if gone_online(run) else {}),
    }


def plain_estimate(one: Estimate) -> dict[str, float | None]:
    """For JSON, which has no NaN."""
    return {k: None if math.isnan(v) else v for k, v in one._asdict().items()}
