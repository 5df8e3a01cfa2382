"""How much of a hosted run is learning: environment steps per second on HalfCheetah-v5
with one update each, beside the updates alone.

    python bench/hosted.py [ALGORITHM] [--rounds N]

Every round times each way once, one after another, so that a noisy machine touches them
all; what is printed is the median over rounds, and the median of each round's ratio to
the updates alone.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from peira import algos
from peira.core import root
from peira.engine.hosted import HostedLoop
from peira.engine.loop import beat, learn
from peira.engine.plan import Plan
from peira.envs import make


STEPS = 512


def collecting(name: str, block: int, overlap: bool) -> Callable[[], None]:
    """Takes `STEPS` steps, learning after each block."""
    env = make("HalfCheetah-v5")
    plan = Plan(steps=10**6, block=block, overlap=overlap)
    algorithm = algos.get(name)(warmup=512)
    loop = HostedLoop(beat(algorithm, env.spec, plan, envs=1), env, (0,))
    loop.advance(loop.beat.warmup)

    def run() -> None:
        loop.advance(STEPS // block)
        jax.block_until_ready(loop.learned.tree)

    return run


def learning(name: str) -> Callable[[], None]:
    """Makes `STEPS` updates and nothing else."""
    env = make("HalfCheetah-v5")
    algorithm = algos.get(name)(warmup=512)
    counted = beat(algorithm, env.spec, Plan(steps=10**6, block=STEPS), envs=1)
    loop = HostedLoop(counted, env, (0,))
    loop.advance(1)
    update = jax.jit(
        lambda s, k: learn(counted, s, k, count=jnp.int32(0), key=root(0))[0]
    )

    def run() -> None:
        jax.block_until_ready(update(loop.learned.tree, loop.kept.tree))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", nargs="?", default="sac")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    ways = {
        "updates alone": learning(args.algorithm),
        "block 1": collecting(args.algorithm, 1, False),
        "block 1, overlap": collecting(args.algorithm, 1, True),
        "block 32": collecting(args.algorithm, 32, False),
        "block 32, overlap": collecting(args.algorithm, 32, True),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(args.rounds + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            if round_:  # the first compiles
                rates[way].append(STEPS / (time.perf_counter() - start))
    alone = rates["updates alone"]
    for way, of_way in rates.items():
        ratios = [a / b for a, b in zip(of_way, alone, strict=True)]
        rate, ratio = statistics.median(of_way), statistics.median(ratios)
        print(f"{args.algorithm} {way:18} {rate:7.0f} steps/s  {ratio:.2f} of alone")


if __name__ == "__main__":
    main()
