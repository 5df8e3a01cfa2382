"""Kill small trainings at any instant, resume them, and compare what is left with runs
that were never killed, byte for byte.

    python tests/faults/kills.py [--kills 200] [--seed 0]

Half of the kills come at a random time, half at a random operation on the disk (before
or after it), so that writing a checkpoint is hit as often as everything else together.
"""

import argparse
import fcntl
import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pyarrow.parquet as pq

from peira import algos
from peira.core import Algorithm, RunFault
from peira.engine import checkpoint, pieces
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.engine.train import train


class Setting(NamedTuple):
    algorithm: Algorithm
    env: str
    plan: Plan

    def run(self, path: Path) -> None:
        """Begin, or go on."""
        name = type(self.algorithm).__name__.lower()
        config = {"algorithm": name, "env": self.env, "env_kwargs": {}}
        config |= {"hyper": self.algorithm, "plan": self.plan}
        again = (path / "config.toml").exists() and (path / "provenance.json").exists()
        if not again:
            shutil.rmtree(path, ignore_errors=True)
        run = Run.open(path) if again else Run.create(path, config)
        train(self.algorithm, self.env, self.plan, run, name=name, resume=again)


def settings() -> dict[str, Setting]:
    """Every algorithm, both loops, seeds side by side and in processes."""
    small: dict[str, Any] = {"hidden": (4,), "batch": 4, "capacity": 200}
    make = lambda name, **fields: algos.get(name)(**fields)
    ppo = make("ppo", hidden=(4,), rollout=16, epochs=1, minibatches=2)
    dqn = make("dqn", **small, warmup=32, every=4, prioritised=True)
    host: Any = {"episodes": 1, "backend": "gymnasium", "checkpoint_every": 64}
    plan = functools.partial(Plan, checkpoint_every=64, episodes=2)
    return {
        "ppo": Setting(ppo, "CartPole-v1", plan(steps=640, envs=4, seeds=(0, 1))),
        "dqn": Setting(dqn, "CartPole-v1", plan(steps=400, best=True)),
        "sac": Setting(make("sac", **small, warmup=32), "Pendulum-v1", plan(steps=200)),
        "td3-host": Setting(
            make("td3", **small, warmup=32),
            "Pendulum-v1",
            Plan(steps=300, overlap=True, block=4, **host),
        ),
        "ppo-host": Setting(ppo, "CartPole-v1", Plan(steps=640, envs=4, **host)),
        "sac-discrete-seeds": Setting(
            make("sac-discrete", **small, warmup=32, every=4),
            "CartPole-v1",
            Plan(steps=300, seeds=(0, 1), keep=3, **host),
        ),
    }


def live(name: str, path: str, cache: str, at: int | None, ready: Any) -> None:
    """In a process: train, and die at the so manieth operation on the disk."""
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    pieces.SIZE = 256  # so that there are pieces
    if at is not None:
        die_at(at)
    ready.send(None)
    while True:
        try:
            return settings()[name].run(Path(path))
        except RunFault as fault:
            if "another process" not in str(fault):
                raise
            alone(Path(path))  # one that came late holds it, and is about to leave


def die_at(number: int) -> None:
    """Be killed before or after the so manieth call that touches the disk."""
    count = [0]

    def deadly(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == number and number % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            out = real(*args, **kwargs)
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return out

        return call

    for name in ("fsync", "rename", "replace", "mkdir", "unlink"):
        setattr(os, name, deadly(getattr(os, name)))
    shutil.rmtree = deadly(shutil.rmtree)
    pieces.save_file = deadly(pieces.save_file)


def alone(path: Path) -> None:
    """Wait until the processes of a run's seeds have noticed that theirs is gone."""
    if path.exists():
        number = os.open(path, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX)
        os.close(number)


def left(path: Path) -> dict[str, Any]:
    """All that a finished run leaves, but for the time that it took."""
    found: dict[str, Any] = {"config": (path / "config.toml").read_bytes()}
    for seed in sorted(path.glob("seed-*")):
        for name in ("metrics", "evaluations"):
            table = pq.read_table(seed / f"{name}.parquet")
            names = [n for n in table.column_names if n != "seconds"]
            found[f"{seed.name}/{name}"] = table.select(names)
        last = list(checkpoint.steps(seed / "checkpoints").values())[-1]
        used = json.loads((last / "state.json").read_text())["large"].values()
        files = [*last.glob("*"), *seed.glob("policy/*"), *seed.glob("best/*")]
        parts = sorted({part for array in used for part in array["parts"]})
        files += [pieces.place(seed / "checkpoints" / "pieces", p) for p in parts]
        found |= {str(f.relative_to(path)): f.read_bytes() for f in files}
    return found


class Score(NamedTuple):
    kills: int
    runs: int
    exact: int
    lost: list[str]


def campaign(kills: int, *, seed: int, home: Path, names: list[str]) -> Score:
    """So many kills, at most four of one run; what came of the runs."""
    chance, context = random.Random(seed), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kills"])
    cache, done, runs, lost = str(home / "cache"), 0, 0, []

    def begin(name: str, path: Path, at: int | None) -> Any:
        alone(path)
        ours, its = context.Pipe()
        child = context.Process(target=live, args=(name, str(path), cache, at, its))
        child.start()
        ours.recv()
        return child

    def whole(name: str) -> dict[str, Any]:
        child = begin(name, home / f"{name}-whole", None)
        child.join()
        assert child.exitcode == 0, name
        return left(home / f"{name}-whole")

    wanted = {name: whole(name) for name in names}
    while done < kills:
        name = names[runs % len(names)]
        path, runs = home / f"{name}-{runs}", runs + 1
        for _ in range(min(chance.randint(1, 4), kills - done)):
            by_disk = chance.random() < 0.5
            child = begin(name, path, chance.randint(1, 120) if by_disk else None)
            child.join(None if by_disk else chance.uniform(0, 2.5))
            if child.is_alive():
                child.kill()
                child.join()
            done += child.exitcode == -signal.SIGKILL
        child = begin(name, path, None)
        child.join()
        same = child.exitcode == 0 and left(path) == wanted[name]
        lost += [] if same else [str(path)]
        if same:
            shutil.rmtree(path)
    return Score(done, runs, runs - len(lost), lost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="peira-kills-"))
    names = list(settings())
    score = campaign(said.kills, seed=said.seed, home=home, names=names)
    print(f"kills {score.kills}, runs {score.runs}, exact {score.exact}, ", end="")
    print(f"lost {len(score.lost)} {' '.join(score.lost)}")
    if not score.lost:
        shutil.rmtree(home)
    sys.exit(bool(score.lost))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import kills  # so that the processes find what they run under one name

    kills.main()
