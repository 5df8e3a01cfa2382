"""Success of other libraries' learners on the demonstrations of `bench/imitation.py`,
which runs this where PEERS says: d3rlpy's cloning, and where DIFFUSION_POLICY names a
folder that holds their repository, what its authors wrote.

    PYTHONPATH=bench python bench/peers/imitation.py

A seed's row goes to bench/results/imitation.jsonl when it is complete: this can be
stopped and repeated.
"""

import json
import os
from collections.abc import Callable

import numpy as np
import torch
from offline import ROOT, SEEDS, train


OUT = ROOT / "bench" / "results" / "imitation.jsonl"
SET = "push-scripted"
SAME = {"batch": 64, "updates": 5_000, "episodes": 20}
"""As ours; the network and the step size of d3rlpy's are those of `offline.py`."""
SIZES = {"widths": [32, 64], "embed": 32, "rate": 1e-3}
Train = Callable[[int], dict]


def learners() -> dict[str, Train]:
    """What trains a seed of each."""
    found: dict[str, Train] = {
        "BC, d3rlpy": lambda seed: train(SET, "bc", seed, **SAME)
    }
    if "DIFFUSION_POLICY" in os.environ:
        import diffusion

        found["Diffusion Policy, its authors'"] = lambda seed: diffusion.train(
            SET, seed, **SIZES, **SAME
        )
    return found


def main() -> None:
    torch.set_num_threads(1)
    rows = map(json.loads, OUT.read_text().splitlines())
    done = {(row["learner"], row["seed"]) for row in rows}
    for learner, make in learners().items():
        for seed in SEEDS:
            if (learner, seed) not in done:
                row = {"learner": learner} | make(seed)
                print(learner, seed, np.mean(row["returns"]), flush=True)
                with OUT.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
