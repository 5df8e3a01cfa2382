"""What came of a sweep, as text or as JSON."""

import json as js
import math
from typing import Any

from ..evidence.sweeps import Cost, Outcome, Place, Sweep, Trial
from .summary import plain_estimate
from .tables import table


def say(place: Place, *, json: bool) -> None:
    """Print what a sweep has come to."""
    found = place.outcome()
    if json:
        print(js.dumps(told(place, found)))
        return
    sweep = place.sweep
    rows = [
        {"trial": t.number}
        | {name: worded(t.setting[name]) for name in sweep.axes}
        | {sweep.by: t.state if t.score is None else str(t.score.estimate)}
        for t in ranked(found)
    ]
    table(rows, title=f"{place.path}: {sweep.algorithm} on {sweep.data or sweep.env}")
    if found.winner is None:
        print(f"no winner yet{found.why and '; '}{found.why}")
    else:
        best = found.trials[found.winner]
        print(f"winner: {named(best)}")
        for what, words in left(sweep, best, found).items():
            print(f"  {what:<8} {words}")
        if found.fresh is not None:
            print(f"  train it peira train --config {place.path / 'winner.toml'}")
    for what, words in spent(sweep, found).items():
        print(f"  {what:<8} {words}")
    for flag in found.flags:
        print(f"  flag     {flag}")


def named(trial: Trial) -> str:
    """A trial by its number and what it set."""
    values = ", ".join(f"{k} {worded(v)}" for k, v in trial.setting.items())
    return f"trial {trial.number}: {values}"


def left(sweep: Sweep, best: Trial, found: Outcome) -> dict[str, str]:
    """What the search promised of the winner, and what is left of it on fresh seeds."""
    assert best.score is not None
    by, few = sweep.by, len(sweep.seeds)
    seeds = f"{few} seed{'s' * (few > 1)}"
    promised = f"{best.score.estimate}: {by}, mean of the {seeds} that chose it"
    if found.fresh is None:
        return {"searched": promised, "fresh": "not run yet"}
    worth, runs, why = found.fresh.estimate, found.fresh.runs, found.fresh.why
    return {
        "searched": promised,
        "fresh": f"{worth}: {by}, mean of {runs} seeds of their own",
        "optimism": f"{found.optimism}: so much less than the search promised",
    } | ({"": why} if why else {})


def spent(sweep: Sweep, found: Outcome) -> dict[str, str]:
    """How many trials there were, and what they and the fresh seeds cost."""
    ended = [t.state for t in found.trials.values()]
    kinds = "".join(f", {ended.count(s)} {s}" for s in dict.fromkeys(ended))
    return {
        "trials": f"{len(ended)} of {sweep.trials}{kinds}",
        "search": cost(sweep, found.search),
        "check": cost(sweep, found.check),
    }


def told(place: Place, found: Outcome) -> dict[str, Any]:
    """All of it, for another program."""
    trials = [
        {"trial": t.number, "state": t.state, "setting": t.setting}
        | {"score": t.score and plain_estimate(t.score.estimate)}
        for t in found.trials.values()
    ]
    return {
        "path": str(place.path),
        "trials": trials,
        "winner": found.winner,
        "fresh": found.fresh and plain_estimate(found.fresh.estimate),
        "optimism": plain_estimate(found.optimism),
        "search": found.search._asdict(),
        "check": found.check._asdict(),
        "flags": found.flags,
    }


def ranked(found: Outcome) -> list[Trial]:
    """The trials, the best first and those without a score last."""
    value = lambda t: math.inf if t.score is None else -t.score.estimate.value
    return sorted(found.trials.values(), key=value)


def worded(value: Any) -> str:
    """A setting's value as it is written on the command line."""
    if isinstance(value, list):
        return ",".join(map(worded, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cost(sweep: Sweep, of: Cost) -> str:
    unit = "updates" if sweep.data else "steps"
    return f"{of.runs} runs, {of.steps:,} {unit}, {of.seconds:,.0f} s"
