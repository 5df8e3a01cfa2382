"""Build standard sets, and record what came out: `peira data build` compares with that,
and `docs/datasets.md` shows it.

    python bench/datasets.py           build and record what is not recorded yet (hours:
                                       the trained sets of MuJoCo)
    python bench/datasets.py NAME ...  build and record these anew

Sets and trainings lie under `datasets`; a training cut short goes on. An environment's
scale is that of its recorded sets: to set it anew, remove their rows first.
"""

import json
import sys
import time
from pathlib import Path

from peira.cli.cache import keep_compiled
from peira.core.checks import plain_warnings
from peira.evidence.packs import build, RECIPES, record, recorded
from peira.evidence.packs.making import RECORDED


OUT = Path(__file__).parent.parent / "datasets"


def main(names: list[str]) -> None:
    keep_compiled()
    plain_warnings()
    if unknown := [n for n in names if n not in RECIPES]:
        sys.exit(f"unknown set {unknown[0]}; known: {', '.join(RECIPES)}")
    for name in names or [n for n in RECIPES if n not in recorded()]:
        started = time.perf_counter()
        row = record(build(name, OUT), time.perf_counter() - started)
        rows = recorded() | {name: row}
        lines = [json.dumps(rows[n]) + "\n" for n in RECIPES if n in rows]
        RECORDED.write_text("".join(lines))
        print(name, row["fingerprint"][:12], f"{row['mean']:.4g}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
