"""Run the studies that come with Peira, and keep their rows.

    python bench/studies.py                 every quick tier that is missing (hours)
    python bench/studies.py NAME ...        only these
    python bench/studies.py --seeds N ...   once more, from another first seed
    python bench/studies.py --alike         how often arms that are the same are told
                                            apart, by each rule (a minute)

Studies lie under `runs/studies`; one cut short goes on, a finished one is not repeated.
The rows are kept in `bench/results/studies`, and `docs/evidence.md` shows what follows
from them.
"""

import argparse
import json

from learn import peira, ROOT

from peira.evidence.studies import alike, load, shipped, Study, Tier


RUNS = ROOT / "runs" / "studies"
SETS = ROOT / "datasets"
KEPT = ROOT / "bench" / "results" / "studies"
ALIKE = ROOT / "bench" / "results" / "alike.jsonl"
TIER, TRIALS, FEWEST = "quick", 1000, 5


def run(name: str, seeds: int) -> None:
    """Run one study, or the rest of it, and keep its rows."""
    called = f"{name}-{TIER}" + (f"-from-{seeds}" if seeds else "")
    where = ["--data", SETS]
    if (RUNS / called).exists():
        peira("study", "resume", RUNS / called, *where)
    else:
        first = ["--seeds", str(seeds), "--out", RUNS]
        peira("study", "run", name, "--tier", TIER, *first, *where)
    KEPT.mkdir(exist_ok=True)
    rows = (RUNS / called / "rows.jsonl").read_text()
    (KEPT / f"{called}.jsonl").write_text(rows.replace(f"{ROOT}/", ""))


def rules() -> dict[tuple, tuple[Study, Tier]]:
    """Every rule that something shipped is decided by, with one study that has it."""
    found: dict[tuple, tuple[Study, Tier]] = {}
    for name in shipped():
        _, study = load(name)
        for tier in study.tiers.values():
            rule = (study.paired, study.alarms, tier.most, tier.looks, len(tier.tasks))
            if tier.most >= FEWEST:
                found.setdefault(rule, (study, tier))
    return dict(sorted(found.items()))


def simulated(rule: tuple, study: Study, tier: Tier) -> dict:
    """A rule, and how many simulated studies of arms that are the same it left
    undecided."""
    names = ("paired", "alarms", "runs", "looks", "tasks")
    found = alike(study, tier, trials=TRIALS)
    counts = {shape: round(share.value * TRIALS) for shape, share in found.items()}
    return dict(zip(names, rule, strict=True)) | {"trials": TRIALS, "undecided": counts}


def main() -> None:
    said = argparse.ArgumentParser()
    said.add_argument("names", nargs="*")
    said.add_argument("--seeds", type=int, default=0)
    said.add_argument("--alike", action="store_true")
    words = said.parse_args()
    if words.alike:
        rows = [simulated(rule, *one) for rule, one in rules().items()]
        ALIKE.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    for name in words.names or shipped():
        run(name, words.seeds)


if __name__ == "__main__":
    main()
