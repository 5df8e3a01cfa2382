"""What is measured here stands in `bench/results/NAME.jsonl`, and the page shows it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


sys.path.append(str(Path(__file__).resolve().parents[1]))
import lines


ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
DATA = ROOT / "datasets" / "halfcheetah-random"


def kept(name: str) -> list[dict[str, Any]]:
    return lines.kept(RESULTS / f"{name}.jsonl")


def keep(name: str, *rows: Mapping[str, Any]) -> None:
    lines.keep(RESULTS / f"{name}.jsonl", *rows)
