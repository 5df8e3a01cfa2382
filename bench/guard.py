"""What being careful costs: training with the guards against numbers that are not
finite and with checkpoints at the default interval, beside training without.

    python bench/guard.py [--rounds 30]

Two loops of the same run take turns in one process, the second traced with every
`isfinite` replaced by yes and its environment's checks left out. What is printed is the
median over rounds of each round's ratio, with quartiles, and what one checkpoint costs
as a share of the time between two.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from peira import algos
from peira.engine import checkpoint
from peira.engine.compiled import Compiled
from peira.engine.hosted import HostedLoop
from peira.engine.loop import beat
from peira.engine.plan import Plan
from peira.envs import Hosted, make, spaces


# Run, blocks per round, and the environment steps of a usual run.
RUNS = {
    "ppo CartPole-v1": (algos.get("ppo")(), "CartPole-v1", 40, 100_000),
    "sac HalfCheetah-v5": (algos.get("sac")(), "HalfCheetah-v5", 400, 1_000_000),
}


@contextlib.contextmanager
def careless() -> Iterator[None]:
    """Everything is taken to be finite and in its space."""
    with contextlib.ExitStack() as stack:
        yes = lambda x: jnp.ones(jnp.shape(x), bool)
        stack.enter_context(mock.patch.object(jnp, "isfinite", yes))
        stack.enter_context(mock.patch.object(spaces.Leaf, "check", return_value=None))
        yield


class Loop:
    """A run past its warm-up."""

    def __init__(self, algorithm: Any, env: str, steps: int, on_nan: Any):
        world = make(env, envs=getattr(type(algorithm), "actors", 1))
        envs = world.envs if isinstance(world, Hosted) else type(algorithm).actors
        plan = Plan(steps=steps, on_nan=on_nan)
        counted = beat(algorithm, world.spec, plan, envs=envs)
        kind = HostedLoop if isinstance(world, Hosted) else Compiled
        self.loop = kind(counted, world, (0,))
        if counted.warmup:
            self.loop.advance(counted.warmup)
        self.loop.advance(1)

    def seconds(self, blocks: int) -> float:
        start = time.perf_counter()
        self.loop.advance(blocks)
        jax.block_until_ready(jax.tree.leaves(self.loop.learner(0)))
        return time.perf_counter() - start

    def saving(self) -> float:
        """Seconds that a checkpoint takes."""
        with tempfile.TemporaryDirectory() as home:
            start = time.perf_counter()
            tree, meta = self.loop.save(0)
            checkpoint.save(Path(home), tree, meta={"step": 1} | meta)
            return time.perf_counter() - start


def measure(name: str, rounds: int) -> None:
    algorithm, env, blocks, steps = RUNS[name]
    careful = Loop(algorithm, env, steps, "stop")
    ratios, times = [], []
    with careless():
        other = Loop(algorithm, env, steps, "skip")
    for i in range(rounds):
        pair = [0.0, 0.0]
        for which in (0, 1) if i % 2 else (1, 0):
            with careless() if which else contextlib.nullcontext():
                pair[which] = (careful, other)[which].seconds(blocks)
        ratios.append(pair[0] / pair[1])
        times.append(pair[0])
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{name}: guarded / unguarded {middle:.3f} [{low:.3f}, {high:.3f}]", end="")
    each = statistics.median(times) / (blocks * careful.loop.beat.stride)
    saved = statistics.median(careful.saving() for _ in range(5))
    between = each * steps / 4
    print(
        f" (n={rounds}); a checkpoint takes {saved:.3f} s of the {between:.0f} s "
        f"between two: {saved / between:.2%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    for name in RUNS:
        measure(name, rounds)


if __name__ == "__main__":
    main()
