"""Count what an update of every algorithm costs, at its defaults, and compare with
`tests/costs.json`, to which `tests/engine/test_costs.py` holds the code.

    python tests/costs.py              what differs by more than 2 %
    python tests/costs.py --write WHY  write it down; why goes beside what differs

The problems are those of HalfCheetah (17 numbers seen, 6 done) and, for choices, of
CartPole (4 and 2).
"""

import json
import sys
from pathlib import Path

import numpy as np

from peira import algos
from peira.core import Box, Discrete, Facts, Spec
from peira.engine.cost import Cost, of_update


KEPT = Path(__file__).parent / "costs.json"
CLOSE = 0.02


def box(n: int) -> Box:
    return Box(np.full(n, -1, np.float32), np.full(n, 1, np.float32))


def problem(name: str) -> Spec:
    """What an algorithm is counted on; with a dataset where it cannot do without."""
    real = Box in algos.get(name).serves
    obs, action = (box(17), box(6)) if real else (box(4), Discrete(2))
    zero = np.zeros(obs.shape, np.float32)
    facts = Facts(zero, zero + 1, 1000, 10, longest=100, best=1.0, worst=0.0)
    return Spec(obs, action, data=None if "online" in algos.catalogue[name] else facts)


def counted(name: str) -> Cost:
    cls = algos.get(name)
    return of_update(cls(), problem(name), envs=getattr(cls, "actors", 1))


def kept() -> dict[str, dict]:
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def differs(cost: Cost, row: dict | None) -> bool:
    """Whether this is not what was written down."""
    if row is None:
        return True
    return any(abs(x / row[what] - 1) > CLOSE for what, x in cost._asdict().items())


def main(words: list[str]) -> None:
    rows, write = kept(), words[:1] == ["--write"]
    why = " ".join(words[1:])
    if write and not why:
        sys.exit("say why: python tests/costs.py --write WHY")
    for name in algos.catalogue:
        cost, row = counted(name), rows.get(name)
        if differs(cost, row):
            print(name, cost, "instead of", row)
            rows[name] = {**cost._asdict(), "why": why}
    if write:
        lines = [f'  "{n}": {json.dumps(rows[n])}' for n in algos.catalogue]
        KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
