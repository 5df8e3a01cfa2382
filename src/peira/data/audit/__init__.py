"""An audit of any dataset, before anything is learned from it."""

from .audit import audit, refuse
from .findings import Finding, Kind, KINDS


__all__ = ["KINDS", "Finding", "Kind", "audit", "refuse"]
