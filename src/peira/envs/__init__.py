"""Worlds: ours in JAX, and Gymnasium's on the host."""

from .classic import (
    Acrobot,
    CartPole,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
    TimeLimit,
)
from .hosted import Hosted, shut
from .make import as_gymnasium, make
from .probes import Chain, Match, PROBES, Reach
from .render import frame


__all__ = [
    "PROBES",
    "Acrobot",
    "CartPole",
    "Chain",
    "Hosted",
    "Match",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "Reach",
    "TimeLimit",
    "as_gymnasium",
    "frame",
    "make",
    "shut",
]
