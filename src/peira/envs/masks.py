"""Masks of legal actions, as Gymnasium's environments give them."""

from typing import Any

import numpy as np
from gymnasium import spaces

from ..core import EnvironmentFault


def choices(space: spaces.Space) -> int | None:
    """The length of a mask for a space of actions that can be masked."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return None


def mask(given: Any, size: int) -> np.ndarray:
    """One mask as `(size,)` bool; the masks of a MultiDiscrete are laid end to end."""
    parts = given if isinstance(given, tuple) else (given,)
    legal = np.concatenate([np.ravel(x) for x in parts]).astype(bool)
    if legal.shape != (size,):
        raise EnvironmentFault(f"action mask has {legal.size} entries, not {size}")
    return legal
