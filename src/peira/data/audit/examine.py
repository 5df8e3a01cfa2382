"""The audit: every question that can still be asked."""

from collections.abc import Iterator

from ...core import DataFault
from ...core.findings import gravest_first
from ..dataset import check, Dataset
from .case import case_of
from .cover import cover
from .ends import ends
from .findings import Finding, found
from .jumps import jumps
from .repeats import leaks, repeats
from .rewards import rewards
from .values import fatal


def audit(data: Dataset, against: Dataset | None = None) -> list[Finding]:
    """What is wrong with a dataset, or good to know, the gravest first.

    `against` is another split, with which it should have nothing in common. Large sets
    are looked at in part, always the same part: a finding then says so.
    """
    first = list(unfit(data))
    if any(one.check in ("structure", "not-finite") for one in first):
        return gravest_first(first)  # nothing more can be computed from it
    return gravest_first([*first, *doubtful(data), *shared(data, against)])


def unfit(data: Dataset) -> Iterator[Finding]:
    """The cheap part: what makes training on it pointless."""
    try:
        check(data)
    except DataFault as fault:
        yield found("structure", str(fault))
        return
    yield from fatal(data)


def doubtful(data: Dataset) -> Iterator[Finding]:
    case = case_of(data)
    for question in (jumps, ends, rewards, repeats, cover):
        yield from question(case)


def shared(data: Dataset, against: Dataset | None) -> Iterator[Finding]:
    if against is not None:
        yield from leaks(data, against)


def refuse(data: Dataset, path: str | None) -> None:
    """Raise `DataFault` for the first thing that makes training pointless; `path` is
    where the dataset lies, if anywhere."""
    for one in unfit(data):
        if one.severity == "error":
            name = path or "the dataset"
            more = f"peira data audit {path}" if path else "peira.data.audit.audit"
            raise DataFault(f"{name}: {one.seen}; see {more}")
