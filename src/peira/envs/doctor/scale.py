"""What random play shows of observations and rewards: spread, dead entries, scale."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...core import Box
from ..spaces import Leaf
from .findings import Finding
from .patient import Patient
from .play import Episode


SHOWN = 32  # entries of one array that are told one by one
NAMED = 8  # entries that are named in one finding
LARGE, SMALL = 1e3, 1e-3  # of rewards and observations
STILL = 1e-4  # standard deviation of an entry that hardly varies
SCALES = "PPO scales observations itself; for SAC, TD3 and DQN scale them to about 1"


class Spread(NamedTuple):
    """How one number spreads in random play."""

    name: str
    mean: float
    std: float
    min: float
    max: float


def observations(patient: Patient, episodes: Sequence[Episode]) -> list[np.ndarray]:
    """All that was seen and kept, leaf by leaf: `(step, *shape)`."""
    moments = [m for e in episodes for m in e.moments if m.obs]
    return [
        np.stack([m.obs[j] for m in moments])
        for j in range(len(patient.obs.leaves) if moments else 0)
    ]


def spreads(
    patient: Patient, episodes: Sequence[Episode], seen: Sequence[np.ndarray]
) -> list[Spread]:
    """Of every entry of an observation (of a large array, of all its entries
    together), of the reward and of the length of an episode, so far as there were any.
    """
    found = []
    for leaf, x in zip(patient.obs.leaves, seen, strict=False):
        if leaf.ours.size > SHOWN:
            found.append((leaf.name, x))
            continue
        rows = x.reshape(len(x), -1)
        found += [(entry(leaf, i), rows[:, i]) for i in range(leaf.ours.size)]
    found.append(("reward", rewards(episodes)))
    lengths = np.array([len(e.actions) for e in episodes if e.ended])
    found.append(("length of an episode", lengths))
    return [spread(name, x) for name, x in found if np.isfinite(x).any()]


def spread(name: str, x: np.ndarray) -> Spread:
    with np.errstate(all="ignore"):
        x = x[np.isfinite(x)].astype(float)
        return Spread(name, *map(float, (x.mean(), x.std(), x.min(), x.max())))


def entry(leaf: Leaf, i: int) -> str:
    at = ", ".join(map(str, np.unravel_index(i, leaf.shape))) if leaf.shape else ""
    return f"{leaf.name}[{at}]" if at else leaf.name


def rewards(episodes: Sequence[Episode]) -> np.ndarray:
    return np.array([m.reward for e in episodes for m in e.moments[1:]])


def observed(patient: Patient, seen: Sequence[np.ndarray]) -> Iterator[Finding]:
    """Entries that never change, or are very large or nearly still."""
    if not seen or len(seen[0]) < 2:
        return
    leaves = list(zip(patient.obs.leaves, seen, strict=True))
    still = [entry(leaf, i) for leaf, x in leaves for i in constant(leaf, x)]
    steps = f"{len(seen[0]):,} observations of random play"
    if all((x == x[0]).all() for x in seen):
        yield Finding(
            "warning",
            "observation",
            f"all {steps} were the same: nothing is to be seen",
            "show what a choice has to depend on (a bandit has nothing to show)",
        )
        return
    if still:
        yield Finding(
            "note",
            "observation",
            f"never changed in {steps}: {listed(still)}",
            "leave out what never changes, unless only better play would change it",
        )
    floats = [(leaf, x) for leaf, x in leaves if measured(leaf)]
    large = [entry(leaf, i) for leaf, x in floats for i in sized(x, LARGE)]
    if large:
        yield Finding(
            "warning",
            "observation",
            f"beyond {LARGE:g} in size in {steps}: {listed(large)}",
            SCALES,
        )
    tiny = [entry(leaf, i) for leaf, x in floats for i in stiff(x)]
    if tiny:
        yield Finding(
            "note",
            "observation",
            f"varied by less than {STILL:g} in {steps}: {listed(tiny)}",
            SCALES,
        )


def measured(leaf: Leaf) -> bool:
    """Whether it holds quantities, rather than choices or an image."""
    return isinstance(leaf.ours, Box) and not leaf.ours.image


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def constant(leaf: Leaf, x: np.ndarray) -> list[int]:
    """Entries that never change; of boards and images, all or none: their edges may."""
    same = (x == x[0]).reshape(len(x), -1).all(axis=0)
    if len(leaf.shape) > 1 and not same.all():
        return []
    return np.flatnonzero(same).tolist()


def sized(x: np.ndarray, least: float) -> list[int]:
    """Entries of at least this root mean square."""
    with np.errstate(all="ignore"):
        rows = x.reshape(len(x), -1).astype(float)
        rows = np.where(np.isfinite(rows), rows, 0.0)
        return np.flatnonzero(np.sqrt(np.square(rows).mean(axis=0)) >= least).tolist()


def stiff(x: np.ndarray) -> list[int]:
    """Entries that change, but hardly."""
    rows = x.reshape(len(x), -1).astype(float)
    with np.errstate(all="ignore"):
        std = rows.std(axis=0)
    return np.flatnonzero((std < STILL) & (rows != rows[0]).any(axis=0)).tolist()


def rewarded(episodes: Sequence[Episode]) -> Iterator[Finding]:
    """Rewards that say nothing, or are far from one in size."""
    given = rewards(episodes)
    given = given[np.isfinite(given)]
    if not given.size:
        return
    if not given.any():
        yield Finding(
            "warning",
            "reward",
            f"no reward but 0 in {given.size:,} steps of random play",
            "check that the reward is given; if it is only rare, give a denser one or "
            "expect a hard search",
        )
        return
    with np.errstate(over="ignore"):
        size = float(np.sqrt(np.square(given[given != 0]).mean()))
    if not SMALL <= size <= LARGE:
        yield Finding(
            "warning",
            "reward",
            f"rewards other than 0 are {size:.2g} in size (root mean square)",
            "multiply rewards by a constant that brings them near 1; PPO scales them "
            "itself, SAC, TD3 and DQN do not",
        )
    returns = {e.earned for e in episodes if e.ended}
    if len(returns) == 1 and sum(e.ended for e in episodes) > 2:
        yield Finding(
            "note",
            "reward",
            f"every episode of random play returned {returns.pop():.4g}",
            "expect a hard search: chance shows no way to do better",
        )
