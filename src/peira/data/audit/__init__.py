"""An audit of any dataset, before anything is learned from it."""

from .examine import audit, refuse
from .findings import Finding, Kind, KINDS


__all__ = ["KINDS", "Finding", "Kind", "audit", "refuse"]
