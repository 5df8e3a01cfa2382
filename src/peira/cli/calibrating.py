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
    earned = [plain_estimate(one) for one in found.earned]
    rows = [
        {"asked": float(a), "earned": told, "policies": len(of), "episodes": of.size}
        for a, told, of in zip(found.asked, earned, found.returns, strict=True)
    ]
    if json:
        told = {"rows": rows, "over": found.over, "luck": found.luck}
        print(jsonlib.dumps(told))
        return
    shown = zip(rows, found.earned, strict=True)
    title = f"{path}: mean return and its 95 % interval over {found.over}"
    table([row | {"earned": one} for row, one in shown], title=title)
    if found.luck:
        print(found.luck)
