"""Reports: one page of HTML that needs nothing beside it."""

from .figures import Chart
from .films import Shelf
from .page import library, page, Section


__all__ = ["Chart", "Section", "Shelf", "library", "page"]
