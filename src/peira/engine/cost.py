"""What an update costs, counted by the compiler instead of a clock."""

from typing import NamedTuple

import jax

from ..core import Algorithm, Spec
from .blackbox import outline


class Cost(NamedTuple):
    """Of one update as it is written: what XLA then leaves out or fuses is not taken
    off, so the numbers do not depend on its version or on the machine. A loop whose
    length is not known beforehand counts once."""

    flops: float
    """Floating point operations."""
    traffic: float
    """Bytes that the operations read and write."""


def of_update(algorithm: Algorithm, spec: Spec, *, envs: int = 1) -> Cost:
    """The cost of an update on a batch of this problem."""
    shapes = jax.eval_shape(lambda: outline(algorithm, spec, envs))
    update = lambda learner, batch, key: algorithm.update(learner, batch, key=key)
    counted = jax.jit(update).lower(**shapes).cost_analysis() or {}
    return Cost(counted["flops"], counted["bytes accessed"])
