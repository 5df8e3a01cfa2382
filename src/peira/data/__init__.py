"""Where experience rests between acting and learning."""

from .replay import Prioritised, Replay
from .rollout import Rollout, ScaledRewards


__all__ = ["Prioritised", "Replay", "Rollout", "ScaledRewards"]
