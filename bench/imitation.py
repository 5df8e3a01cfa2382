"""Learn to push a puck from demonstrations of a script, beside behaviour cloning, keep
what came out, and write `docs/imitation.md`.

    python bench/imitation.py            record, train what is missing, then write
    python bench/imitation.py --write    only write the page

Needs `bench/peers/metaworld.txt`; learners of other libraries are among them where
PEERS names a Python for `bench/peers/imitation.py`. Demonstrations lie under
`datasets`, runs under `runs/imitation`; a run cut short goes on, a finished one is not
repeated. What the page is made of is kept in `bench/results/imitation.jsonl`: a line
per learner and seed, with the return of every episode, which is 1 for a success and
else 0.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from learn import peira, ROOT, scores, show
from lines import keep, kept

from peira.data import Dataset, write
from peira.engine.run import Run
from peira.envs import Hosted, make
from peira.evidence import difference, Estimate, mean


ENV = "pushing:Push-v0"
RUNS = ROOT / "runs" / "imitation"
SET = ROOT / "datasets" / "push-scripted"
KEPT = ROOT / "bench" / "results" / "imitation.jsonl"
PEER = ROOT / "bench" / "peers" / "imitation.py"
PAGE = ROOT / "docs" / "imitation.md"

DEMONSTRATIONS = 50
NOISE = 0.1
"""Deviation of what is added to every entry of an action, whose bounds are -1 and 1."""
HOW = "--batch 64 --steps 5000 --seeds 5 --episodes 20 --evaluate-every 5000"
LEARNERS = {
    "Diffusion Policy": "diffusion-policy {} --hidden 32,64 --embedding 32 "
    "--learning-rate 1e-3",
    "BC": "bc {} --hidden 64,64 --learning-rate 3e-4",
    "BC, mixture": "bc {} --head mixture --hidden 64,64 --learning-rate 3e-4",
}
FIRST = next(iter(LEARNERS))
SCRIPT = "the script"
THEIRS = ("Diffusion Policy, its authors'", "BC, d3rlpy")


def command(learner: str) -> str:
    """What follows `peira train`."""
    where = f"{ENV} --data datasets/{SET.name}"
    return f"{LEARNERS[learner].format(where)} {HOW}"


def record() -> None:
    """Play Meta-World's script until enough episodes succeeded, write those, and keep
    how every episode ended."""
    from metaworld.policies import SawyerPushV3Policy

    world, script = make(ENV), SawyerPushV3Policy()
    assert isinstance(world, Hosted)
    noise = np.random.default_rng(0)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    returns: list[float] = []
    while len(found) < DEMONSTRATIONS:
        obs, action, success = episode(world, script, len(returns), noise)
        returns.append(float(success))
        if success:
            found.append((obs, action))
    obs, action = map(np.concatenate, zip(*found, strict=True))
    starts = np.cumsum([0, *(len(action) for _, action in found)])
    end = np.zeros(len(action), bool)
    end[starts[1:] - 1] = True
    reward = end.astype(np.float32)
    about = {"env": ENV, "recipe": f"script, noise {NOISE}"}
    data = Dataset(
        world.spec, obs, action, reward, end, np.zeros_like(end), starts, meta=about
    )
    write(data, SET)
    world.close()
    if not known(SCRIPT):
        about = {"learner": SCRIPT, "seed": 0, "step": data.steps}
        keep(KEPT, about | {"returns": returns})


def known(learner: str) -> bool:
    """Whether its rows are kept."""
    return any(line["learner"] == learner for line in kept(KEPT))


def episode(
    world: Hosted, script: Any, number: int, noise: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, bool]:
    """What was seen and done, with noise in it, and whether it succeeded."""
    t = world.reset(0, number)
    seen, done = [t.obs[0]], []
    while True:
        wanted = np.clip(script.get_action(seen[-1].astype(float)), -1, 1)
        noisy = np.clip(wanted + NOISE * noise.normal(size=4), -1, 1)
        done.append(noisy.astype(np.float32))
        out, _ = world.step(done[-1][None])
        seen.append(out.obs[0])
        if out.terminated[0] or out.truncated[0]:
            return np.stack(seen), np.stack(done), bool(out.terminated[0])


def train(learner: str) -> None:
    """Run one learner, or the rest of it, and keep its last evaluation."""
    if known(learner):
        return
    path = RUNS / learner.lower().replace(",", "").replace(" ", "-")
    if not path.exists():
        words = [*command(learner).split(), "--no-record"]
        peira("train", *words, "--name", path.name, "--runs", RUNS)
    if not Run.open(path).done:
        peira("resume", path)
    about = {"learner": learner, "command": command(learner)}
    keep(KEPT, *(about | line for line in scores(Run.open(path))))


def of_seeds(lines: list[dict], learner: str) -> Float[np.ndarray, " seed"]:
    """In how many of a hundred episodes each seed's last policy succeeds."""
    own = [line["returns"] for line in lines if line["learner"] == learner]
    return 100 * np.array([np.mean(returns) for returns in own])


def page() -> str:
    """The whole of the page."""
    lines = kept(KEPT)
    commands = (f"peira train {command(learner)}" for learner in LEARNERS)
    parts = [INTRODUCTION, *script(lines), TABLE, *table(lines), COMMANDS, *commands]
    return "\n".join([*parts, "```", ""])


INTRODUCTION = f"""# Results from demonstrations

Written by `bench/imitation.py` from `bench/results/imitation.jsonl`. A robot's gripper
has to bring a puck to a goal, both somewhere else in every episode: Meta-World's task
`push-v3`, which is like Push-T, but that the puck is round and its place is told.
{DEMONSTRATIONS} episodes are learned from, in which the script that the package has for
the task succeeded, with normal noise of deviation {NOISE} in every action.
"""
TABLE = """
Success is the share of 20 episodes of up to 150 steps in which the puck came to the
goal, after the last of 5,000 updates with batches of 64. BC has the same size on both
sides (64-64, squared error, step size 3e-4), and so has Diffusion Policy: a U-Net of 32
and 64 channels and a step size of 1e-3. It is two hundred times smaller than the
paper's and learns for minutes: this compares what little work brings. What its authors
wrote scales observations by the data's extremes and learns from fewer plans that reach
beyond an episode's end; the rest is meant to be the same.
Intervals are Student's t at 95 % over seeds, cut at 0 and 100; that of a difference is
Welch's, and each holds by itself.

What was chosen was chosen on another seed, and for Diffusion Policy: with noise of 0.3
and a step size of 3e-4 it succeeded there in 0 of 10 episodes (2,000 updates) and BC in
18 of 20 (5,000); with less noise and larger steps in 12 of 20 (3,000). So 5,000 were
chosen for all, before the runs below.

| Learner | Seeds | Success, % | Lowest, highest seed | Diffusion Policy minus it |
|---|---|---|---|---|"""
COMMANDS = f"""
## Commands

```sh
pip install --require-hashes --no-deps -r bench/peers/metaworld.txt
python bench/imitation.py
```

The package asks for MuJoCo 3.3.0, whose welds have one number less than those of 4.0.0;
`bench/pushing.py` sees to that and makes the task known as `{ENV}`. Where
`PEERS` names a Python that has d3rlpy (`bench/peers`) and the package, d3rlpy's BC is
trained too, and where `DIFFUSION_POLICY` names a folder with its authors' repository
and that Python has `bench/peers/diffusion.txt`, what they wrote. The learners alone,
where `PYTHONPATH` has `bench`:

```sh"""


def script(lines: list[dict]) -> Iterator[str]:
    for line in lines:
        if line["learner"] == SCRIPT:
            n, hits = len(line["returns"]), int(sum(line["returns"]))
            yield f"The script so disturbed succeeded in {hits} of {n} episodes; the"
            yield f"successes have {line['step']:,} steps."


def table(lines: list[dict]) -> Iterator[str]:
    first = of_seeds(lines, FIRST)
    for learner in (*LEARNERS, *THEIRS):
        found = of_seeds(lines, learner)
        if not len(found):
            yield f"| {learner} | | not run yet | | |"
            continue
        gap = ""
        if learner != FIRST and len(first):
            gap = show(difference(first, found))
        yield (
            f"| {learner} | {len(found)} | {show(share(found))} | "
            f"{found.min():.0f}, {found.max():.0f} | {gap} |"
        )


def share(found: Float[np.ndarray, " seed"]) -> Estimate:
    """Their mean, whose interval ends where shares do."""
    return Estimate(*(float(np.clip(x, 0, 100)) for x in mean(found)))


def main(words: list[str]) -> None:
    if words != ["--write"]:
        paths = [str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        if not SET.exists():
            record()
        for learner in LEARNERS:
            train(learner)
            PAGE.write_text(page())
        if python := os.environ.get("PEERS"):
            subprocess.run([python, PEER], check=True)
    PAGE.write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
