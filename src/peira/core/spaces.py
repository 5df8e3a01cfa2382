"""What an observation or an action may be: leaves of a pytree of spaces."""

import abc
import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


class Space(abc.ABC):
    """A set of arrays; dicts and tuples of spaces are pytrees with these as leaves."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]: ...

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype: ...

    @property
    def size(self) -> int:
        """Numbers in one item."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def contains(self, x: np.ndarray) -> np.ndarray:
        """Whether each item of a batch `(*n, *shape)` belongs here: bool `(*n,)`."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """A description from which `from_json` makes an equal space."""


@dataclasses.dataclass(frozen=True, eq=False)
class Box(Space):
    """Arrays with every entry in `[low, high]`; bounds may be infinite."""

    low: np.ndarray
    high: np.ndarray

    def __post_init__(self):
        low, high = np.asarray(self.low), np.asarray(self.high)
        if low.shape != high.shape or low.dtype != high.dtype:
            raise ValueError(f"Box: low is {low.shape}, high is {high.shape}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.low.shape

    @property
    def dtype(self) -> np.dtype:
        return self.low.dtype

    @property
    def bounded(self) -> bool:
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @property
    def image(self) -> bool:
        """Bytes in rows, columns and channels: what a CNN reads."""
        return self.dtype == np.uint8 and len(self.shape) == 3

    def contains(self, x: np.ndarray) -> np.ndarray:
        inside = (x >= self.low) & (x <= self.high)
        return np.all(inside.reshape(*x.shape[: x.ndim - len(self.shape)], -1), axis=-1)

    def to_json(self) -> dict[str, Any]:
        return {
            "space": "Box",
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "low": bound_to_json(self.low),
            "high": bound_to_json(self.high),
        }

    def _form(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.low.tobytes(), self.high.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self._form() == other._form()

    def __hash__(self) -> int:
        return hash(self._form())


@dataclasses.dataclass(frozen=True)
class Discrete(Space):
    """The integers `0 .. n-1`."""

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int32)

    def contains(self, x: np.ndarray) -> np.ndarray:
        return (x >= 0) & (x < self.n)

    def to_json(self) -> dict[str, Any]:
        return {"space": "Discrete", "n": self.n}


@dataclasses.dataclass(frozen=True)
class MultiDiscrete(Space):
    """Vectors of integers, entry i in `0 .. nvec[i]-1`."""

    nvec: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.nvec),)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int32)

    def contains(self, x: np.ndarray) -> np.ndarray:
        return np.all((x >= 0) & (x < np.array(self.nvec)), axis=-1)

    def to_json(self) -> dict[str, Any]:
        return {"space": "MultiDiscrete", "nvec": list(self.nvec)}


@dataclasses.dataclass(frozen=True)
class MultiBinary(Space):
    """Arrays of zeros and ones."""

    sides: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sides

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int8)

    def contains(self, x: np.ndarray) -> np.ndarray:
        binary = (x == 0) | (x == 1)
        return binary.reshape(*x.shape[: x.ndim - len(self.sides)], -1).all(axis=-1)

    def to_json(self) -> dict[str, Any]:
        return {"space": "MultiBinary", "sides": list(self.sides)}


def zeros(space: PyTree) -> PyTree:
    """One item of the space, all zeros (clipped into the bounds of a Box)."""

    def zero(s: Space) -> np.ndarray:
        x = np.zeros(s.shape, s.dtype)
        return np.clip(x, s.low, s.high) if isinstance(s, Box) else x

    return jax.tree.map(zero, space)


def narrow(dtype: np.dtype) -> np.dtype:
    """What JAX holds of a dtype: float32, and no integers wider than int32."""
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    wide = dtype.itemsize > 4 or dtype == np.uint32
    return np.dtype(np.int32) if wide else dtype


def fit(bound: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A bound in another dtype, as far out as that dtype goes."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return bound.astype(dtype)
    edge = np.iinfo(dtype)
    return np.clip(bound, edge.min, edge.max).astype(dtype)


def choices(space: PyTree) -> int:
    """Entries of a mask of legal actions: those of a MultiDiscrete lie end to end."""
    return space.n if isinstance(space, Discrete) else sum(space.nvec)


def bound_to_json(x: np.ndarray) -> str | list[str]:
    """One number when all entries agree."""
    same = x.size > 0 and (x == x.flat[0]).all()
    return str(x.flat[0]) if same else [str(v) for v in x.ravel()]


def to_json(space: PyTree) -> Any:
    """The pytree of spaces as plain JSON."""
    if isinstance(space, Space):
        return space.to_json()
    if isinstance(space, dict):
        return {"dict": {k: to_json(v) for k, v in space.items()}}
    return {"tuple": [to_json(v) for v in space]}


def from_json(data: Any) -> PyTree:
    """The inverse of `to_json`; raises `ValueError` on anything else."""
    match data:
        case {"dict": dict(items)}:
            return {k: from_json(v) for k, v in items.items()}
        case {"tuple": list(items)}:
            return tuple(from_json(v) for v in items)
        case {"space": "Box", "shape": s, "dtype": d, "low": low, "high": high}:
            dtype = np.dtype(d)

            def side(x: Any) -> np.ndarray:
                kind = float if dtype.kind == "f" else int
                flat = [kind(v) for v in ([x] if isinstance(x, str) else x)]
                return np.broadcast_to(
                    np.array(flat, dtype)
                    if len(flat) == 1
                    else np.array(flat, dtype).reshape(s),
                    tuple(s),
                )

            return Box(side(low), side(high))
        case {"space": "Discrete", "n": int(n)}:
            return Discrete(n)
        case {"space": "MultiDiscrete", "nvec": nvec}:
            return MultiDiscrete(tuple(int(n) for n in nvec))
        case {"space": "MultiBinary", "sides": sides}:
            return MultiBinary(tuple(int(n) for n in sides))
    raise ValueError(f"not a space: {str(data)[:80]}")
