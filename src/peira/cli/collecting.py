"""The verb that plays a policy and keeps what it saw, in Python."""

import itertools
from pathlib import Path
from typing import Any

from ..core import Algorithm, BadConfig, Env
from ..data import Dataset, read
from ..data.blocks import Reading
from ..data.read import hand_on
from ..engine.collect import episodes as play, first_steps, TOGETHER, Uniform
from ..engine.run import Run
from ..envs import Hosted, make, shut
from .showing import shelf
from .training import env_name


def collect(
    policy: Run | str | Path | None,
    out: str | Path,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    env: Any = None,
    stochastic: bool = False,
    seed: int = 0,
    to: str = "native",
    algorithm: type[Algorithm] | None = None,
) -> Dataset:
    """Play a policy, of a run the first seed's, and write its episodes: so many, or
    so many steps, the last episode then being cut off. `policy` None acts at random.

    Greedy, unless `stochastic`. The propensity is kept of random actions, and of
    choices that a stochastic policy tells the probability of (PPO). Raises `PeiraError`
    with nothing written.
    """
    if (episodes is None) == (steps is None):
        raise BadConfig("collect: say how many episodes, or how many steps")
    most = episodes or steps or 0
    if most < 1 or seed < 0:
        raise BadConfig(f"collect: {most} episodes or steps, seed {seed}: too few")
    if policy is None and env is None:
        raise BadConfig("random play needs an environment (--env)")
    side = min(TOGETHER, episodes or TOGETHER)
    if policy is None:
        world, kwargs, meta = make(env, envs=side), {}, {"policy": "random"}
        actor = Uniform(world.spec.action)
    else:
        found = shelf(policy, algorithm)
        world = found.make(env, side)
        config = found.run.config if found.run and env is None else {}
        env, kwargs = config.get("env", env), config.get("env_kwargs", {})
        one = found.policies[0]
        meta = {"policy": one.name, "learned": dict(one.meta), "stochastic": stochastic}
        actor = one.policy
    try:
        meta |= {"env": env_name(env), "env_kwargs": kwargs, "seed": seed}
        source = kept(actor, world, meta, episodes, steps, seed, stochastic)
        hand_on(source, Path(out), to)
    finally:
        shut(world)
    return read(out, spec=world.spec)


def kept(
    actor: Any,
    world: Env | Hosted,
    meta: dict[str, Any],
    episodes: int | None,
    steps: int | None,
    seed: int,
    explore: bool,
) -> Reading:
    """What is played, as something to be written."""

    def blocks(done: Any) -> Any:
        each = play(actor, world, seed=seed, explore=explore)
        return first_steps(each, steps) if steps else itertools.islice(each, episodes)

    return Reading("played", world.spec, blocks, meta)
