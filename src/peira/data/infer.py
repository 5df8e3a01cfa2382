"""The spaces of a dataset that does not declare any, from what is in it.

Numbers of an observation are unbounded; a whole number that stands alone is a choice;
actions are bounded by what was done. It is a guess, and `meta` says so: the environment
knows better.
"""

import dataclasses
from collections import Counter
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ..core import Box, DataFault, Discrete, MultiDiscrete, Space, Spec
from ..core.spaces import fit, narrow
from .blocks import numeric, Reading


MOST = 2**16  # choices; more are no choices
GUESS = (
    "the spaces are a guess from the data (bounds of actions: the least and the "
    "greatest that were seen); name the environment (--env) for the true ones"
)


@dataclasses.dataclass(frozen=True)
class Extent:
    """Kind and range of an array."""

    dtype: np.dtype
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, x: Any, what: str) -> "Extent":
        x = numeric(x, what)
        real = np.where(np.isfinite(x), x, 0) if x.dtype.kind == "f" else x
        return cls(x.dtype, np.asarray(real.min(0)), np.asarray(real.max(0)))

    def widened(self, other: "Extent", what: str) -> "Extent":
        if self.low.shape != other.low.shape:
            raise DataFault(
                f"the {what}s are ragged: shapes {self.low.shape} and {other.low.shape}"
            )
        if self.dtype != other.dtype:
            raise DataFault(
                f"the {what}s are mixed: {self.dtype} in one place, {other.dtype} in "
                "another"
            )
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Extent(self.dtype, np.asarray(low), np.asarray(high))


def settled(source: Reading) -> Reading:
    """The same with its spaces known: it is read through once for that, if need be."""
    if source.spec is not None:
        return source
    obs = action = masked = None
    for block in source.blocks(Counter()):
        obs = extents(obs, block.obs, "observation")
        action = extents(action, block.action, "action")
        masked = None if block.legal is None else block.legal.shape[-1]
    if obs is None:
        raise DataFault("the dataset is empty: it holds no step")
    leaf = lambda x: isinstance(x, Extent)
    acts = jax.tree.map(done, action, is_leaf=leaf)
    if masked and isinstance(acts, Discrete):  # a mask names them all
        acts = Discrete(max(masked, acts.n))
    obs = jax.tree.map(seen, obs, is_leaf=leaf)
    spec = Spec(obs, acts, masked is not None)
    notes = [*source.meta.get("notes", ()), GUESS]
    return dataclasses.replace(source, spec=spec, meta={**source.meta, "notes": notes})


def extents(so_far: PyTree, tree: PyTree, what: str) -> PyTree:
    new = jax.tree.map(lambda x: Extent.of(x, what), tree)
    if so_far is None:
        return new
    leaf = lambda x: isinstance(x, Extent)
    if jax.tree.structure(so_far, is_leaf=leaf) != jax.tree.structure(
        new, is_leaf=leaf
    ):
        raise DataFault(f"the {what}s have other parts in some episodes than in others")
    return jax.tree.map(lambda a, b: a.widened(b, what), so_far, new, is_leaf=leaf)


def seen(x: Extent) -> Space:
    """The space of an observation."""
    alone = x.dtype.kind in "iu" and x.low.shape == () and x.dtype != np.uint8
    if alone and x.low >= 0 and x.high < MOST:
        return Discrete(int(x.high) + 1)
    dtype = narrow(x.dtype)
    if dtype.kind == "f":
        edges = (np.float32(-np.inf), np.float32(np.inf))
    elif x.dtype.kind == "b":
        edges = (0, 1)
    else:
        edges = (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = (np.full(x.low.shape, edge, dtype) for edge in edges)
    return Box(low, high)


def done(x: Extent) -> Space:
    """The space of an action."""
    if x.dtype.kind == "f":
        dtype = narrow(x.dtype)
        low, high = fit(x.low, dtype), fit(x.high, dtype)
        constant = (low == high).astype(dtype)  # a Box needs some width
        return Box(low - constant, high + constant)
    if (x.low < 0).any():
        raise DataFault(
            f"actions are whole numbers down to {int(x.low.min())}: choices count from "
            "zero, numbers are floats"
        )
    if (x.high >= MOST).any():
        raise DataFault(
            f"actions are whole numbers up to {int(x.high.max())}: too many for choices"
        )
    if x.low.shape == ():
        return Discrete(int(x.high) + 1)
    return MultiDiscrete(tuple(int(n) + 1 for n in np.ravel(x.high)))
