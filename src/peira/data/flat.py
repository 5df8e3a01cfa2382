"""From rows, one per step, to whole episodes with their true last observations.

An episode ends where a flag says so, where the number of the episode changes, and where
the next observation is not what the next row saw. Its last row leads to the next
observation, where that is known. Where it is not, a truncated episode gives up its last
step (a step without its successor cannot be learned from), and a terminated one, whose
successor nobody bootstraps from, shows its last observation twice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int, PyTree, Shaped

from ..core import DataFault
from .blocks import Block, column, flag


NEAR = {"rtol": 1e-5, "atol": 1e-6}  # two roundings of one number


class Rows(NamedTuple):
    """Steps in order, as a flat file has them."""

    seen: PyTree[Shaped[np.ndarray, "row ..."]]
    """Observation, and the mask of legal actions or None."""
    action: PyTree[Shaped[np.ndarray, "row ..."]]
    reward: Shaped[np.ndarray, " row"]
    terminated: Bool[np.ndarray, " row"]
    truncated: Bool[np.ndarray, " row"]
    told: Bool[np.ndarray, " row"]
    """Where `led` is known."""
    led: PyTree[Shaped[np.ndarray, "row ..."]] | None
    """What was seen next, like `seen`; None where no row says."""
    number: Shaped[np.ndarray, " row"] | None
    """Of the episode."""
    propensity: Shaped[np.ndarray, " row"] | None

    def part(self, at: slice) -> "Rows":
        return jax.tree.map(lambda x: x[at], self)


def rows(
    seen: PyTree,
    action: PyTree,
    reward: np.ndarray,
    terminated: np.ndarray | None,
    truncated: np.ndarray | None,
    *,
    led: PyTree | None = None,
    told: np.ndarray | None = None,
    number: np.ndarray | None = None,
    propensity: np.ndarray | None = None,
    first: int = 0,
) -> Rows:
    """Rows of which some columns may be missing; raises `DataFault` where those that
    are there are not equally long. `first` is the number of the first of them."""
    n = len(reward)
    for x in jax.tree.leaves((seen, action, terminated, truncated, led, propensity)):
        if len(x) != n:
            raise DataFault(f"the columns are not equally long: {len(x)} and {n} rows")
    none = np.zeros(n, bool)
    told = ~none if told is None and led is not None else told
    return Rows(
        seen,
        action,
        column(reward, "reward"),
        none if terminated is None else flag(terminated, "terminated", first),
        none if truncated is None else flag(truncated, "truncated", first),
        none if told is None else told,
        led,
        number,
        propensity,
    )


def episodes(chunks: Iterable[Rows], done: Counter[str]) -> Iterator[Block]:
    """Whole episodes out of rows that come in any portions; counts what was done to
    them. Raises `DataFault` for episodes that are interleaved."""
    rest: Rows | None = None
    over: set[Any] = set()
    for chunk in chunks:
        rest = chunk if rest is None else joined(rest, chunk)
        if len(rest.reward) < 2:
            continue
        ends = np.flatnonzero(boundaries(rest, done))
        if len(ends):
            n = int(ends[-1]) + 1
            yield from cut(rest.part(slice(n)), ends, done, over)
            rest = rest.part(slice(n, None))
    if rest is not None and len(rest.reward):
        yield from cut(rest, np.array([len(rest.reward) - 1]), done, over)


def joined(a: Rows, b: Rows) -> Rows:
    if jax.tree.structure(a) != jax.tree.structure(b):
        raise DataFault("some rows have columns that others lack")
    return jax.tree.map(lambda x, y: np.concatenate([x, y]), a, b)


def boundaries(rows: Rows, done: Counter[str]) -> Bool[np.ndarray, " row"]:
    """The last rows of episodes, but for the very last row, of which only its flags are
    known yet."""
    ends = rows.terminated | rows.truncated
    if rows.number is not None:
        new = rows.number[1:] != rows.number[:-1]
        within = np.flatnonzero(ends[:-1] & ~new)
        if len(within):
            raise DataFault(
                f"episode {rows.number[within[0]]} goes on after its end; the numbers "
                "of the episodes and their flags do not agree"
            )
        ends[:-1] |= new
    if rows.led is not None:
        gap = rows.told[:-1] & ~ends[:-1] & ~meets(rows)
        done["gaps"] += int(gap.sum())
        ends[:-1] |= gap
    return ends


def meets(rows: Rows) -> Bool[np.ndarray, " pair"]:
    """Whether what a row led to is what the next row saw."""
    good = np.ones(len(rows.reward) - 1, bool)
    pairs = zip(jax.tree.leaves(rows.led), jax.tree.leaves(rows.seen), strict=True)
    for led, seen in pairs:
        x, y = led[:-1], seen[1:]
        real = x.dtype.kind == "f"
        same = np.isclose(x, y, equal_nan=True, **NEAR) if real else x == y
        good &= same.reshape(len(same), -1).all(1)
    return good


def cut(
    rows: Rows, ends: Int[np.ndarray, " episode"], done: Counter[str], over: set[Any]
) -> Iterator[Block]:
    """The rows as episodes that end at `ends`, the last of which is the last row;
    nothing where none is left. `over` are the numbers of those that were before."""
    if rows.number is not None:
        for number in rows.number[ends].tolist():
            if number in over:
                raise DataFault(
                    f"episode {number} comes back after another: its rows must stand "
                    "together"
                )
            over.add(number)
    told, terminated = rows.told[ends], rows.terminated[ends]
    marked = terminated | rows.truncated[ends]
    lengths = np.diff(ends, prepend=-1)
    drop = ~told & ~terminated
    lost = drop & (lengths == 1)
    done["unmarked"] += int((~marked).sum())
    done["dropped"] += int((drop & ~lost).sum())
    done["lost"] += int(lost.sum())
    done["repeated"] += int((~told & terminated).sum())

    truncated = rows.truncated.copy()
    truncated[ends[~marked]] = True
    truncated[ends[drop & ~lost] - 1] = True
    kept = np.ones(len(rows.reward), bool)
    kept[ends[drop]] = False
    seen = np.ones(len(rows.reward), bool)
    seen[ends[lost]] = False
    last = ends[~drop]

    at = np.cumsum(seen)[last]  # where the rows that are gone are gone

    def with_last(x: np.ndarray, led: np.ndarray | None = None) -> np.ndarray:
        final = x[last]
        if led is not None:
            known = told[~drop].reshape(-1, *[1] * (x.ndim - 1))
            final = np.where(known, led[last], final)
            if (final.astype(x.dtype) != final).any() and x.dtype.kind != "f":
                raise DataFault(
                    f"observations are {x.dtype}, but next observations {led.dtype}"
                )
        return np.insert(x[seen], at, final, axis=0)

    parts = (rows.seen,) if rows.led is None else (rows.seen, rows.led)
    obs, legal = jax.tree.map(with_last, *parts)
    pick = lambda tree: jax.tree.map(lambda x: x[kept], tree)
    if kept.any():
        yield Block(
            obs,
            pick(rows.action),
            pick(rows.reward),
            rows.terminated[kept],
            truncated[kept],
            (lengths - drop)[~lost],
            legal,
            pick(rows.propensity),
        )
