"""From a recipe to a folder, and whether it holds what the recorded one held."""

import dataclasses
import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, PyTree

from ...core import DataFault, Policy, unknown
from ...data import Dataset, native
from ...engine.collect import Uniform
from ...engine.fields import plain
from ...engine.provenance import version
from ...engine.sinks import Sink
from ...envs import make, shut
from . import openbandit
from .behaviours import Telling
from .collect import collect, join, remembered
from .recipes import (
    Both,
    Learned,
    Logged,
    oracle,
    Recipe,
    RECIPES,
    Replay,
    Scripted,
)
from .training import Milestones, milestones, moments, play, run_of, Training


RECORDED = Path(__file__).with_name("recorded.jsonl")
# What D4RL divides by (its d4rl/infos.py): of the same tasks in an older simulator.
D4RL = {
    "Hopper-v5": {"random": -20.272305, "expert": 3234.3},
    "HalfCheetah-v5": {"random": -280.178953, "expert": 12135.0},
    "Walker2d-v5": {"random": 1.629008, "expert": 4592.3},
}


class Built(NamedTuple):
    """A set as it was built."""

    name: str
    path: Path
    data: Dataset
    fingerprint: str
    recorded: dict[str, Any] | None
    """What was recorded of it, if anything."""

    @property
    def same(self) -> bool:
        """Whether it is the recorded one, bit for bit."""
        return bool(self.recorded) and self.recorded["fingerprint"] == self.fingerprint


def build(name: str, out: Path | str, *, sinks: Sequence[Sink] = ()) -> Built:
    """Build a standard set into `out/NAME`; what has to be trained for it lies in
    `out/training`, and is trained once for all kinds of an environment.

    Warns where it differs from the recorded one. Raises `PeiraError` for an unknown
    name, for a folder that is there already, and where something is not installed.
    """
    if name not in RECIPES:
        raise unknown("standard set", name, RECIPES)
    recipe, path = RECIPES[name], Path(out) / name
    if path.exists():
        raise DataFault(f"{path} exists: remove it, or choose another --out")
    builder = Builder(Path(out), sinks)
    data = builder.make(recipe)
    meta = dict(data.meta) | about(name, recipe) | builder.scores(recipe, data)
    data = dataclasses.replace(data, meta=meta)
    native.save(data, path)
    built = Built(name, path, data, data.fingerprint(), recorded().get(name))
    if built.recorded and not built.same:
        warnings.warn(difference(built), RuntimeWarning, stacklevel=2)
    return built


class Builder(NamedTuple):
    """Where sets are built."""

    out: Path
    sinks: Sequence[Sink]

    def make(self, recipe: Recipe) -> Dataset:
        """What the recipe says."""
        match recipe.behaviour:
            case Logged(logger, campaign):
                folder = openbandit.installed().folder
                return openbandit.read(logger, campaign, folder)
            case Both(names):
                return join([self.make(RECIPES[name]) for name in names])
            case Replay(training):
                run = self.run(training)
                (now,) = moments(training, run, milestones(training, run).medium)
                return remembered(now.spec, now.ring)
        world = make(recipe.env)
        try:
            steps = recipe.steps or 0
            policy = self.policy(recipe, world.spec.action)
            return collect(policy, world, steps=steps, seed=recipe.seed)
        finally:
            shut(world)

    def policy(self, recipe: Recipe, action: PyTree) -> Policy:
        """Who collects it."""
        match recipe.behaviour:
            case Learned(training, level):
                run = self.run(training)
                step = getattr(milestones(training, run), level)
                return Telling(moments(training, run, step)[0].policy)
            case Scripted() as how:
                return oracle(str(recipe.env), how)
        return Uniform(action)

    def run(self, training: Training) -> Any:
        """Its run, brought to its end."""
        name = training.env.replace(":", "-").replace("/", "-")
        return run_of(training, self.out / "training" / name, sinks=self.sinks)

    def milestones(self, recipe: Recipe) -> Milestones | None:
        """What its training came to, where it has one."""
        match recipe.behaviour:
            case Learned(training) | Replay(training):
                return milestones(training, self.run(training))
            case Both(names):
                return self.milestones(RECIPES[names[0]])
        return None

    def scores(self, recipe: Recipe, data: Dataset) -> dict[str, Any]:
        """Reference returns: those that are recorded, so that everyone's scale is the
        same, or else measured ones."""
        if recipe.env is None:
            return {}
        came_to = self.milestones(recipe)
        said = {} if came_to is None else {"milestones": came_to._asdict()}
        scores = references(recipe.env)
        if not scores and came_to is not None:
            scores = {k: came_to.returns[k] for k in ("random", "expert")}
        if not scores and isinstance(recipe.behaviour, Scripted):
            scores = measured(recipe.env)
        if not scores:
            scores = {"random": float(data.returns().mean())}
        theirs = {"d4rl": D4RL[recipe.env]} if recipe.env in D4RL else {}
        return {"scores": {"peira": scores, **theirs}, **said}


def measured(env: str) -> dict[str, float]:
    """What random play and the oracle of a maze earn."""
    world = make(env)
    who = {"random": Uniform(world.spec.action), "expert": oracle(env, Scripted(0.0))}
    return {name: play(world, policy, explore=True)[0] for name, policy in who.items()}


def about(name: str, recipe: Recipe) -> dict[str, Any]:
    """What a set says of where it comes from."""
    env = {} if recipe.env is None else {"env": recipe.env}
    behaviour = {"kind": type(recipe.behaviour).__name__.lower()}
    behaviour |= plain(recipe.behaviour)
    said = {"name": name, "behaviour": behaviour, "seed": recipe.seed}
    return {**env, "recipe": said, "versions": versions(recipe)}


def versions(recipe: Recipe) -> dict[str, str | None]:
    """Of the packages that it depends on."""
    found = {package: version(package) for package in ("peira", *recipe.depends)}
    if isinstance(recipe.behaviour, Logged):
        logs = openbandit.installed()
        found[logs.package] = logs.version
    return found


def recorded() -> dict[str, dict[str, Any]]:
    """What was recorded of every set that we have built, by its name."""
    rows = map(json.loads, RECORDED.read_text().splitlines())
    return {row["name"]: row for row in rows}


def references(env: str) -> dict[str, float]:
    """The recorded returns of random play and of the expert; empty where there are
    none yet."""
    for row in recorded().values():
        if row["env"] == env and "expert" in row["scores"]:
            return row["scores"]
    return {}


def normalised(
    returns: Float[np.ndarray, "*n"], scores: Mapping[str, float]
) -> Float[np.ndarray, "*n"]:
    """Returns on the scale where random play is 0 and the expert 100."""
    random, expert = scores["random"], scores["expert"]
    return 100 * (returns - random) / (expert - random)


def record(built: Built, seconds: float) -> dict[str, Any]:
    """A row for the record."""
    returns, data = built.data.returns(), built.data
    scores = data.meta.get("scores", {}).get("peira", {})
    return {
        "name": built.name,
        "env": data.meta.get("env"),
        "fingerprint": built.fingerprint,
        "steps": data.steps,
        "episodes": data.episodes,
        "mean": float(returns.mean()),
        "best": float(returns.max()),
        "scores": scores,
        "seconds": round(seconds, 1),
        "versions": data.meta["versions"],
        "machine": platform.machine(),
    }


def difference(built: Built) -> str:
    """Why it may not be the recorded one."""
    before, now = built.recorded or {}, built.data.meta["versions"]
    then = before.get("versions", {})
    other = {k: v for k, v in then.items() if now.get(k) != v}
    changed = [f"{k} {v} (here {now.get(k)})" for k, v in other.items()]
    why = ", ".join(changed) or "the same versions, elsewhere or before a change"
    return (
        f"{built.name} differs from the recorded one, which was made with {why}: "
        "floating point is not the same everywhere"
    )
