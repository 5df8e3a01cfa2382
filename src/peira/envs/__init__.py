"""Worlds: ours in JAX, and Gymnasium's on the host."""

from .classic import (
    Acrobot,
    CartPole,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
    TimeLimit,
)
from .hosted import Care, Hosted, shut
from .make import as_gymnasium, make
from .mazes import MAZES, PointMaze, Rooms
from .probes import Chain, Gamble, Match, PROBES, Reach
from .render import frame


__all__ = [
    "MAZES",
    "PROBES",
    "Acrobot",
    "Care",
    "CartPole",
    "Chain",
    "Gamble",
    "Hosted",
    "Match",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "PointMaze",
    "Reach",
    "Rooms",
    "TimeLimit",
    "as_gymnasium",
    "frame",
    "make",
    "shut",
]
