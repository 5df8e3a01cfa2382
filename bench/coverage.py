"""How often intervals cover the truth, and how often equal algorithms are told apart.

    python bench/coverage.py             every batch that is missing (minutes)
    python bench/coverage.py BATCHES     only so many batches of each experiment
    python bench/coverage.py --write     only what is made of the rows

What comes out is kept in `bench/results/coverage.jsonl`, a line for each experiment and
batch; a run that was stopped goes on with the next. `docs/statistics.md` shows it, and
`src/peira/evidence/coverage.json`, which is written here, is what intervals say of
themselves.
"""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lines import keep, kept

from peira.evidence import (
    bca,
    bet,
    bootstrap,
    compared,
    contrast,
    Estimate,
    interval,
    mean,
    studentised,
    typical,
)
from peira.evidence.aggregates import average, interquartile
from peira.evidence.intervals import trimmed
from peira.evidence.sequential import nominal_level, p_of
from peira.evidence.shapes import SHAPES


ROOT = Path(__file__).parent.parent
KEPT = ROOT / "bench" / "results" / "coverage.jsonl"
STATED = ROOT / "src" / "peira" / "evidence" / "coverage.json"
BATCHES, TRIALS, RESAMPLES = 4, 250, 400
TASKS, RUNS = (1, 9), (3, 5, 10, 20)
LOOKS = tuple(range(5, 21))
Cell = dict[str, Any]


def draw(rng: np.random.Generator, shape: str, trials: int, runs: int, tasks: int):
    """Experiments; tasks differ in what they pay and in how much runs spread."""
    steps = np.linspace(0, 1, tasks)
    return SHAPES[shape](rng, (trials, runs, tasks)) * (0.5 + 1.5 * steps) + steps


@cache
def truths(shape: str, tasks: int) -> dict[str, float]:
    """What is estimated: the mean exactly, the others by very many runs."""
    many = draw(np.random.default_rng(0), shape, 1, 400_000 // tasks, tasks)[0]
    steps = np.linspace(0, 1, tasks)
    middle = float(np.median(many[:, 0]))
    return {
        "mean": float(steps.mean()),
        "iqm": float(interquartile(*many.T)),
        "median": middle,
    }


def estimates(x: np.ndarray) -> dict[tuple[str, str], Estimate]:
    """Every interval of one experiment, by what it is of and how it is made."""
    tasks, few = x.shape[1], {"resamples": RESAMPLES}
    found = {
        ("mean", "t"): contrast([1 / tasks] * tasks, *x.T),
        ("mean", "percentile"): bootstrap(average, *x.T, **few),
        ("mean", "BCa"): bca(average, *x.T, **few),
        ("mean", "studentised"): studentised(*x.T, **few),
        ("iqm", "winsorised t"): trimmed(x),
        ("iqm", "BCa"): bca(interquartile, *x.T, **few),
        ("mean", "chosen"): interval(x).estimate,
    }
    if tasks > 1:
        found["mean", "t on run means"] = mean(x.mean(axis=1))
    else:
        found["median", "order"] = typical(x[:, 0]).estimate
    return found


def covering(cell: Cell, rng: np.random.Generator) -> Cell:
    """How many experiments each interval covers; `shown` are those that had any."""
    truth = truths(cell["shape"], cell["tasks"])
    covered: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for x in draw(rng, cell["shape"], TRIALS, cell["runs"], cell["tasks"]):
        for (of, how), e in estimates(x).items():
            name = f"{of}: {how}"
            shown[name] += not np.isnan(e.low)
            covered[name] += bool(e.low <= truth[of] <= e.high)
    return {"trials": TRIALS, "shown": shown, "covered": covered}


def alike(cell: Cell, rng: np.random.Generator) -> Cell:
    """How often two equal algorithms are told apart."""
    size = (cell["shape"], TRIALS, cell["runs"], cell["tasks"])
    both = zip(draw(rng, *size), draw(rng, *size), strict=True)
    told = sum(compared(a, b).verdict != "cannot tell" for a, b in both)
    return {"trials": TRIALS, "told apart": told}


def watched(cell: Cell, rng: np.random.Generator) -> Cell:
    """How often two algorithms are told apart by looking after every run from 5 to 20,
    and how many runs that took. `lead` is the true difference, in standard deviations.
    """
    shape = SHAPES[cell["shape"]]
    spread = float(shape(np.random.default_rng(0), 100_000).std())
    x, y = shape(rng, (2, TRIALS, LOOKS[-1]))
    x = x + cell["lead"] * spread
    both = np.stack([x, y])
    sums = np.concatenate([both, both**2]).cumsum(axis=-1)
    p = np.stack([p_of(sums[..., n - 1], n) for n in LOOKS], axis=-1)
    bets = [[bet(a[:n], b[:n]) for n in LOOKS] for a, b in zip(x, y, strict=True)]
    hits = {
        "p < 0.05 at every look": p < 0.05,
        "planned looks": p < nominal_level(LOOKS),
        "bet": np.array(bets) >= 20,
        "p < 0.05 at the last": (p < 0.05) & (np.array(LOOKS) == LOOKS[-1]),
    }
    out: Cell = {"trials": TRIALS, "told apart": {}, "used": {}}
    for name, hit in hits.items():
        decided = hit.any(axis=1)
        stop = np.where(decided, np.array(LOOKS)[hit.argmax(axis=1)], LOOKS[-1])
        out["told apart"][name] = int(decided.sum())
        out["used"][name] = int(stop.sum())
    return out


SECTIONS = {"coverage": covering, "alike": alike, "watched": watched}


def cells() -> Iterator[Cell]:
    for shape, tasks, runs in itertools.product(SHAPES, TASKS, RUNS):
        kind = {"shape": shape, "tasks": tasks, "runs": runs}
        yield {"section": "coverage"} | kind
        if runs > 3 or tasks > 1:
            yield {"section": "alike"} | kind
    for shape, lead in itertools.product(("normal", "two groups"), (0.0, 1.5)):
        yield {"section": "watched", "shape": shape, "lead": lead}


def stated() -> list[Cell]:
    """What intervals say of themselves: for each method, tasks and runs the coverage
    in the worst and in the best shape."""
    counts: dict[tuple[str, int, int], dict[str, list[int]]] = {}
    for row in kept(KEPT):
        if row["section"] == "coverage":
            for name, hits in row["covered"].items():
                of, how = name.split(": ")
                # The mean has better intervals than BCa's.
                if (of, how) != ("mean", "BCa") and row["shown"][name]:
                    at = counts.setdefault((how, row["tasks"], row["runs"]), {})
                    sums = at.setdefault(row["shape"], [0, 0])
                    sums[0] += hits
                    sums[1] += row["trials"]
    out = []
    for (how, tasks, runs), shapes in sorted(counts.items()):
        shares = [hits / trials for hits, trials in shapes.values()]
        cell = {"method": how, "tasks": tasks, "runs": runs}
        if how in ("t", "studentised", "winsorised t", "BCa", "order"):
            out.append(cell | {"least": min(shares), "most": max(shares)})
    return out


def write() -> None:
    rows = ",\n".join(json.dumps(row) for row in stated())
    STATED.write_text(f"[\n{rows}\n]\n")


def main(words: list[str]) -> None:
    batches = 0 if words == ["--write"] else int(words[0]) if words else BATCHES
    names = ("section", "shape", "tasks", "runs", "lead", "batch")
    key = lambda row: tuple(str(row.get(name)) for name in names)
    done = {key(row) for row in kept(KEPT)}
    for batch, (i, cell) in itertools.product(range(batches), enumerate(cells())):
        row = cell | {"batch": batch}
        if key(row) in done:
            continue
        row = SECTIONS[cell["section"]](cell, np.random.default_rng([i, batch])) | row
        keep(KEPT, row)
        print(json.dumps(row), flush=True)
    write()


if __name__ == "__main__":
    main(sys.argv[1:])
