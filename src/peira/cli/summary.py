"""What to say of a run that has come to its end."""

import json as jsonlib
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..engine.run import Run
from ..evidence import Estimate, interval, mean, typical
from ..evidence.curves import curve, last_episodes
from ..evidence.handover import handover


NOTHING = Estimate(math.nan, math.nan, math.nan)
FILES = ("curve.png", "episode.mp4", "episode.gif")


class Summary(NamedTuple):
    estimate: Estimate
    over: str
    """What the interval is over: seeds or episodes."""
    text: str
    """Both in words."""
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
        unknown = "not known: there was no environment to play in"
        return Summary(NOTHING, "no episode", unknown, steps, seconds, rate)
    one = curve(evaluations)
    if len(one.seeds) > 1:
        last = one.returns[:, -1]
        estimate = interval(last).estimate
        over = f"{len(one.seeds)} seeds, {one.episodes} episodes each"
        text = f"{over_seeds(last)}, {one.episodes} episodes each"
    else:
        estimate = mean(last_episodes(evaluations))
        over = f"{one.episodes} episodes of one seed; other seeds may differ"
        text = f"{estimate}: mean and 95 % interval over {over}"
    return Summary(estimate, over, text, steps, seconds, rate)


def over_seeds(scores: Float[np.ndarray, " seed"]) -> str:
    """The mean over seeds with its interval, or where they are too few for one with
    that of their median, in words."""
    one, middle, n = interval(scores), typical(scores), len(scores)
    if not one.why:
        return f"{one.estimate}: mean and 95 % interval over {n} seeds"
    alone = f"{one.estimate}: mean of {n} seeds"
    if not middle.why:
        return f"{alone}; their median {middle.estimate} with its 95 % interval"
    return f"{alone}, too few for an interval"


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
    print(f"  return  {found.text}")
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
    before, after, dip, regret = (
        interval(x).estimate
        for x in (found.before, found.after, found.dip, found.regret)
    )
    return (
        f"from {before} to {after}; dip {dip}, {back.sum()} of {back.size} seeds back "
        f"within {late}; regret {regret} an evaluation"
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
