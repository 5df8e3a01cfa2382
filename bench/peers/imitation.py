"""Success of d3rlpy's cloning on the demonstrations of `bench/imitation.py`, which runs
this where PEERS says.

    PYTHONPATH=bench python bench/peers/imitation.py

A seed's row goes to bench/results/imitation.jsonl when it is complete: this can be
stopped and repeated.
"""

import json

import numpy as np
import torch
from offline import ROOT, SEEDS, train


OUT = ROOT / "bench" / "results" / "imitation.jsonl"
LEARNER = "BC, d3rlpy"
SAME = {"batch": 64, "updates": 2_000, "episodes": 20}
"""As ours; the network and the step size are those of `offline.py`."""


def main() -> None:
    torch.set_num_threads(1)
    rows = map(json.loads, OUT.read_text().splitlines())
    done = {row["seed"] for row in rows if row["learner"] == LEARNER}
    for seed in SEEDS:
        if seed not in done:
            row = train("push-scripted", "bc", seed, **SAME)
            print(LEARNER, seed, np.mean(row["returns"]), flush=True)
            with OUT.open("a") as file:
                file.write(json.dumps({"learner": LEARNER} | row) + "\n")


if __name__ == "__main__":
    main()
