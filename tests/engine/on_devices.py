"""What several devices compute beside what one does, said as one line of JSON; run by
`test_devices.py`, in a process that has four of them."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from peira import algos
from peira.core import BadConfig
from peira.data import Dataset
from peira.engine.devices import deal
from peira.engine.from_data import beat_from, FromData, size
from peira.engine.loop import beat
from peira.engine.plan import Plan
from peira.engine.trainer import loop
from peira.envs import make


sys.path.insert(0, str(Path(__file__).parent.parent / "algos"))
from tiny_data import rates


PPO = algos.get("ppo")(hidden=(4,), rollout=8, minibatches=2, epochs=1)
SAC = algos.get("sac")(hidden=(128, 128), batch=64, warmup=64)
BC = algos.get("bc")(hidden=(8,), batch=32)
CARTPOLE, PENDULUM = make("CartPole-v1"), make("Pendulum-v1")
DATA = rates(np.linspace(0.1, 1, 9))


def run(algorithm: Any, world: Any, seeds: tuple[int, ...], devices: int) -> Any:
    """The loop after some updates."""
    plan = Plan(steps=10_000, seeds=seeds, devices=devices)
    if isinstance(world, Dataset):
        counted = beat_from(algorithm, world, plan)
    else:
        counted = beat(algorithm, world.spec, plan, envs=type(algorithm).actors)
    made = loop(world, counted, seeds, plan)
    if counted.warmup:
        made.advance(counted.warmup)
    made.advance(5)
    return made


def apart(a: Any, i: int, b: Any, j: int) -> float:
    """The largest difference between what two seeds have learned."""
    one, two = (jax.tree.leaves(x.learner(k)) for x, k in ((a, i), (b, j)))
    numbers = [
        x for x in zip(one, two, strict=True) if x[0].dtype == np.float32 and x[0].size
    ]
    return max(float(abs(np.asarray(x) - np.asarray(y)).max()) for x, y in numbers)


def compared(algorithm: Any, world: Any) -> dict[str, Any]:
    """A pair of seeds on one device, beside the same with another pair on a second
    device, and beside the same on two devices each."""
    pair = run(algorithm, world, (0, 1), 1)
    seeds = run(algorithm, world, (0, 1, 2, 3), 2)
    batches = run(algorithm, world, (0, 1), 4)
    return {
        "seeds": max(apart(pair, i, seeds, i) for i in (0, 1)),
        "batches": max(apart(pair, i, batches, i) for i in (0, 1)),
        "devices": [devices(seeds), devices(batches)],
    }


def alone(algorithm: Any, world: Any) -> float:
    """A seed by itself, beside the same with three others on a device each."""
    one, four = (run(algorithm, world, s, len(s)) for s in ((2,), (0, 1, 2, 3)))
    assert devices(four) == 4
    return apart(one, 0, four, 2)


def devices(made: Any) -> int:
    """How many hold what is learned."""
    return len(set().union(*(x.devices() for x in jax.tree.leaves(made.life))))


def uneven() -> str:
    """What is said of a batch that four devices cannot share."""
    try:
        run(dataclasses.replace(BC, batch=30), DATA, (0,), 4)
    except BadConfig as refused:
        return str(refused)
    return ""


def resumed() -> float:
    """Four seeds saved on one device and taken up on four."""
    old = run(BC, DATA, (0, 1, 2, 3), 1)
    new = run(BC, DATA, (0, 1, 2, 3), 4)
    new.advance(1)
    new.restore([old.save(i) for i in range(4)])
    assert devices(new) == 4
    return max(apart(old, i, new, i) for i in range(4))


def stays() -> bool:
    """Whether what comes out of a program lies where it lay: the next time it is the
    same program."""
    plan = Plan(steps=10_000, seeds=(0, 1, 2, 3), devices=4)
    counted = beat(PPO, CARTPOLE.spec, plan, envs=type(PPO).actors)
    made = loop(CARTPOLE, counted, plan.seeds, plan)
    before = [x.sharding for x in jax.tree.leaves(made.life)]
    made.advance(1)
    return before == [x.sharding for x in jax.tree.leaves(made.life)]


def streamed() -> dict[str, Any]:
    """Whether copies of a dataset on four devices must fit together, and what is
    learned where they do not."""
    seeds = (0, 1, 2, 3)
    plan = Plan(steps=10_000, seeds=seeds, devices=4)
    counted = beat_from(BC, DATA, plan)._replace(where=deal(plan, seeds, DATA))
    each = size(counted.store.shelve(DATA))
    over, under = (
        FromData(counted, DATA, seeds, resident=4 * each - less) for less in (1, 0)
    )
    over.advance(5)
    under.advance(5)
    return {"streams": [over.streams, under.streams], "apart": apart(over, 2, under, 2)}


if __name__ == "__main__":
    assert jax.device_count() == 4
    what = {"ppo": (PPO, CARTPOLE), "sac": (SAC, PENDULUM), "bc": (BC, DATA)}
    found = {
        "alone": {name: alone(*case) for name, case in what.items()},
        "compared": {name: compared(*what[name]) for name in ("ppo", "bc")},
        "uneven": uneven(),
        "resumed": resumed(),
        "stays": stays(),
        "streamed": streamed(),
    }
    print(json.dumps(found))
