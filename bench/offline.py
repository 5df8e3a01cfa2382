"""Learn from the standard datasets with every algorithm, keep what came out, and write
`docs/offline_results.md`.

    python bench/offline.py              everything that is missing, then write (hours)
    python bench/offline.py NAME ...     only these datasets, or `dataset/algorithm`
    python bench/offline.py --write      only write the page

Datasets lie under `datasets` (built if they are not there), runs under `runs/offline`;
a run cut short goes on, a finished one is not repeated. What the page is made of is
kept in `bench/results/offline.jsonl`: one line per cell, seed and evaluation, with the
return of every episode.
"""

import dataclasses
import re
import sys
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from learn import peira, ROOT, scores, show
from lines import keep, kept

from peira.engine.run import Run
from peira.evidence import compared, Estimate
from peira.evidence.curves import chosen_best
from peira.evidence.packs import recorded, references
from peira.evidence.packs.making import normalised


RUNS = ROOT / "runs" / "offline"
SETS = ROOT / "datasets"
KEPT = ROOT / "bench" / "results" / "offline.jsonl"
PEERS = ROOT / "bench" / "results" / "peers_offline.jsonl"
PAGE = ROOT / "docs" / "offline_results.md"

SMALL = "--hidden 64,64 --batch 128 --steps 10000 --seeds 5 --evaluate-every 1000"
USUAL = "--steps 5000 --seeds 3 --evaluate-every 1000"
SLOW = {
    "bear": "--steps 2500 --seeds 3 --evaluate-every 500",
    "cql": "--steps 1000 --seeds 3 --evaluate-every 200",
}
"""Where an update takes five and thirty times as long as TD3+BC's."""
SEQUENCES = {
    "dt": "--width 64 --layers 2 --batch 64 --learning-rate 3e-4 --warmup 300 "
    "--steps 3000 --seeds 5 --evaluate-every 1000",
    "tt": "--context 5 --planned 5 --beam 16 --width 64 --layers 2 --batch 128 "
    "--dropout 0 --warmup 300 --falling 6000 --steps 6000 --seeds 5 "
    "--evaluate-every 3000",
    "diffusion-policy": "--hidden 32,64 --embedding 32 --batch 64 "
    "--learning-rate 3e-4 --steps 5000 --seeds 5 --evaluate-every 1000",
    "q-transformer": "--width 64 --layers 2 --bins 21 --history 1 --batch 128 "
    "--steps 10000 --seeds 5 --evaluate-every 1000",
}
"""Whose networks are no plain layers, each small enough for minutes."""
CONTINUOUS = ("bc", "10%bc", "rvs", "td3-bc", "rebrac", "iql", "awac", "cql", "bcq")
CONTINUOUS += ("bear", "brac-v", "brac-p", "sac-n", "edac")
DISCRETE = ("bc", "10%bc", "rvs", "dqn", "iql", "bcq-discrete", "cql-discrete")
DISCRETE += ("kl-control",)
ASKED = ("bc", "10%bc", "td3-bc", "iql", "cql", "bear", "brac-v")
GAPS = ("iql", "awac", "cql", "brac-v", "brac-p")
"""Those that fail with the papers' discount where one action changes little."""
NARROW = "--critic-hidden 64,64"
SLIM = "--vae-hidden 64,64"
BRAC = "brac --cloning {tenth} --warm-start {tenth}"
COMMANDS = {
    "10%bc": "bc --top 0.1",
    "bear": "bear --warm-start {tenth}",
    "brac-v": BRAC,
    "brac-p": BRAC + " --penalty policy",
    "kl-control": "kl-control --cloning {tenth}",
}
"""Where it is not the name alone; the phases that the papers spend on a clone take a
tenth of the updates each."""
ALSO = {"awac": NARROW, "brac-v": NARROW, "brac-p": NARROW, "bcq": SLIM, "bear": SLIM}
"""Other networks that have to be small where all are."""


@dataclasses.dataclass(frozen=True)
class Set:
    """A dataset, and how long it is learned from."""

    name: str
    algorithms: tuple[str, ...]
    how: str = SMALL
    also: str = ""
    """A setting that is not everybody's own."""

    @property
    def title(self) -> str:
        return f"{self.name} {self.also}".strip()

    def cell(self, algorithm: str) -> str:
        """What its rows are kept under."""
        return f"{self.title}/{algorithm}"

    @property
    def env(self) -> str:
        return recorded()[self.name]["env"]

    def command(self, algorithm: str) -> str:
        """What follows `peira train`."""
        others = {USUAL: SLOW, SMALL: SEQUENCES}[self.how]
        how = others.get(algorithm, self.how)
        words = how.split()
        tenth = int(words[words.index("--steps") + 1]) // 10
        name, _, rest = COMMANDS.get(algorithm, algorithm).partition(" ")
        rest = rest.format(tenth=tenth)
        narrow = ALSO.get(algorithm, "") if how == SMALL else ""
        where = f"--data datasets/{self.name}"
        parts = [name, self.env, where, rest, narrow, how, self.also]
        return " ".join(part for part in parts if part)


GRID = [
    Set("pendulum-medium-replay", CONTINUOUS),
    Set("pendulum-medium-expert", (*CONTINUOUS, *SEQUENCES)),
    Set("pendulum-medium-expert", GAPS, also="--gamma 0.9"),
    Set("pointmaze-umaze-play", (*CONTINUOUS, *SEQUENCES)),
    Set("pointmaze-umaze-noisy", CONTINUOUS),
    Set("fourrooms-random", DISCRETE),
    Set("fourrooms-medium", DISCRETE),
    Set("halfcheetah-medium-replay", ASKED, USUAL),
    Set("halfcheetah-medium-expert", ASKED, USUAL),
]


def train(data: Set, algorithm: str) -> None:
    """Run one cell of the grid, or the rest of it, and keep its evaluations."""
    cell = data.cell(algorithm)
    if any(line["cell"] == cell for line in kept(KEPT)):
        return
    if not (SETS / data.name).exists():
        peira("data", "build", data.name, "--out", SETS)
    words = data.command(algorithm).split()
    name = re.sub("[^a-z0-9.]+", "-", cell.replace("%", "-percent-"))
    if not (RUNS / name).exists():
        peira("train", *words, "--name", name, "--runs", RUNS)
    run = Run.open(RUNS / name)
    if not run.done:
        peira("resume", RUNS / name)
    about = {"cell": cell, "command": " ".join(words)}
    done = scores(Run.open(RUNS / name))
    keep(KEPT, *(about | line for line in done if line["mode"] == "greedy"))


@dataclasses.dataclass(frozen=True)
class Scores:
    """Of each seed, on the scale where random play is 0 and the expert 100."""

    final: Float[np.ndarray, " seed"]
    best: Float[np.ndarray, " seed"]
    """Of the best evaluation, chosen and scored by the same episodes."""
    selected: Float[np.ndarray, " seed"]
    """Of the evaluation chosen by one half of the episodes, scored by the other."""


def middle(scores: Float[np.ndarray, " seed"]) -> str:
    """The median, and all that was seen."""
    return show(Estimate(float(np.median(scores)), scores.min(), scores.max()))


def summed(lines: list[dict], env: str) -> Scores:
    by_seed: dict[int, dict[int, list[float]]] = {}
    for line in lines:
        by_seed.setdefault(line["seed"], {})[line["step"]] = line["returns"]
    returns = np.array([[at[step] for step in sorted(at)] for at in by_seed.values()])
    scores = normalised(returns, references(env))
    means = scores.mean(axis=2)
    return Scores(means[:, -1], means.max(axis=1), chosen_best(scores))


def page() -> str:
    """The whole of the page."""
    ours, theirs = kept(KEPT), kept(PEERS)
    parts = [INTRODUCTION]
    for data in GRID:
        parts.append(f"## {data.title}\n\n{of_set(data)}")
        parts.append("\n".join(table(data, ours)) + "\n")
        if rows := list(beside(data, ours, theirs)):
            parts.append(BESIDE + "\n".join(rows) + "\n")
    return "\n".join([*parts, COMMANDS_ARE, *commands(), ""])


INTRODUCTION = """# Results from datasets

Written by `bench/offline.py` from `bench/results/offline.jsonl`; `make learn` goes on
with what is missing. Scores are normalised: random play is 0, the expert 100 (returns
of both, 100 episodes each, are in [Datasets](datasets.md)). Cells are the median over
seeds and, in brackets, the lowest and the highest seed: of five, that range holds the
median of all seeds there are in 94 % of experiments, whatever its shape, of three in
75 %. A seed's score is the mean of ten episodes.

- **final**: the last policy. The column to compare by.
- **best**: the best of all evaluations, chosen by the very episodes it is scored on: it
  flatters, and the more the noisier an algorithm is.
- **selected**: one half of the episodes of every evaluation chooses the best, and the
  other half scores it, both ways: what choosing with so much play brings.

No setting was tuned on any of these sets, but for one: TT's first, with a width of 32,
batches of 64 and dropout, had hardly learned what the words are after 3,000 updates and
scored 6.4 [-7.3, 25.6]; it was made twice as large, with twice as much to learn from
and no dropout, which was tried on a seed that is not in the table. The small sets are
learned from with small networks (64-64) and batches (128), those of MuJoCo with each
paper's own, but for far fewer updates than the papers' million (BEAR and CQL, whose
updates are the longest, for even fewer): the scores are lower, and say how fast an
algorithm learns as much as how well. The phases that some papers spend on a clone alone
take a tenth of the updates each. DT, TT, Diffusion Policy and Q-Transformer have sizes
of their own, far below those of their papers, by which a row takes minutes; DT asks for
the highest return of the dataset.

A second section of one set, `--gamma 0.9`, was added when the first had been seen. With
the usual discount of 0.99 IQL, AWAC, CQL and BRAC end far below the behaviour that they
learn from (d3rlpy's IQL and CQL too); with 0.9 they do not. One action of twenty a
second changes little beside all that is still to come, and what weighs actions by
differences of values then weighs the errors of their fit.
"""
BESIDE = """Beside d3rlpy, by the same data, networks, batches and step sizes, after
5,000 updates (DT: 3,000), made by `bench/peers/offline.py`; the difference is that of
the means, ours minus theirs, with Welch's interval, for five seeds of each. Why its
BEAR fails here is not known; it adds an entropy term to the paper's, but with that all
but switched off (`initial_temperature` 1e-4, seed 0) it scored no better, -37:

| Algorithm | Peira | d3rlpy | n | Difference |
|---|---|---|---|---|
"""
COMMANDS_ARE = """## Commands

Each set is built by `peira data build NAME`.
"""


def of_set(data: Set) -> str:
    if data.name not in recorded():
        return "Not built yet.\n"
    row = recorded()[data.name]
    score = normalised(np.array(row["mean"]), references(data.env))
    return f"{row['steps']:,} steps, whose behaviour scores {score:.1f}.\n"


def table(data: Set, lines: list[dict]) -> Iterator[str]:
    yield "| Algorithm | Updates | Seeds | Final | Best | Selected |"
    yield "|---|---|---|---|---|---|"
    yield "| random play | | | 0 | | |"
    for algorithm in data.algorithms:
        own = [x for x in lines if x["cell"] == data.cell(algorithm)]
        if not own:
            yield f"| {algorithm} | | | not run yet | | |"
            continue
        found = summed(own, data.env)
        cells = map(middle, (found.final, found.best, found.selected))
        updates = max(line["step"] for line in own)
        yield f"| {algorithm} | {updates:,} | {len(found.final)} | " + (
            " | ".join(cells) + " |"
        )


def beside(data: Set, ours: list[dict], theirs: list[dict]) -> Iterator[str]:
    for algorithm in data.algorithms:
        cell = data.cell(algorithm)
        other = [x for x in theirs if x["cell"] == cell]
        at = {x["step"] for x in other}
        own = [x for x in ours if x["cell"] == cell and x["step"] in at]
        if own and other:
            a, b = (summed(x, data.env).final for x in (own, other))
            yield (
                f"| {algorithm} | {middle(a)} | {middle(b)} | {len(a)}, {len(b)} | "
                f"{show(compared(a, b).estimate)} |"
            )


def commands() -> Iterator[str]:
    for data in GRID:
        if data.name in recorded():
            lines = [f"peira train {data.command(name)}" for name in data.algorithms]
            yield "```sh\n" + "\n".join(lines) + "\n```\n"


def main(words: list[str]) -> None:
    cells = [(data, name) for data in GRID for name in data.algorithms]
    wanted = [w for w in words if w != "--write"]
    known = {data.title for data in GRID} | {d.cell(name) for d, name in cells}
    if unknown := [w for w in wanted if w not in known]:
        sys.exit(f"unknown cell {unknown[0]}; known: {', '.join(sorted(known))}")
    if words != ["--write"]:
        for data, name in cells:
            if not wanted or {data.title, data.cell(name)} & {*wanted}:
                train(data, name)
                PAGE.write_text(page())
    PAGE.write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
