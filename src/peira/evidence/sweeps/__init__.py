"""Sweeps: settings tried over seeds, and the winner tried again on fresh ones."""

from .outcome import Cost, Outcome, outcome, Trial
from .running import advance, check, Place
from .sweep import Axis, grid, Sweep


__all__ = [
    "Axis",
    "Cost",
    "Outcome",
    "Place",
    "Sweep",
    "Trial",
    "advance",
    "check",
    "grid",
    "outcome",
]
