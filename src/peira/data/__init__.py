"""Where experience rests between acting and learning."""

from .columns import Columns
from .dataset import check, Dataset
from .deal import (
    came_alone,
    Deal,
    dealt,
    Drawn,
    Outlook,
    Queue,
    Queued,
    Shelves,
    sketch,
)
from .mixture import Mixed, Mixture
from .read import convert, FORMATS, read, split, write
from .replay import Prioritised, Replay
from .rollout import Rollout, ScaledRewards


__all__ = [
    "FORMATS",
    "Columns",
    "Dataset",
    "Deal",
    "Drawn",
    "Mixed",
    "Mixture",
    "Outlook",
    "Prioritised",
    "Queue",
    "Queued",
    "Replay",
    "Rollout",
    "ScaledRewards",
    "Shelves",
    "came_alone",
    "check",
    "convert",
    "dealt",
    "read",
    "sketch",
    "split",
    "write",
]
