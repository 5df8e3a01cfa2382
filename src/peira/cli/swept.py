"""What came of a sweep, as text or as JSON."""

import json as js
import math
from typing import Any

from ..evidence import Interval
from ..evidence.sweeps import Cost, Outcome, Place
from .summary import plain_estimate
from .tables import table


def say(place: Place, *, json: bool) -> None:
    """Print what a sweep has come to."""
    found = place.outcome()
    if json:
        print(js.dumps(told(place, found)))
        return
    sweep = place.sweep
    unit = "updates" if sweep.data else "steps"
    best = sorted(found.trials.values(), key=lambda t: rank(t.score))
    rows = [
        {"trial": t.number}
        | {name: worded(t.setting[name]) for name in sweep.axes}
        | {sweep.by: t.state if t.score is None else str(t.score.estimate)}
        for t in best
    ]
    table(rows, title=f"{place.path}: {sweep.algorithm} on {sweep.data or sweep.env}")
    if found.winner is None:
        print(f"no winner yet{found.why and '; '}{found.why}")
    else:
        say_winner(place, found)
    ended = [t.state for t in found.trials.values()]
    kinds = "".join(f", {ended.count(s)} {s}" for s in dict.fromkeys(ended))
    print(f"  trials   {len(ended)} of {sweep.trials}{kinds}")
    print(f"  search   {spent(found.search, unit)}")
    print(f"  check    {spent(found.check, unit)}")
    for flag in found.flags:
        print(f"  flag     {flag}")


def say_winner(place: Place, found: Outcome) -> None:
    """The winner, and what is left of its lead on fresh seeds."""
    assert found.winner is not None
    best = found.trials[found.winner]
    values = ", ".join(f"{k} {worded(v)}" for k, v in best.setting.items())
    print(f"winner: trial {best.number}: {values}")
    assert best.score is not None
    by, few = place.sweep.by, len(place.sweep.seeds)
    seeds = f"{few} seed{'s' * (few > 1)}"
    said, worth = best.score.estimate, found.fresh and found.fresh.estimate
    print(f"  searched {said}: {by}, mean of the {seeds} that chose it")
    if found.fresh is None:
        print("  fresh    not run yet")
        return
    print(f"  fresh    {worth}: {by}, mean of {found.fresh.runs} seeds of their own")
    print(f"  optimism {found.optimism}: so much less than the search promised")
    if found.fresh.why:
        print(f"           {found.fresh.why}")
    print(f"  train it peira train --config {place.path / 'winner.toml'}")


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


def rank(score: Interval | None) -> float:
    return math.inf if score is None else -score.estimate.value


def worded(value: Any) -> str:
    """A setting's value as it is written on the command line."""
    if isinstance(value, list):
        return ",".join(map(worded, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def spent(cost: Cost, unit: str) -> str:
    return f"{cost.runs} runs, {cost.steps:,} {unit}, {cost.seconds:,.0f} s"
