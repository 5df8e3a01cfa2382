"""`peira.calibrate`: what a policy earns when it is asked for a return."""

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core import Algorithm
from ..engine.evaluate import evaluation_seed, evaluator
from ..engine.run import Run
from ..envs import shut
from ..evidence.calibration import Calibration, calibration
from .showing import shelf
from .summary import plain_estimate
from .tables import table


def calibrate(
    path: Run | str | Path,
    asked: Sequence[float],
    *,
    episodes: int = 100,
    seed: int = 0,
    env: Any = None,
    algorithm: type[Algorithm] | None = None,
) -> Calibration:
    """Ask the policies at a path for each of some returns, and play whole episodes with
    each: the same episodes for every return. Raises `PeiraError`."""
    found = shelf(path, algorithm)
    if facts := found.policies[0].spec.data:
        for total in asked:
            facts.warn_if_far(f"asked = {total:g}", total)
    world = found.make(env, min(episodes, 10))
    run, own = evaluator(world, episodes=episodes), evaluation_seed(seed, -1)
    play = lambda policy: run(policy, own).returns
    policies = [one.policy for one in found.policies]
    try:
        return calibration(policies, asked, play)
    finally:
        shut(world)


def say(found: Calibration, *, path: str, json: bool) -> None:
    """Print what was asked for and earned, as a table or as JSON."""
    rows = [
        {"asked": float(a), "earned": one, "policies": len(of), "episodes": of.size}
        for a, one, of in zip(found.asked, found.earned, found.returns, strict=True)
    ]
    luck = found.luck
    if json:
        plain = [row | {"earned": plain_estimate(row["earned"])} for row in rows]
        print(jsonlib.dumps({"rows": plain, "over": found.over, "luck": luck}))
        return
    table(rows, title=f"{path}: mean return and its 95 % interval over {found.over}")
    if luck:
        print(luck)
