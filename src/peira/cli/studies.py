"""`peira study ...`: what it prints, as a table or as JSON."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from ..engine.fields import plain
from ..engine.schedule import Scheduler
from ..evidence import Estimate
from ..evidence.studies import (
    advance,
    arms,
    Board,
    check_alike,
    check_tasks,
    differences,
    judged,
    load,
    Place,
    shipped,
    Study,
    Tier,
    Verdict,
)
from .summary import plain_estimate
from .tables import table
from .workers import workers


Said = argparse.Namespace


def study(said: Said) -> None:
    """Do what was said."""
    verbs = {
        "list": listing,
        "show": show,
        "run": run,
        "resume": resume,
        "verdict": verdict,
    }
    verbs[said.study_verb](said)


def listing(said: Said) -> None:
    rows = []
    for name in shipped():
        _, one = load(name)
        tiers = ", ".join(one.tiers)
        rows.append({"study": name, "tiers": tiers, "claim": one.claim})
    if said.json:
        print(json.dumps(rows))
    else:
        table(rows)


def show(said: Said) -> None:
    name, one = load(said.study)
    found = {tier: check_alike(one, size) for tier, size in one.tiers.items()}
    differ = differences(*arms(one, next(iter(one.tiers))))
    if said.json:
        shares = {
            t: {k: plain_estimate(v) for k, v in a.items()} for t, a in found.items()
        }
        print(
            json.dumps(plain(one) | {"study": name, "differ": differ, "alike": shares})
        )
        return
    heading(name, one, differ)
    table([sized(tier, size, found[tier]) for tier, size in one.tiers.items()])


def heading(name: str, one: Study, differ: dict[str, tuple[Any, Any]]) -> None:
    """What a study says of itself."""
    print(name)
    print(f"  claim    {one.claim}")
    print(f"  source   {one.source}")
    print(f"  arms     {' against '.join(one.arms)}")
    for field, (a, b) in differ.items():
        print(f"  differ   {field}: {a} and {b}")
    if not differ:
        print("  differ   in nothing: only the seeds are others")
    print(f"  rule     {rule(one)}")


def rule(one: Study) -> str:
    """How a study is decided, in words."""
    first, second = one.arms
    what = f"{one.metric}, mean over runs"
    if one.alarms:
        what = f"share of groups of {one.alarms} whose bars of one standard error part"
    elif one.paired:
        what += ", seed by seed"
    sides = {"higher": "is higher than", "lower": "is lower than", "same": "equals"}
    claimed = f"{first} {sides[one.direction]} {second}"
    if one.alarms:
        claimed = f"it is {one.direction} than 5 %"
    return f"{what}: {claimed}; by {one.matters:g} it matters; level {one.level:.0%}"


def sized(name: str, size: Tier, alike: dict[str, Estimate]) -> dict[str, Any]:
    """A tier in one line, with how often equal arms came out undecided."""
    looks = f"looks at {', '.join(map(str, size.looks))}"
    return {
        "tier": name,
        "tasks": ", ".join(size.tasks),
        "runs of each": looks if size.looks else str(size.runs),
        "plan": ", ".join(f"{k} {v}" for k, v in size.plan.items()),
        "same arms, undecided": ", ".join(
            f"{shape} {share.value:.1%}" for shape, share in alike.items()
        ),
    }


def run(said: Said) -> None:
    _, one = load(said.study)
    check_alike(one, one.tier(said.tier))
    check_tasks(one, said.tier)
    with workers(said.on, said.at_once) as scheduler:
        place = Place.begin(said.study, said.tier, first=said.seeds, out=Path(said.out))
        go_on(place, scheduler, said)


def resume(said: Said) -> None:
    place = Place.open(Path(said.path))
    with workers(said.on, said.at_once) as scheduler:
        go_on(place, scheduler, said)


def go_on(place: Place, scheduler: Scheduler, said: Said) -> None:
    """Bring a study to its verdict, and say it."""
    try:
        with Board(quiet=said.quiet or said.json) as board:
            advance(place, scheduler, board, data=Path(said.data))
    except KeyboardInterrupt as stop:
        raise type(stop)(f"go on with: peira study resume {place.path}") from None
    say(place.study, place.verdict(), said)


def verdict(said: Said) -> None:
    say(*judged(Path(said.rows), said.study), said)


def say(one: Study, found: Verdict, said: Said) -> None:
    """Print a verdict."""
    word, effect, why, more, level = found.found
    if said.json:
        row = {"study": found.study, "tier": found.tier, "verdict": word, "why": why}
        row |= {"effect": plain_estimate(effect), "level": level, "runs": found.runs}
        row |= {"more": more, "seconds": found.seconds, "flags": found.flags}
        print(json.dumps(row))
        return
    first, second = one.arms
    print(f"{found.study} ({found.tier}): {word}; {why}")
    print(f"  claim    {one.claim}")
    if not math.isnan(effect.value):
        of = "share of alarms over 5 %" if one.alarms else f"{first} minus {second}"
        sure = "" if math.isnan(effect.low) else f", {level:.1%} interval"
        print(f"  effect   {effect}: {of}, {one.metric}{sure}")
    print(
        f"  runs     {found.runs[0]} and {found.runs[1]}, {found.seconds:,.0f} s in all"
    )
    for flag in found.flags:
        print(f"  flag     {flag}")
