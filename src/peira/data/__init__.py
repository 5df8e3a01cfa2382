"""Where experience rests between acting and learning."""

from .dataset import check, Dataset
from .deal import Deal, dealt, Queue, Queued, Shelves, sketch
from .mixture import Mixed, Mixture
from .deal import Deal, dealt, Drawn, Queue, Queued, Shelves, sketch
from .read import read
from .replay import Prioritised, Replay
from .rollout import Rollout, ScaledRewards


__all__ = [
    "Dataset",
    "Deal",
    "Mixed",
    "Mixture",
    "Drawn",
    "Prioritised",
    "Queue",
    "Queued",
    "Replay",
    "Rollout",
    "ScaledRewards",
    "Shelves",
    "check",
    "dealt",
    "read",
    "sketch",
]
