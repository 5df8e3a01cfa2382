"""The cheap and fatal part, of every number: not finite, outside, forbidden."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int, PyTree, Shaped

from ...core import Box, Discrete, is_space, MultiBinary, MultiDiscrete, Space
from ..dataset import Dataset
from .findings import Finding, found


PORTION = 65_536  # items that are looked at together
ROUNDING = 1e-4  # of the range of a bounded number


def fatal(data: Dataset) -> Iterator[Finding]:
    """What nobody should train on; one pass over a dataset of sound structure."""
    yield from not_finite(data)
    yield from outside(data)
    yield from illegal(data)
    yield from unlikely(data)


def named(what: str, tree: PyTree) -> Iterator[tuple[str, Any]]:
    """Every leaf of a pytree under its name."""
    for path, x in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_space):
        yield what + jax.tree_util.keystr(path), x


def step_of(data: Dataset, row: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The step that saw a row of observations, or at an end the one that led there."""
    first = data.starts[:-1] + np.arange(data.episodes)
    episode = np.searchsorted(first, row, side="right") - 1
    return np.minimum(row - episode, data.starts[episode + 1] - 1)


def which(x: Shaped[np.ndarray, "n ..."], wrong: Any) -> Int[np.ndarray, " some"]:
    """The items of a long array in which some number is wrong, read in portions."""
    hits = []
    for i in range(0, len(x), PORTION):
        part = np.asarray(x[i : i + PORTION])
        bad = wrong(part)
        if bad.any():
            hits.append(i + np.flatnonzero(bad.reshape(len(part), -1).any(axis=1)))
    return np.concatenate(hits) if hits else np.zeros(0, int)


def endless(part: Shaped[np.ndarray, "n ..."]) -> Bool[np.ndarray, "*n"]:
    """Where numbers are not finite; a finite sum shows at once that all are."""
    if part.dtype.kind != "f":
        return np.zeros(1, bool)
    with np.errstate(all="ignore"):
        if np.isfinite(part.sum()):
            return np.zeros(1, bool)
    return ~np.isfinite(part)


def not_finite(data: Dataset) -> Iterator[Finding]:
    for name, x in named("observation", data.obs):
        if len(row := which(x, endless)):
            rows = np.unique(step_of(data, row))
            yield found("not-finite", f"{name} is not finite", rows)
    parts = [*named("action", data.action), ("reward", data.reward)]
    if data.propensity is not None:
        parts.append(("propensity", data.propensity))
    for name, x in parts:
        if len(rows := which(x, endless)):
            yield found("not-finite", f"{name} is not finite", rows)


def outside(data: Dataset) -> Iterator[Finding]:
    """Numbers out of bounds. Bounds of what is observed are often careless: where a
    number is only a quantity, that is no error."""
    spaces = dict(named("action", data.spec.action))
    for name, x in named("action", data.action):
        if len(rows := which(x, beyond(spaces[name]))):
            yield found("outside", f"{name} is outside {extent(spaces[name])}", rows)
    spaces = dict(named("observation", data.spec.obs))
    for name, x in named("observation", data.obs):
        if len(row := which(x, beyond(spaces[name]))):
            real = isinstance(spaces[name], Box)
            kind = "observation-outside" if real else "outside"
            rows = np.unique(step_of(data, row))
            yield found(kind, f"{name} is outside {extent(spaces[name])}", rows)


def beyond(space: Space) -> Any:
    """A function that says where numbers lie outside a space."""
    match space:
        case Box():
            low, high = limits(space)
            if not (np.isfinite(low).any() or np.isfinite(high).any()):
                return lambda part: np.zeros(1, bool)
            return lambda part: (part < low) | (part > high)
        case MultiDiscrete():
            return lambda part: (part < 0) | (part >= np.array(space.nvec))
        case MultiBinary():
            return lambda part: (part != 0) & (part != 1)
        case Discrete():
            return lambda part: (part < 0) | (part >= space.n)
    return lambda part: ~space.contains(part)


def limits(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of a Box, rounding allowed for."""
    if space.dtype.kind != "f":
        return space.low, space.high
    with np.errstate(all="ignore"):
        width = space.high.astype(float) - space.low
        either = lambda x: np.where(np.isfinite(width), width, np.maximum(1, abs(x)))
        low = space.low - ROUNDING * either(space.low)
        high = space.high + ROUNDING * either(space.high)
    return low.astype(space.dtype), high.astype(space.dtype)


def extent(space: Space) -> str:
    """What a space allows, in short."""
    match space:
        case Box():
            low, high = space.low.min(), space.high.max()
            same = (space.low == low).all() and (space.high == high).all()
            return f"[{low:g}, {high:g}]" if same else "its bounds"
        case MultiDiscrete():
            return f"0 to {space.nvec} less 1"
        case MultiBinary():
            return "0 and 1"
        case Discrete():
            return f"0 to {space.n - 1}"
    return "its space"


def illegal(data: Dataset) -> Iterator[Finding]:
    """Actions against their masks: of each choice, all its options, end to end."""
    if data.legal is None:
        return
    masks, actions = dict(named("", data.legal)), dict(named("", data.action))
    forbidden, blocked = np.zeros(data.steps, bool), np.zeros(data.steps, bool)
    for i in range(0, data.steps, PORTION):
        step = np.arange(i, min(i + PORTION, data.steps))
        row = step + np.searchsorted(data.starts, step, side="right") - 1
        for name, space in named("", data.spec.action):
            if name not in masks:
                continue
            options = np.array([space.n] if isinstance(space, Discrete) else space.nvec)
            parts = np.split(masks[name][row], np.cumsum(options)[:-1], axis=-1)
            chosen = actions[name][step].reshape(len(step), -1)
            for mask, choice, n in zip(parts, chosen.T, options, strict=True):
                own = np.clip(choice, 0, n - 1)[:, None]
                forbidden[step] |= ~np.take_along_axis(mask, own, 1)[:, 0]
                blocked[step] |= ~mask.any(axis=1)
    if blocked.any():
        yield found("illegal", "nothing is legal", np.flatnonzero(blocked))
    if len(rows := np.flatnonzero(forbidden & ~blocked)):
        yield found("illegal", "the action taken was not legal", rows)


def unlikely(data: Dataset) -> Iterator[Finding]:
    """Propensities that cannot be."""
    if data.propensity is None:
        return
    discrete = not any(isinstance(s, Box) for _, s in named("", data.spec.action))
    most = 1 + ROUNDING if discrete else np.inf
    rows = which(np.asarray(data.propensity), lambda p: (p <= 0) | (p > most))
    if len(rows):
        allowed = "(0, 1]" if discrete else "above 0"
        yield found("propensity", f"a propensity is not {allowed}", rows)
