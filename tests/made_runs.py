"""Runs, studies and sweeps on disk that nobody trained: their curves are given."""

import json
from pathlib import Path

import numpy as np

from peira.algos import get
from peira.engine.fields import plain
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.evidence.studies import load, rows
from peira.evidence.sweeps import Axis, grid, Place, Sweep
from peira.evidence.sweeps.outcome import Cell, WINNER


PLAN = {"steps": 300, "seeds": [0]}
STUDY = """
claim = "Small steps are better than <b>large</b> ones."
source = "Nobody & Sons, 2026"
direction = "higher"
matters = 0.5
algorithm = "dqn"
about = ["learning_rate"]

[arms]
small = { learning_rate = 1e-3 }
large = { learning_rate = 1e-2 }

[tiers.quick]
tasks = ["CartPole-v1"]
runs = 6
"""


def made_run(path, returns, *, env="CartPole-v1", seeds=None, born=None, **config):
    """A run with these returns of seeds, times and episodes, at every hundredth step;
    `born` and `config` are added to what it says of itself."""
    seeds = list(range(len(returns)) if seeds is None else seeds)
    plan = PLAN | {"seeds": seeds}
    said = {"algorithm": "ppo", "env": env, "env_kwargs": {}, "hyper": {}, "plan": plan}
    run = Run.create(path, said | config)
    for k, times in zip(seeds, np.asarray(returns, float), strict=True):
        log = run.seed(k)
        for i, earned in enumerate(times):
            log.log(100 * (i + 1), i, {}, float(i))
            length = np.full(len(earned), 9)
            log.evaluated(100 * (i + 1), "greedy", earned, length, 1)
        log.flush()
    if born:
        file = run.path / "provenance.json"
        file.write_text(json.dumps(run.born | born))
    return Run.open(run.path)


def made_study(home: Path, *, text=STUDY, runs=True) -> Path:
    """A finished study of six runs of each arm, whose small steps are better."""
    path = home / "steps-quick"
    path.mkdir(parents=True)
    (path / "study.toml").write_text(text)
    _, study = load(path / "study.toml")
    version = study.version("quick")
    about = {"study": "steps", "tier": "quick", "first": 0, "version": version}
    (path / "study.json").write_text(json.dumps(about))
    made = []
    for k in range(12):
        arm = ("small", "large")[k % 2]
        score = (5.0, 3.0)[k % 2] + k / 10
        made.append(
            about
            | {"arm": arm, "task": "CartPole-v1", "seed": k, "run": f"{arm}-{k}"}
            | {"metrics": dict.fromkeys(("final", "area", "best"), score)}
            | {"seconds": 1.5, "code": "1+a", "versions": {"jax": "0.10"}, "config": {}}
        )
        if runs:
            made_run(path / "runs" / f"{arm}-{k}", [[[1.0], [score]]], seeds=[k])
    rows.write(path / "rows.jsonl", made)
    return path


def made_sweep(home: Path, *, seeds=2, fresh=2, runs=True) -> Path:
    """A finished grid of two fields, in which trial n scores 10 n and a tenth of the
    seed; the winner is worth 20 on fresh seeds, and not the 30 that it scored."""
    rates, steps = Axis((0.001, 0.01)), Axis((1, 3))
    sweep = Sweep(
        "dqn",
        "CartPole-v1",
        {"learning_rate": rates, "n": steps},
        plain(get("dqn")(warmup=100)),
        plain(Plan(steps=300, seeds=tuple(range(seeds)))),
        method="grid",
        trials=4,
        fresh=fresh,
    )
    place = Place.begin(sweep, home / "small")
    born = {"seconds": 1.5, "code": "1+a", "versions": {"jax": "0.10"}, "config": {}}
    settings = dict(enumerate(grid(sweep.axes, None, 0)))
    cells = [(Cell(n, k), 10.0 * n) for n in settings for k in sweep.seeds]
    cells += [(Cell(WINNER, k), 20.0) for k in sweep.fresh_seeds]
    found = []
    for one, worth in cells:
        score = worth + one.seed / 10
        metrics = dict.fromkeys(("final", "area", "best"), score)
        setting = settings[3 if one.trial == WINNER else one.trial]
        found.append(place.told(one, setting, born, metrics=metrics, steps=300))
        if runs:
            made_run(place.home(one), [[[1.0], [score]]], seeds=[one.seed])
    rows.write(place.path / "rows.jsonl", found)
    return place.path
