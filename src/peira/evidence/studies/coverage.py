"""How much of its world a training has seen: the share of the cells of a grid that it
has been in.

The grid cuts every entry of an observation between its bounds. What counts are the
observations that the replay holds at the end, and so those of acting to learn, random
ones before the first update included; evaluations leave nothing there. Cells that
nobody can reach count as never seen.
"""

import math

import numpy as np
from jaxtyping import Shaped

from ...core import BadConfig, Box
from ...data import Replay
from ...engine.loop import Beat
from ...engine.problem import Problem
from ...engine.run import Run
from ..lives import lives
from ..work import Work


COVERAGE = "coverage"
Parts = tuple[int, ...]


def covered(obs: Shaped[np.ndarray, "step ..."], space: Box, parts: Parts) -> float:
    """The share of cells in which at least one of the observations lies; a bound
    belongs to the cell beside it."""
    cut = np.asarray(parts)
    used = np.flatnonzero(cut > 1)
    low, high = (np.ravel(x)[used].astype(float) for x in (space.low, space.high))
    seen = obs.reshape(len(obs), -1)[:, used].astype(float)
    place = np.floor(cut[used] * (seen - low) / (high - low)).astype(int)
    place = np.clip(place, 0, cut[used] - 1)
    return len(np.unique(place, axis=0)) / math.prod(parts)


def check_grid(beat: Beat, task: str, parts: Parts) -> None:
    """Raise `BadConfig` where coverage cannot be counted."""
    space, store = beat.spec.obs, beat.store
    where = f"Study.grid on {task}"
    if not isinstance(space, Box) or len(parts) != space.size:
        raise BadConfig(
            f"{where}: say for each entry of an observation into how many parts it is "
            "cut, 1 for those that do not count"
        )
    cut = np.asarray(parts) > 1
    bounds = np.concatenate([np.ravel(space.low)[cut], np.ravel(space.high)[cut]])
    if not cut.any() or not np.isfinite(bounds).all():
        raise BadConfig(f"{where}: cut an entry that has bounds, and no other")
    steps = beat.blocks * beat.stride
    if not isinstance(store, Replay) or store.capacity < steps:
        raise BadConfig(
            f"{where}: coverage is counted in a uniform replay that has room for all "
            f"{steps} steps; raise capacity"
        )


def coverage(work: Work, run: Run, parts: Parts) -> float:
    """Of a finished training. Raises `PeiraError`."""
    problem = Problem(
        work.learner, work.env, work.plan, work.algorithm, work.env_kwargs
    )
    (seed,) = run.seeds
    beat, (life,) = lives(problem, run, seed, run.reached)
    check_grid(beat, str(work.env), parts)
    space, kept = beat.spec.obs, life.kept
    rows = int(kept.filled)
    both = [
        np.asarray(x)[:rows].reshape(-1, space.size)
        for x in (kept.data.obs, kept.data.next_obs)
    ]
    return covered(np.concatenate(both), space, parts)
