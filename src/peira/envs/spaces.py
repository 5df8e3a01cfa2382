"""Between Gymnasium's spaces and ours.

A space becomes a pytree of our spaces and a flat list of leaves, in the order of
`jax.tree.leaves`. Floats become float32, wide integers int32, choices count from zero;
bytes stay bytes.
"""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from gymnasium import spaces as theirs
from jaxtyping import PyTree

from ..core import (
    BadConfig,
    Box,
    Discrete,
    EnvironmentFault,
    MultiBinary,
    MultiDiscrete,
    Space,
)
from ..core.spaces import fit, narrow


MOST = float(np.finfo(np.float32).max)
ROUNDING = 1e-5  # of a bound, or absolute below 1


class Leaf:
    """One array of an observation or an action."""

    def __init__(self, name: str, path: tuple[Any, ...], space: Any, ours: Space):
        self.name, self.path, self.ours = name, path, ours
        self.shape, self.dtype = tuple(space.shape), np.dtype(space.dtype)
        self.start = getattr(space, "start", 0)
        self._shifted = bool(np.any(self.start))
        self.low, self.high = limits(space)

    def pick(self, x: Any) -> np.ndarray:
        """This leaf of an item or of a batch."""
        try:
            for key in self.path:
                x = x[key]
            return np.asarray(x)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EnvironmentFault(f"{self.name} is missing ({error})") from error

    def take(self, x: Any) -> np.ndarray:
        """This leaf of what an environment gave, as it gave it."""
        x = self.pick(x)
        if x.shape != self.shape:
            raise EnvironmentFault(
                f"{self.name} has shape {x.shape}, its space says {self.shape}"
            )
        if x.dtype != self.dtype:
            if not np.can_cast(x.dtype, self.dtype, "same_kind"):
                raise EnvironmentFault(
                    f"{self.name} is {x.dtype}, its space says {self.dtype}"
                )
            with np.errstate(over="ignore"):
                x = x.astype(self.dtype)
        return x

    def loosen(self, *, entirely: bool) -> None:
        """Allow floats the rounding of their bounds, or any finite value."""
        if self.dtype.kind == "f":
            low, high = (-MOST, MOST) if entirely else (self.low, self.high)
            slack = [ROUNDING * np.clip(np.abs(x), 1, 1e9) for x in (low, high)]
            self.low = np.maximum(low - slack[0], -MOST)
            self.high = np.minimum(high + slack[1], MOST)

    def check(self, rows: np.ndarray) -> tuple[int, str] | None:
        """The first row that is not in the space, and why."""
        if self.low is None:  # the whole range of its dtype
            return None
        inside = (rows >= self.low) & (rows <= self.high)
        if inside.all():
            return None
        row, *at = (int(i) for i in np.argwhere(~inside)[0])
        value = rows[(row, *at)]
        place = f"[{', '.join(map(str, at))}]" if at else ""
        if not np.isfinite(value):
            return row, f"{self.name}{place} = {value} is not finite"
        low, high = (
            np.broadcast_to(x, self.shape)[tuple(at)] for x in (self.low, self.high)
        )
        return row, f"{self.name}{place} = {value} is outside [{low:.4g}, {high:.4g}]"

    def enter(self, rows: np.ndarray) -> np.ndarray:
        """From their rows to ours."""
        if self._shifted:
            rows = rows - self.start
        return rows.reshape(-1, *self.ours.shape).astype(self.ours.dtype, copy=False)

    def leave(self, rows: np.ndarray) -> np.ndarray:
        """From our rows to theirs; numbers are held within their bounds, which
        rounding may have passed."""
        rows = np.asarray(rows).reshape(-1, *self.shape)
        if isinstance(self.ours, Box):
            if self.dtype.kind != "f":
                rows = np.rint(rows)
            if self.low is not None:
                rows = np.minimum(np.maximum(rows, self.low), self.high)
            return rows.astype(self.dtype, copy=False)
        return rows.astype(self.dtype) + self.start


class Port:
    """One of Gymnasium's spaces and ours for it."""

    def __init__(self, space: Any, name: str, owner: str):
        self.theirs = space
        self.leaves: list[Leaf] = []
        self.space = self._translate(space, name, (), owner)
        marks = jax.tree.map(
            lambda _: 0, self.space, is_leaf=lambda x: isinstance(x, Space)
        )
        self._tree = jax.tree.structure(marks)

    def _translate(
        self, space: Any, name: str, path: tuple[Any, ...], owner: str
    ) -> PyTree:
        if isinstance(space, theirs.Dict):
            return {
                k: self._translate(space[k], f"{name}[{k!r}]", (*path, k), owner)
                for k in sorted(space.spaces)
            }
        if isinstance(space, theirs.Tuple):
            return tuple(
                self._translate(s, f"{name}[{i}]", (*path, i), owner)
                for i, s in enumerate(space.spaces)
            )
        ours = translate(space)
        if ours is None:
            raise BadConfig(
                f"{owner}: its {name} is a {type(space).__name__} space; served are "
                "Box, Discrete, MultiBinary, MultiDiscrete, and Dict and Tuple of them"
            )
        self.leaves.append(Leaf(name, path, space, ours))
        return ours

    def require_bounds(self, owner: str) -> None:
        """Refuse a Box whose bounds are infinite."""
        for leaf in self.leaves:
            if isinstance(leaf.ours, Box) and not leaf.ours.bounded:
                raise BadConfig(
                    f"{owner}: its {leaf.name} has infinite bounds; give its Box a "
                    "finite low and high"
                )

    def take(self, x: Any) -> list[np.ndarray]:
        """What an environment gave, leaf by leaf."""
        return [leaf.take(x) for leaf in self.leaves]

    def tree(self, leaves: list[np.ndarray]) -> PyTree:
        """Our batch out of a batch of each leaf."""
        ours = [leaf.enter(x) for leaf, x in zip(self.leaves, leaves, strict=True)]
        return jax.tree.unflatten(self._tree, ours)

    def batches(self, tree: PyTree) -> tuple[np.ndarray, ...]:
        """Their batch of each leaf, out of our batch."""
        ours = self._tree.flatten_up_to(tree)
        return tuple(leaf.leave(x) for leaf, x in zip(self.leaves, ours, strict=True))

    def rows(self, tree: PyTree) -> list[Any]:
        """What each environment wants, out of our batch."""
        return [self.build(row) for row in zip(*self.batches(tree), strict=True)]

    def build(self, row: tuple[Any, ...]) -> Any:
        """One item of their space out of its leaves."""
        return build(self.theirs, iter(row))


def build(space: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(space, theirs.Dict):
        return {k: build(space[k], leaves) for k in sorted(space.spaces)}
    if isinstance(space, theirs.Tuple):
        return tuple(build(s, leaves) for s in space.spaces)
    return next(leaves)


def translate(space: Any) -> Space | None:
    """Our space for one of theirs that is a leaf, if there is one."""
    match space:
        case theirs.Box():
            dtype = narrow(space.dtype)
            return Box(fit(space.low, dtype), fit(space.high, dtype))
        case theirs.Discrete():
            return Discrete(int(space.n))
        case theirs.MultiDiscrete():
            return MultiDiscrete(tuple(int(n) for n in space.nvec.ravel()))
        case theirs.MultiBinary():
            return MultiBinary(tuple(space.shape))
    return None


def limits(space: Any) -> tuple[Any, Any]:
    """The least and the greatest value of each entry, in their numbers; `None` twice
    when any value of the dtype will do."""
    match space:
        case theirs.Discrete():
            return space.start, space.start + space.n - 1
        case theirs.MultiDiscrete():
            return space.start, space.start + space.nvec - 1
        case theirs.MultiBinary():
            return 0, 1
    low, high = space.low, space.high
    if space.dtype.kind == "f":
        wide = np.promote_types(space.dtype, np.float64)  # room for float32's ends
        return np.maximum(low.astype(wide), -MOST), np.minimum(high.astype(wide), MOST)
    if space.dtype.kind == "b":
        return None, None
    edge, ours = np.iinfo(space.dtype), np.iinfo(narrow(space.dtype))
    if edge == ours and (low == edge.min).all() and (high == edge.max).all():
        return None, None
    return np.maximum(low, ours.min), np.minimum(high, ours.max)
