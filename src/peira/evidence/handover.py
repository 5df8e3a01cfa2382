"""What going on online cost: the way from a dataset into the environment."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .curves import curve


class Handover(NamedTuple):
    """Of every seed, by its evaluations."""

    before: Float[np.ndarray, " seed"]
    """Return when the dataset had been learned from."""
    dip: Float[np.ndarray, " seed"]
    """How far the return fell below that, at its lowest; never negative."""
    recovery: Float[np.ndarray, " seed"]
    """Environment steps from there until the return was again what it had been; 0
    where it never fell, infinite where it has not come back."""
    regret: Float[np.ndarray, " seed"]
    """Mean over the evaluations online of what they fall short of the seed's best."""
    after: Float[np.ndarray, " seed"]
    """Return at the end."""


def handover(evaluations: Any, begun: int) -> Handover | None:
    """What evaluations say of a run that went online at step `begun`; None where it
    has not been evaluated on both sides."""
    if not len(evaluations):
        return None
    found = curve(evaluations)
    (at,) = np.nonzero(found.steps == begun)
    if not len(at) or at[0] + 1 == len(found.steps):
        return None
    steps, returns = found.steps[at[0] + 1 :] - begun, found.returns[:, at[0] + 1 :]
    before = found.returns[:, at[0]]
    return Handover(
        before,
        np.maximum(before - returns.min(axis=1), 0.0),
        np.array([back(b, r, steps) for b, r in zip(before, returns, strict=True)]),
        (found.returns.max(axis=1)[:, None] - returns).mean(axis=1),
        returns[:, -1],
    )


def back(
    before: float,
    returns: Float[np.ndarray, " evaluation"],
    steps: Int[np.ndarray, " evaluation"],
) -> float:
    """Steps until the return is again what it was, after its lowest."""
    if returns.min() >= before:
        return 0.0
    lowest = int(returns.argmin())
    (good,) = np.nonzero(returns[lowest:] >= before)
    return float(steps[lowest + good[0]]) if len(good) else np.inf
