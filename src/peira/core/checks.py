"""Errors that a person can act on, and ranges that live in a field's type.

Every error of ours is one line: what, where, what to do. The command line prints it
and exits with code 2; a traceback means a bug.
"""

import dataclasses
import difflib
import re
import sys
import types
import typing
import warnings
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np


LISTED = 20  # more names than these are not read


class PeiraError(Exception):
    """Something a person can mend; the message says how."""


class BadConfig(PeiraError):
    """A name or a value in the configuration is wrong."""


class Unsupported(PeiraError):
    """An algorithm was asked to act in a space it cannot act in."""

    def __init__(self, algorithm: type, space: Any):
        self.algorithm, self.space = algorithm, space
        served = " or ".join(sorted(s.__name__ for s in algorithm.serves))
        super().__init__(
            f"{algorithm.__name__} cannot act in {describe(space)}: it serves {served}"
        )


class EnvironmentFault(PeiraError):
    """An environment broke its own promises."""


class NumericalFault(PeiraError):
    """A number that is not finite appeared in learning."""


class RunFault(PeiraError):
    """A run directory cannot be read or written."""


class DataFault(PeiraError):
    """A dataset cannot be read, or is not what it says."""


class Terminated(KeyboardInterrupt):
    """The system asks to end, not a person."""


class ExportFault(PeiraError):
    """A policy cannot be exported, or what was exported acts otherwise."""


def plain_warnings(who: str = "") -> None:
    """From now on a warning is one line on standard error, without a line of source,
    and said once."""
    said = set()

    def show(message: Warning | str, *_: Any) -> None:
        # Gymnasium writes in colours.
        plain = re.sub(r"\x1b\[[0-9;]*m|WARN: ", "", str(message))
        line = f"peira: warning: {who}{' '.join(plain.split())}"
        if line not in said:
            said.add(line)
            print(line, file=sys.stderr)

    warnings.showwarning = show


def describe(space: Any) -> str:
    """A space in one short line."""
    if isinstance(space, dict):
        return (
            "Dict(" + ", ".join(f"{k}: {describe(v)}" for k, v in space.items()) + ")"
        )
    if isinstance(space, (tuple, list)):
        return "Tuple(" + ", ".join(describe(v) for v in space) + ")"
    detail = getattr(space, "n", None) or getattr(space, "nvec", None) or space.shape
    return f"{type(space).__name__}({detail})"


def unknown(kind: str, name: str, names: Iterable[str]) -> BadConfig:
    """The error for a misspelt name, with the closest valid ones."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        hint = f"did you mean {', '.join(close)}?"
    elif len(names) > LISTED:
        hint = f"none of the {len(names)} known is like it"
    else:
        hint = f"known: {', '.join(names)}"
    return BadConfig(f"unknown {kind} '{name}'; {hint}")


@dataclasses.dataclass(frozen=True)
class Range:
    """The closed or half-open interval a number must lie in."""

    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False

    def __contains__(self, x: float) -> bool:
        above = x > self.low if self.open_low else x >= self.low
        return bool(above and x <= self.high)

    def __str__(self) -> str:
        left = "(" if self.open_low or self.low == -np.inf else "["
        right = ")" if self.high == np.inf else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


Real = Annotated[float, Range()]
Unit = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, open_low=True)]
NonNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Widths = Annotated[tuple[int, ...], Range(1)]


def check_fields(config: Any) -> None:
    """Raise `BadConfig` naming the first field of a dataclass out of its range, or
    not among its choices.

    Arrays pass: a swept field is a whole range of values, perhaps traced.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        where = f"{type(config).__name__}.{field.name} = {value}"
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            choices = ", ".join(typing.get_args(hint))
            raise BadConfig(f"{where}: must be one of {choices}")
        numbers = value if isinstance(value, tuple) else (value,)
        for allowed in ranges(hint):
            if any(isinstance(x, int | float) and x not in allowed for x in numbers):
                raise BadConfig(f"{where}: must lie in {allowed}")


def ranges(hint: Any) -> list[Range]:
    """The ranges in a type, also in the parts of a union."""
    own = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        own += [r for part in typing.get_args(hint) for r in ranges(part)]
    return own
