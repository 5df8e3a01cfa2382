"""Every verb but `train`: what it prints, as a table or as JSON."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import algos
from ..core import RunFault
from ..engine.run import Run
from ..evidence import interval, mean
from ..evidence.curves import curve
from . import (
    calibrating,
    choosing,
    comparing,
    diagnosis,
    exporting,
    judged,
    LATER,
    profiling,
    reporting,
    showing,
    training,
)
from .data import data as data
from .doctor import doctor as examine
from .fields import items
from .flags import abstract
from .studies import study as study
from .summary import over_seeds, plain_estimate, say
from .tables import table
from .train import pairs


Said = argparse.Namespace


def resume(said: Said) -> None:
    run = Run.open(said.run)
    changes = {k: v for k in LATER if (v := getattr(said, k)) is not None}
    if run.done and not changes and not said.env and not (said.json or said.quiet):
        print(f"{run.path} had finished already")
    sinks = training.usual_sinks(json=said.json, quiet=said.quiet)
    training.resume(run, env=said.env, sinks=sinks, **changes)
    if not said.quiet:
        say(run, json=said.json)


def evaluate(said: Said) -> None:
    found = showing.evaluate(
        said.path,
        episodes=said.episodes,
        stochastic=said.stochastic,
        seed=said.seed,
        env=said.env,
    )
    rows = [
        {
            "seed": seed,
            "mean": float(e.returns.mean()),
            "std": float(e.returns.std()),
            "interval": list(plain_estimate(mean(e.returns)).values())[1:],
            "min": float(e.returns.min()),
            "max": float(e.returns.max()),
            "length": float(e.lengths.mean()),
            "episodes": len(e.returns),
        }
        for seed, e in found.items()
    ]
    means = np.array([row["mean"] for row in rows])
    if said.json:
        seeds = plain_estimate(interval(means).estimate)
        print(json.dumps({"seeds": rows, "over_seeds": seeds}))
        return
    table(rows, title=f"{said.path}: intervals are 95 %, over episodes")
    if len(rows) > 1:
        print(over_seeds(means))


def calibrate(said: Said) -> None:
    wanted = {"episodes": said.episodes, "seed": said.seed, "env": said.env}
    found = calibrating.calibrate(said.path, said.asked, **wanted)
    calibrating.say(found, path=said.path, json=said.json)


def watch(said: Said) -> None:
    film = showing.watch(said.path, out=said.out, seed=said.seed, env=said.env)
    if said.json:
        print(json.dumps({"path": str(film.path), "return": film.earned}))
    else:
        print(f"{film.path}  return {film.earned:.4g}")


def replay_fault(said: Said) -> None:
    rows = [
        {"fault": str(again.path), "then": again.then, "now": again.now or "nothing"}
        for again in showing.replay_fault(said.path)
    ]
    if said.json:
        print(json.dumps(rows))
    elif rows:
        table(rows)
    else:
        print(f"{said.path} has no recorded fault")


def profile(said: Said) -> None:
    found = profiling.profile(said.run, seconds=said.seconds)
    profiling.say(found, path=said.run, json=said.json)


def export(said: Said) -> None:
    done = exporting.export(
        said.path, to=said.to, out=said.out, env=said.env, tolerance=said.tolerance
    )
    parity = done.parity
    if said.json:
        ports = {
            name: [port._asdict() for port in getattr(done, name)]
            for name in ("inputs", "outputs")
        }
        print(json.dumps({"path": str(done.path), **ports, **parity._asdict()}))
        return
    print(done.path)
    print(f"  inputs   {', '.join(map(str, done.inputs))}")
    print(f"  outputs  {', '.join(map(str, done.outputs))}")
    real = any(port.dtype.startswith("float") for port in done.outputs)
    print(
        f"  checked  {parity.drawn + parity.recorded:,} observations, "
        f"{parity.recorded:,} of them from the environment, each in a batch and alone: "
        + (f"largest difference {parity.error:.1e}" if real else "the same choices")
        + (f", but for {parity.ties:,} ties" if parity.ties else "")
    )


def doctor(said: Said) -> None:
    """Raises `SystemExit` with 1 for an environment that is not sound."""
    found = examine(
        said.env,
        episodes=said.episodes,
        seed=said.seed,
        env_kwargs=pairs(items(",".join(said.env_kwargs))),
        backend=said.backend,
    )
    diagnosis.say(found, json=said.json)
    if not found.sound:
        raise SystemExit(1)


def runs(said: Said) -> None:
    home = Path(said.directory)
    if not home.is_dir():
        raise RunFault(f"{home} is not a directory of runs")
    folders = sorted(p.parent for p in home.glob("*/config.toml"))
    rows = [listed(path) for path in folders]
    if said.json:
        print(json.dumps(rows))
    elif rows:
        table(rows)
    else:
        print(f"no runs in {home} yet")


def listed(path: Path) -> dict[str, Any]:
    """One run in the list; one that cannot be read is listed as such."""
    try:
        run = Run.open(path)
        evaluations, steps = run.evaluations(), run.metrics()["step"].to_pylist()
    except RunFault:
        return {"name": path.name, "status": "unreadable"}
    row: dict[str, Any] = {
        "name": path.name,
        "status": "done" if run.done else "training" if run.busy else "stopped",
        "algorithm": run.config["algorithm"],
        "env": run.config["env"],
        "seeds": len(run.seeds),
        "steps": max(steps, default=0),
    }
    if len(evaluations):
        last = curve(evaluations).returns[:, -1]
        row["return"] = float(last.mean())
        if len(last) > 1:
            row["std"] = float(last.std(ddof=1))
    return row


def compare(said: Said) -> None:
    found = comparing.compare(
        *said.runs, plot=said.plot, by=said.by, paired=said.paired
    )
    comparing.say(found, by=said.by, plot=said.plot, json=said.json)


def report(said: Said) -> None:
    path = reporting.report(*said.paths, out=said.out, by=said.by, paired=said.paired)
    print(json.dumps({"path": str(path)}) if said.json else path)


def power(said: Said) -> None:
    comparing.say_power(
        said.difference,
        said.spread,
        seeds=said.seeds,
        chance=said.chance,
        level=said.level,
        paired=said.paired,
        json=said.json,
    )


def ope(said: Said) -> None:
    found = choosing.ope(
        said.path,
        said.data,
        methods=items(said.method),
        gamma=said.gamma,
        stochastic=said.stochastic,
        members=said.members,
        updates=said.updates,
        interval=said.interval,
        level=said.level,
        floor=said.floor,
        seed=said.seed,
    )
    judged.say_judged(found, path=said.path, json=said.json)


def select(said: Said) -> None:
    found = choosing.select(
        *said.runs,
        data=said.data,
        budget=said.budget,
        env=said.env,
        method=said.method,
        gamma=said.gamma,
        stochastic=said.stochastic,
        members=said.members,
        updates=said.updates,
        level=said.level,
        seed=said.seed,
    )
    judged.say_chosen(found, json=said.json)


def algorithms(said: Said) -> None:
    rows = []
    for name in algos.catalogue:
        cls = algos.get(name)
        serves = sorted(space.__name__ for space in cls.serves)
        rows.append(
            {
                "name": name,
                "actions": ", ".join(serves),
                "version": cls.version,
                "fields": len(dataclasses.fields(cls)),
                "what": abstract(cls),
            }
        )
    if said.json:
        print(json.dumps(rows))
    else:
        table(rows)
