"""`peira data ...`: what it prints, as a table or as JSON."""

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from ..core import BadConfig, DataFault, Spec
from ..core.checks import describe
from ..data import Columns, convert as convert_file, Dataset, read, split as draw
from ..data.blocks import reading
from ..data.read import hand_on, opened as begun
from ..envs import make, shut
from .auditing import say_of
from .building import build
from .collecting import collect as play


Said = argparse.Namespace


def data(said: Said) -> None:
    """Do what was said."""
    verbs = {
        "build": build,
        "info": info,
        "audit": audit,
        "convert": convert,
        "split": split,
        "collect": collect,
    }
    verbs[said.data_verb](said)


def info(said: Said) -> None:
    found = opened(said)
    facts = summary(found)
    if said.json:
        print(json.dumps(facts))
        return
    print(said.path)
    width = max(map(len, facts))
    for name, value in facts.items():
        for line in value if isinstance(value, list) else [shown(value)]:
            print(f"  {name:{width}}  {line}")
            name = ""


def shown(value: Any) -> str:
    match value:
        case {"mean": float(m), "std": std, "min": least, "max": most}:
            return f"{m:.4g}, deviation {std:.4g}, from {least:.4g} to {most:.4g}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
    return str(value)


def audit(said: Said) -> None:
    """Raises `SystemExit` with 1 for a dataset that has an error."""
    say_of(said, opened(said), read(said.against) if said.against else None)


def summary(found: Dataset) -> dict[str, Any]:
    """What there is to know of a dataset at once."""
    spec, returns, lengths = found.spec, found.returns(), found.lengths
    rows = {
        "observations": describe(spec.obs),
        "actions": describe(spec.action),
        "masked": spec.masked,
        "propensity": found.propensity is not None,
        "env": found.meta.get("env"),
        "episodes": found.episodes,
        "steps": found.steps,
        "terminated": int(np.sum(found.terminated)),
        "truncated": int(np.sum(found.truncated)),
        "return": spread(returns),
        "length": spread(lengths.astype(float)),
        "bytes": int(found.nbytes),
        "fingerprint": found.fingerprint(),
        "notes": list(found.meta.get("notes", ())),
    }
    return {k: v for k, v in rows.items() if v is not None}


def spread(values: np.ndarray) -> dict[str, float | None]:
    """Mean, deviation, least and most over the episodes; JSON has no NaN."""
    found = {
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
    }
    return {k: float(v) if np.isfinite(v) else None for k, v in found.items()}


def opened(said: Said) -> Dataset:
    return read(said.path, spec=spaces(said.env), columns=Columns.said(said.columns))


def spaces(env: str | None) -> Spec | None:
    """The spaces of an environment, where one is named."""
    if env is None:
        return None
    world = make(env)
    shut(world)
    return world.spec


def convert(said: Said) -> None:
    spec, columns = spaces(said.env), Columns.said(said.columns)
    meta: dict[str, Any] = {"env": said.env} if said.env else {}
    if said.to.startswith("minari"):
        source = begun(said.path, spec, columns)
        meta |= registered(said.env or source.meta.get("env"))
    convert_file(said.path, said.out, to=said.to, spec=spec, columns=columns, meta=meta)
    written(said, [said.out])


def registered(env: str | None) -> dict[str, str]:
    """How Gymnasium makes an environment again, which Minari keeps with the data."""
    known = env in gymnasium.registry
    return {"env_spec": gymnasium.spec(env).to_json()} if env and known else {}


def split(said: Said) -> None:
    shares = said.shares or [1.0] * len(said.out)
    if len(said.out) < 2 or len(shares) != len(said.out):
        raise BadConfig(
            f"split: {len(said.out)} datasets to write and {len(shares)} shares; two "
            "or more, and as many of both"
        )
    if len(set(said.out)) < len(said.out):
        raise BadConfig("split: name every dataset to write once")
    for out in said.out:
        if Path(out).exists():
            raise DataFault(f"{out} exists: choose another name")
    found = opened(said)
    for out, part in zip(said.out, draw(found, shares, seed=said.seed), strict=True):
        hand_on(reading(found, part), Path(out), said.to)
    written(said, said.out)


def collect(said: Said) -> None:
    if said.random == (said.policy is not None):
        raise BadConfig("collect: name a policy, or say --random; one of the two")
    play(
        said.policy,
        said.out,
        episodes=said.episodes,
        steps=said.steps,
        env=said.env,
        stochastic=said.stochastic,
        seed=said.seed,
        to=said.to,
    )
    written(said, [said.out])


def written(said: Said, paths: list[str]) -> None:
    """Say what was written."""
    if said.json:
        print(json.dumps({"paths": paths}))
        return
    for path in paths:
        print(path)
