"""Studies: claims of the field, each a file that runs turn into a verdict."""

from ..progress import Board
from .judging import Found, judge, Verdict, verdict
from .running import advance, check_tasks, judged, Place
from .sameness import alike, check_alike
from .study import Arm, arms, differences, load, shipped, Study, Tier


__all__ = [
    "Arm",
    "Board",
    "Found",
    "Place",
    "Study",
    "Tier",
    "Verdict",
    "advance",
    "alike",
    "arms",
    "check_alike",
    "check_tasks",
    "differences",
    "judge",
    "judged",
    "load",
    "shipped",
    "verdict",
]
