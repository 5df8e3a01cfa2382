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
from .probes import Accord, Chain, Gamble, Match, PROBES, Reach
from .render import frame
from .riddles import KeyToDoor, RIDDLES, TwoWays


__all__ = [
    "MAZES",
    "PROBES",
    "RIDDLES",
    "Accord",
    "Acrobot",
    "Care",
    "CartPole",
    "Chain",
    "Gamble",
    "Hosted",
    "KeyToDoor",
    "Match",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "PointMaze",
    "Reach",
    "Rooms",
    "TimeLimit",
    "TwoWays",
    "as_gymnasium",
    "frame",
    "make",
    "shut",
]
