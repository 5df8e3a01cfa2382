"""How grave something is that an examination has found."""

from collections.abc import Iterable
from typing import Literal, Protocol, runtime_checkable, TypeAlias, TypeVar


Severity: TypeAlias = Literal["error", "warning", "note"]
GRAVEST: tuple[Severity, ...] = ("error", "warning", "note")


@runtime_checkable
class Graded(Protocol):
    """Anything with a severity."""

    @property
    def severity(self) -> Severity: ...


Found = TypeVar("Found", bound=Graded)


def gravest_first(findings: Iterable[Found]) -> list[Found]:
    """In their order, but the errors first and the notes last."""
    return sorted(findings, key=lambda f: GRAVEST.index(f.severity))
