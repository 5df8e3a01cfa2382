"""Shapes that the scores of runs have, to try statistics on."""

from collections.abc import Callable
from typing import Any

import numpy as np


def two_groups(rng: np.random.Generator, size: Any) -> np.ndarray:
    """Three runs of ten find the trick."""
    return (rng.random(size) < 0.3) + rng.normal(0, 0.1, size) - 0.3


# All of mean 0.
SHAPES: dict[str, Callable[[np.random.Generator, Any], np.ndarray]] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed": lambda rng, size: rng.lognormal(0, 0.5, size) - np.exp(0.125),
    "heavy tail": lambda rng, size: rng.lognormal(0, 1, size) - np.exp(0.5),
    "two groups": two_groups,
}
