"""How grave something is that an examination has found."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias


Severity: TypeAlias = Literal["error", "warning", "note"]
GRAVEST: tuple[Severity, ...] = ("error", "warning", "note")


def gravest_first(findings: Iterable[Any]) -> list[Any]:
    """Findings in their order, but the errors first and the notes last."""
    return sorted(findings, key=lambda f: GRAVEST.index(f.severity))
