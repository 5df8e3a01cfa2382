"""Worlds: ours in JAX, and Gymnasium's on the host."""

from .classic import (
    Acrobot,
    CartPole,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
    TimeLimit,
)
from .hosted import Hosted
from .make import frame, make


__all__ = [
    "Acrobot",
    "CartPole",
    "Hosted",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "TimeLimit",
    "frame",
    "make",
]
