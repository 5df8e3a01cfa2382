"""A fixed dataset: whole episodes end to end, on the host.

An episode of n steps has n + 1 observations, so a successor is stored once and is
always the true one. Arrays may be memory-mapped: nothing here reads all of them at
once, but for the rewards.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from ..core import Box, DataFault, describe, Facts, is_space, Space, Spec, Transition
from ..core.spaces import choices


COLUMNS = {
    "reward": "f",
    "terminated": "b",
    "truncated": "b",
    "propensity": "f",
    "legal": "b",
}
CHUNK = 2**24  # bytes of one array that are looked at together


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Episodes of one problem, in order.

    Step i of episode e (counted over all episodes) saw row `i + e` of `obs` and led to
    row `i + e + 1`. The last step of an episode is terminated or truncated, no other.
    """

    spec: Spec
    obs: PyTree[Shaped[np.ndarray, "row ..."]]
    action: PyTree[Shaped[np.ndarray, "step ..."]]
    reward: Float[np.ndarray, " step"]
    terminated: Bool[np.ndarray, " step"]
    truncated: Bool[np.ndarray, " step"]
    starts: Int[np.ndarray, " edge"]
    """First step of every episode, and the number of steps."""
    legal: PyTree[Bool[np.ndarray, "row ..."]] | None = None
    propensity: Float[np.ndarray, " step"] | None = None
    """How likely the behaviour was to do what it did: a probability, or a density."""
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Plain JSON: `env` (an id), `env_kwargs`, `recipe`, ..., where known."""

    @property
    def steps(self) -> int:
        return len(self.reward)

    @property
    def episodes(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int[np.ndarray, " episode"]:
        return np.diff(self.starts)

    @property
    def episode(self) -> Int[np.ndarray, " step"]:
        """The episode that each step belongs to."""
        return np.repeat(np.arange(self.episodes), self.lengths)

    @property
    def nbytes(self) -> int:
        """Memory of all of it, in bytes."""
        shelves = (self.obs, self.action, self.legal, self.reward)
        return sum(x.nbytes for x in jax.tree.leaves(shelves)) + 10 * self.steps

    def returns(self) -> Float[np.ndarray, " episode"]:
        """The undiscounted return of every episode."""
        return np.add.reduceat(np.asarray(self.reward, np.float64), self.starts[:-1])

    def gather(self, step: Int[np.ndarray, "*n"]) -> Transition:
        """These steps as transitions `(*n, ...)`, copied."""
        episode = np.searchsorted(self.starts, step, side="right") - 1
        row = step + episode
        take = lambda tree, at: jax.tree.map(lambda x: np.asarray(x[at]), tree)
        return Transition(
            take(self.obs, row),
            take(self.action, step),
            np.asarray(self.reward[step], np.float32),
            np.asarray(self.terminated[step]),
            np.asarray(self.truncated[step]),
            take(self.obs, row + 1),
            take(self.legal, row + 1),
            take(self.legal, row),
        )

    def subset(self, episodes: Int[np.ndarray, " some"]) -> "Dataset":
        """Only these episodes, in this order."""
        ends = [(int(self.starts[e]), int(self.starts[e + 1])) for e in episodes]
        spans = [np.arange(first, end) for first, end in ends]
        step = np.concatenate(spans) if spans else np.zeros(0, int)
        pairs = zip(spans, episodes, strict=True)
        rows = [np.append(s + e, s[-1] + e + 1) for s, e in pairs]
        row = np.concatenate(rows) if rows else np.zeros(0, int)
        take = lambda tree, at: jax.tree.map(lambda x: np.asarray(x[at]), tree)
        return dataclasses.replace(
            self,
            obs=take(self.obs, row),
            action=take(self.action, step),
            reward=np.asarray(self.reward[step]),
            terminated=np.asarray(self.terminated[step]),
            truncated=np.asarray(self.truncated[step]),
            starts=np.concatenate([[0], np.cumsum(self.lengths[episodes])]),
            legal=take(self.legal, row),
            propensity=take(self.propensity, step),
        )

    def facts(self) -> Facts:
        """What an algorithm may know of it in advance."""
        count = 0
        zeros = lambda x: np.zeros(x.shape[1:], np.float64)
        total = jax.tree.map(zeros, self.obs)
        square = jax.tree.map(zeros, self.obs)
        first = jax.tree.map(lambda x: np.asarray(x[0], np.float64), self.obs)
        for row in self._rows():
            seen = jax.tree.map(lambda x, o, r=row: x[r] - o, self.obs, first)
            count += len(row)
            total = jax.tree.map(lambda s, x: s + x.sum(0), total, seen)
            square = jax.tree.map(lambda s, x: s + (x * x).sum(0), square, seen)
        off = jax.tree.map(lambda s: s / count, total)  # from the first: less rounding
        f4 = lambda x: np.asarray(x, np.float32)
        spread = lambda s, m: f4(np.sqrt(np.maximum(s / count - m * m, 0)))
        returns = self.returns()
        return Facts(
            jax.tree.map(lambda o, m: f4(o + m), first, off),
            jax.tree.map(spread, square, off),
            steps=self.steps,
            episodes=self.episodes,
            longest=int(self.lengths.max()),
            best=float(returns.max()),
            worst=float(returns.min()),
        )

    def _rows(self) -> Iterator[Int[np.ndarray, " some"]]:
        """The observations that something was done in, some at a time."""
        row = np.arange(self.steps) + self.episode
        n = portion(self.obs)
        yield from (row[i : i + n] for i in range(0, self.steps, n))

    def fingerprint(self) -> str:
        """SHA-256 of all numbers, whatever file they came from."""
        digest = hashlib.sha256()
        parts = (self.obs, self.action, self.reward, self.terminated, self.truncated)
        for x in jax.tree.leaves((*parts, self.starts, self.legal, self.propensity)):
            digest.update(f"{x.dtype.str}{x.shape}".encode())
            n = portion(x)
            for i in range(0, len(x), n):
                digest.update(np.ascontiguousarray(x[i : i + n]).tobytes())
        return digest.hexdigest()


def portion(tree: PyTree) -> int:
    """Rows that are looked at together: so many bytes of the largest array."""
    widest = max(x.nbytes // max(1, len(x)) for x in jax.tree.leaves(tree))
    return max(1, CHUNK // max(1, widest))


def check(data: Dataset) -> Dataset:
    """The dataset itself; raises `DataFault` where it is not what it says."""
    starts, steps = np.asarray(data.starts), data.steps
    columns = {name: getattr(data, name) for name in COLUMNS}
    check_columns(data.spec, starts, columns)
    check_ends(data.terminated, data.truncated, starts[1:] - 1)
    check_arrays(data.spec.obs, data.obs, steps + data.episodes, "observation")
    check_arrays(data.spec.action, data.action, steps, "action")
    return data


def check_ends(
    terminated: Bool[np.ndarray, " step"],
    truncated: Bool[np.ndarray, " step"],
    ends: Int[np.ndarray, " episode"],
    first: int = 0,
) -> None:
    """Raise `DataFault` unless these steps, and no other, are marked as ends; they are
    counted from `first`."""
    over = np.asarray(terminated) | np.asarray(truncated)
    last = np.zeros(len(over), bool)
    last[ends] = True
    if (over != last).any():
        at = int(np.flatnonzero(over != last)[0])
        wrong = "ends but its episode goes on" if over[at] else "is an end unmarked"
        raise DataFault(f"step {first + at} of the dataset {wrong}")


def check_columns(
    spec: Spec, starts: np.ndarray, columns: Mapping[str, np.ndarray | None]
) -> None:
    """Raise `DataFault` unless the episodes add up and there is one number or flag of
    each kind per step, and a mask per observation."""
    if starts.ndim != 1 or len(starts) < 2 or starts[-1] == 0:
        raise DataFault("the dataset is empty: it holds no step")
    steps, rows = int(starts[-1]), int(starts[-1]) + len(starts) - 1
    if starts[0] != 0 or (np.diff(starts) < 1).any():
        raise DataFault("the episodes of the dataset do not add up to its steps")
    legal = columns.get("legal")
    if spec.masked != (legal is not None):
        raise DataFault("masks are announced but missing, or there unannounced")
    given = {name: x for name, x in columns.items() if x is not None}
    for name, x in given.items():
        shape = (rows, choices(spec.action)) if name == "legal" else (steps,)
        kind = COLUMNS[name]
        if x.shape != shape or x.dtype.kind != kind:
            raise DataFault(
                f"{name} is {x.dtype}{list(x.shape)}, but "
                f"{'float' if kind == 'f' else 'bool'}{list(shape)} is what the "
                "episodes ask for"
            )


def check_arrays(space: PyTree, arrays: PyTree, rows: int, what: str) -> None:
    """Raise `DataFault` unless these are so many items of the space."""
    leaves, shape = jax.tree.flatten(space, is_leaf=is_space)
    found, structure = jax.tree.flatten(arrays)
    if shape != structure:
        raise DataFault(f"the {what}s are {structure}, their space is {shape}")
    for s, x in zip(leaves, found, strict=True):
        check_array(s, x, rows, what)


def check_array(space: Space, x: np.ndarray, rows: int, what: str) -> None:
    if x.shape != (rows, *space.shape):
        raise DataFault(
            f"the {what}s have shape {x.shape}, but {(rows, *space.shape)} is what "
            "the episodes and the space ask for"
        )
    if x.dtype != space.dtype:
        raise DataFault(f"the {what}s are {x.dtype}, their space is {space.dtype}")
    if not isinstance(space, Box):
        n = portion(x)
        for i in range(0, rows, n):
            check_choices(space, x[i : i + n], what, i)


def check_choices(space: Space, x: np.ndarray, what: str, first: int = 0) -> None:
    """Raise `DataFault` naming the first item that is no choice of the space; the items
    are counted from `first`."""
    inside = space.contains(np.asarray(x))
    if not inside.all():
        at = int(np.flatnonzero(~inside)[0])
        raise DataFault(
            f"{what} {first + at} is {np.asarray(x[at]).tolist()}, which is not in "
            f"{describe(space)}"
        )
