"""What a checkpoint of a replay of images costs: seconds and bytes, for the first and
for one after a tenth of the replay is new.

    python bench/checkpoint.py [--steps 20000] [--rounds 5]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr

from peira.core import Transition
from peira.data import Replay
from peira.data.ring import Ring
from peira.engine import checkpoint


FRAME = (84, 84, 4)


def steps(n: int, seed: int) -> Transition:
    """As many steps of one environment, of noise: nothing in it repeats."""
    keys = jr.split(jr.key(seed), 2)
    frames = [jr.bits(k, (n, 1, *FRAME), jnp.uint8) for k in keys]
    no, zero = jnp.zeros((n, 1), bool), jnp.zeros((n, 1))
    action = jnp.zeros((n, 1), jnp.int32)
    return Transition(frames[0], action, zero, no, no, frames[1])


def save(folder: Path, kept: Ring, step: int) -> tuple[float, float]:
    """Seconds and MB that a checkpoint takes; two are kept."""
    before = {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file()}
    start = time.perf_counter()
    checkpoint.save(folder, kept, meta={"step": step})
    seconds = time.perf_counter() - start
    new = [f for f in folder.rglob("*") if f.is_file() and f not in before]
    return seconds, sum(f.stat().st_size for f in new) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    part = said.steps // 10
    store = Replay(said.steps)
    kept = store.init(jax.tree.map(lambda x: x[0, 0], steps(1, 0)), envs=1)
    add = jax.jit(store.add, donate_argnums=0)
    for i in range(10):
        kept = add(kept, steps(part, i))
    with tempfile.TemporaryDirectory() as home:
        whole = save(Path(home), kept, 0)
        later = []
        for i in range(1, 1 + said.rounds):
            kept = add(kept, steps(part, 10 + i))
            later.append(save(Path(home), kept, i))
    seconds, size = (statistics.median(x) for x in zip(*later, strict=True))
    print(f"{said.steps} steps of {FRAME}, noise: all of it {whole[0]:.1f} s, ", end="")
    print(f"{whole[1]:.0f} MB; a tenth new {seconds:.1f} s, {size:.0f} MB ", end="")
    print(f"(median of {said.rounds})")


if __name__ == "__main__":
    main()
