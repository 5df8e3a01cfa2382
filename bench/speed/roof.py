"""How near updates come to what the machine can multiply.

    python bench/speed/roof.py [ALGORITHM ...]

The updates of one algorithm at its defaults, from `datasets/halfcheetah-random`, and
a large matrix product take turns in one process. An update's operations are counted by
the compiler (`peira.engine.cost`), on the program as it is written. Rows go to
`bench/results/roof.jsonl`; the page shows the last of each.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from ledger import DATA, keep

from peira import algos
from peira.data import read
from peira.engine.cost import of_update
from peira.engine.from_data import beat_from, FromData
from peira.engine.plan import Plan


ALGORITHMS = ("sac", "td3", "bc", "td3-bc", "iql", "bear", "cql", "bcq", "dt")
SIDE = 2048  # of the matrices whose product is the limit
ROUNDS, SECONDS = 15, 1.0


def timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(do())
    return time.perf_counter() - began


def measure(name: str) -> dict:
    """FLOP per second of updates and of the product, in each round."""
    algorithm = algos.get(name)()
    data = read(DATA)
    beat = beat_from(algorithm, data, Plan(steps=10**7))
    loop = FromData(beat, data, (0,), resident=2**32)
    learned = lambda n: (loop.advance(n), loop.life.count)[1]
    timed(lambda: learned(1))
    n = max(1, round(SECONDS / timed(lambda: learned(4)) * 4))
    x = jnp.ones((SIDE, SIDE))
    product = jax.jit(jnp.matmul)
    timed(lambda: product(x, x))
    times = max(1, round(SECONDS / timed(lambda: product(x, x))))
    cost = of_update(algorithm, beat.spec)
    speeds, peaks = [], []
    for _ in range(ROUNDS):
        speeds.append(n * cost.flops / timed(lambda: learned(n)))
        spent = sum(timed(lambda: product(x, x)) for _ in range(times))
        peaks.append(times * 2 * SIDE**3 / spent)
    return {
        "algorithm": name,
        "flops": cost.flops,
        "traffic": cost.traffic,
        "speeds": speeds,
        "peaks": peaks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("algorithms", nargs="*", default=ALGORITHMS)
    for name in parser.parse_args().algorithms:
        line = measure(name)
        keep("roof", line)
        shares = sorted(
            a / b for a, b in zip(line["speeds"], line["peaks"], strict=True)
        )
        print(f"{name:8s} {100 * shares[len(shares) // 2]:5.1f} % of the product's")


if __name__ == "__main__":
    main()
