"""Runs and studies on disk that nobody trained: their curves are given."""

import json
from pathlib import Path

import numpy as np

from peira.engine.run import Run
from peira.evidence.studies import load, rows


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
