"""Where the time of a run goes: measured on a short piece of it, which is thrown away,
and counted up to the whole.

The parts are waited for one after another, so what overlaps in a real run is counted
in full.
"""

import dataclasses
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..core import Env
from ..data import Dataset
from ..envs import Hosted, shut
from .compiled import Compiled
from .cost import Cost, of_update
from .problem import Problem
from .run import Run
from .trainer import Trainer


ROUNDS = 3  # of each measurement; the median counts
SIDE = 1024  # of the matrices whose product tells the peak
NEVER = 2**40  # blocks of warming up
ADVICE = {
    "environment": "steps of environments can be taken in processes (--processes), or "
    "while the last block is learned from (--overlap)",
    "acting": "one dispatch serves all environments: more of them (--envs)",
    "playing": "the world's own arithmetic: more environments side by side (--envs) "
    "cost less each",
    "keeping": "larger blocks (--block) are kept in one piece",
    "evaluation": "evaluate less often (--evaluate-every) or shorter (--episodes)",
    "checkpoints": "save less often (--checkpoint-every)",
    "compiling": "the same programs are found compiled the next time; several --seeds "
    "share one",
    "python": "larger blocks (--block) leave Python less often in between",
}
IDLE = 0.3  # share of the peak below which an update is not bound by arithmetic
SMALL = "the networks are too small to keep the machine busy: several --seeds at once "
SMALL += "cost little more than one"
BUSY = "near what the machine can multiply: smaller networks or batches, or another "
BUSY += "machine"


class Profile(NamedTuple):
    """The seconds of every part in the whole run, and how well updates use the
    machine."""

    parts: Mapping[str, float]
    update: Cost
    busy: float
    """FLOP per second of the updates, as a share of a large matrix product's."""

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def advice(self) -> str:
        """What the largest part is, and what may be done about it."""
        part = max(self.parts, key=lambda name: self.parts[name])
        if part == "updates":
            return f"updates: {SMALL if self.busy < IDLE else BUSY}"
        return f"{part}: {ADVICE[part]}"


def profile(problem: Problem, config: Mapping[str, Any], *, most: float) -> Profile:
    """Measure each part for about so many seconds at most. Of a host environment, one
    seed: the others run beside it. Raises `PeiraError`."""
    world, beat = problem.open()
    seeds = problem.plan.seeds
    if isinstance(world, Hosted):
        seeds = seeds[:1]
    one = problem._replace(plan=dataclasses.replace(problem.plan, seeds=seeds))
    with tempfile.TemporaryDirectory() as home:
        run = Run.create(Path(home) / "run", dict(config))
        trainer = Trainer(one, world, beat, run, seeds, ())
        try:
            parts = around(trainer, most)
        finally:
            trainer.loop.close()
            shut(trainer.arena)
    cost = of_update(beat.algorithm, beat.spec, envs=beat.envs)
    made = max(0, beat.blocks - beat.warmup) * beat.updates * len(seeds)
    speed = cost.flops * made / parts["updates"] if parts["updates"] else 0.0
    return Profile(parts, cost, speed / peak())


def around(trainer: Trainer, most: float) -> dict[str, float]:
    """The parts of a whole run, the largest first."""
    beat, loop = trainer.beat, trainer.loop
    compiling = 0.0
    if beat.warmup:
        compiling += clock(lambda: loop.advance(beat.warmup))
    compiling += clock(lambda: loop.advance(1))
    steady, spent = inside(trainer, most)
    parts = {name: seconds * beat.blocks for name, seconds in spent.items()}
    compiling = max(0.0, compiling - steady * (1 + beat.warmup))
    for name, what, every in (
        ("evaluation", trainer.evaluate, trainer.schedule.evaluate),
        ("checkpoints", trainer.save, trainer.schedule.checkpoint),
    ):
        first, then = clock(what), clock(what)
        compiling += max(0.0, first - then)
        parts[name] = then * -(-beat.blocks // every)
    parts["compiling"] = compiling
    return dict(sorted(parts.items(), key=lambda x: -x[1]))


def inside(trainer: Trainer, most: float) -> tuple[float, dict[str, float]]:
    """What a block takes, and what its parts do."""
    beat, world, loop = trainer.beat, trainer.world, trainer.loop
    if isinstance(world, Hosted):
        return hosted(trainer, most)
    whole = per_block(loop.advance, most)
    if isinstance(world, Dataset):
        return whole, {"updates": whole}
    assert isinstance(world, Env)
    playing = Compiled(beat._replace(warmup=NEVER), world, trainer.seeds)
    playing.advance(1)
    played = min(whole, per_block(playing.advance, most))
    return whole, {"playing": played, "updates": whole - played}


def hosted(trainer: Trainer, most: float) -> tuple[float, dict[str, float]]:
    """The same where every step goes through Python."""
    loop: Any = trainer.loop
    spent: dict[str, float] = defaultdict(float)
    for owner, name, part in (
        (loop, "_act", "acting"),
        (loop, "_add", "keeping"),
        (loop, "_learn", "updates"),
        (loop.env, "step", "environment"),
    ):
        setattr(owner, name, timed(getattr(owner, name), spent, part))
    blocks = enough(loop.advance, most)
    spent.clear()
    total = clock(lambda: loop.advance(blocks))
    each = {part: seconds / blocks for part, seconds in spent.items()}
    each["python"] = max(0.0, total / blocks - sum(each.values()))
    return total / blocks, {"updates": 0.0} | each


def timed(f: Callable, spent: dict[str, float], part: str) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        out = jax.block_until_ready(f(*args, **kwargs))
        spent[part] += time.perf_counter() - start
        return out

    return run


def per_block(advance: Callable[[int], Any], most: float) -> float:
    """Seconds."""
    blocks = enough(advance, most / ROUNDS)
    return statistics.median(
        clock(lambda: advance(blocks)) / blocks for _ in range(ROUNDS)
    )


def enough(advance: Callable[[int], Any], seconds: float) -> int:
    """Blocks that take about half of so long."""
    blocks = 1
    while clock(lambda n=blocks: advance(n)) < seconds / 4:
        blocks *= 2
    return blocks


def clock(do: Callable[[], Any]) -> float:
    """How long something takes, in seconds."""
    start = time.perf_counter()
    jax.block_until_ready(do())
    return time.perf_counter() - start


def peak() -> float:
    """FLOP per second of a large product of matrices in 32 bits."""
    x = jnp.ones((SIDE, SIDE))
    product = jax.jit(jnp.matmul)
    clock(lambda: product(x, x))
    return 2 * SIDE**3 / min(clock(lambda: product(x, x)) for _ in range(5))
