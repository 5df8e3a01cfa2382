"""`peira data build`: standard sets from their recipes."""

import argparse
import json
from pathlib import Path
from typing import Any

from ..core import BadConfig
from ..engine.sinks import make_sink
from ..evidence.packs import build as build_set, Built, Recipe, RECIPES, recorded
from .tables import table
from .training import usual_sinks


def build(said: argparse.Namespace) -> None:
    """Build the sets that are named, or list all there are."""
    if said.list:
        show([listed(name, recipe) for name, recipe in RECIPES.items()], said)
        return
    if not said.names:
        raise BadConfig("which sets? peira data build --list names them all")
    out = Path(said.out)
    chosen = usual_sinks(json=said.json, quiet=said.quiet)
    for name in said.names:
        sinks = [make_sink(sink, out / "training") for sink in chosen]
        try:
            say(build_set(name, out, sinks=sinks), said)
        except KeyboardInterrupt as stop:
            raise type(stop)("the same command goes on from here") from None


def show(rows: list[dict[str, Any]], said: argparse.Namespace) -> None:
    if said.json:
        print(json.dumps(rows))
    else:
        table(rows)


def listed(name: str, recipe: Recipe) -> dict[str, Any]:
    """A recipe in one line, and what is recorded of it."""
    known = recorded().get(name, {})
    training = getattr(recipe.behaviour, "training", None)
    return {
        "name": name,
        "env": recipe.env or "",
        "behaviour": type(recipe.behaviour).__name__.lower(),
        "trains": "" if training is None else f"{training.steps:,} steps",
        "steps": known.get("steps", recipe.steps or ""),
        "episodes": known.get("episodes", ""),
        "return": known.get("mean", ""),
        "fingerprint": known.get("fingerprint", "")[:12],
    }


def say(built: Built, said: argparse.Namespace) -> None:
    data = built.data
    returns = data.returns()
    if said.json:
        row = {"name": built.name, "path": str(built.path), "steps": data.steps}
        row |= {"episodes": data.episodes, "fingerprint": built.fingerprint}
        known = None if built.recorded is None else built.same
        print(json.dumps(row | {"as_recorded": known, "meta": dict(data.meta)}))
        return
    print(built.path)
    print(f"  steps        {data.steps:,} in {data.episodes:,} episodes")
    spread = f"{returns.min():.4g} to {returns.max():.4g}"
    print(f"  return       {returns.mean():.4g} on average, {spread}")
    print(f"  fingerprint  {built.fingerprint} ({verdict(built)})")


def verdict(built: Built) -> str:
    """Beside the record."""
    if built.recorded is None:
        return "nothing is recorded to compare it with"
    return "as recorded" if built.same else "not the recorded one"
