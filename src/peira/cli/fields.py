"""Values for the fields of a configuration, from words, TOML or Python alike."""

import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ..core import BadConfig, unknown
from ..core.checks import ranges
from ..engine.fields import hints


Config = TypeVar("Config")
PLAIN = {int: "INT", float: "FLOAT", str: "TEXT", bool: "BOOL", types.NoneType: "none"}


def convert(hint: Any, value: Any) -> Any:
    """The value as the type wants it; raises `ValueError` if it cannot be.

    Text is read as on the command line: `1e6` is an integer, `none` is None, commas
    separate the items of a tuple.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return convert(parts[0], value)
    if origin in (typing.Union, types.UnionType):
        return first_that_fits(parts, value)
    if origin is typing.Literal:
        said = "none" if value is None else value  # see engine/run.py: TOML has no null
        if said in parts:
            return said
    elif origin is tuple:
        return tuple(convert(parts[0], x) for x in items(value))
    elif hint is types.NoneType:
        if value is None or str(value).lower() == "none":
            return None
    elif hint is bool and value in ("true", "false"):
        return value == "true"
    elif hint in (bool, str) or isinstance(value, bool):
        if type(value) is hint:
            return value
    elif hint is float:
        return float(value)
    elif hint is int:
        if float(value).is_integer():
            return int(float(value))
    elif isinstance(value, Mapping):
        return build(hint, value)
    elif isinstance(value, hint):
        return value
    raise ValueError(value)


def first_that_fits(parts: tuple[Any, ...], value: Any) -> Any:
    """The value as the first of several types that can hold it, None before others."""
    for part in sorted(parts, key=lambda p: p is not types.NoneType):
        try:
            return convert(part, value)
        except (ValueError, TypeError):
            continue
    raise ValueError(value)


def items(value: Any) -> list[Any]:
    """The items of a tuple, however it was written."""
    if isinstance(value, str):
        return [x for x in value.split(",") if x]
    if isinstance(value, list | tuple):
        return list(value)
    return [value]


def seeds(value: Any) -> tuple[int, ...]:
    """`5` is the seeds 0 to 4; `3,7` and `[3, 7]` are exactly those, `5,` only 5."""
    if isinstance(value, list | tuple) or "," in str(value):
        return convert(tuple[int, ...], value)
    return tuple(range(convert(int, value)))


def metavar(hint: Any) -> str:
    """What to write for a value of the type: `FLOAT`, `INT|none`, `{tanh,relu}`."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return metavar(parts[0])
    if origin in (typing.Union, types.UnionType):
        return "|".join(metavar(p) for p in parts)
    if origin is typing.Literal:
        return "{" + ",".join(map(str, parts)) + "}"
    if origin is tuple:
        return f"{metavar(parts[0])}[,{metavar(parts[0])}...]"
    return PLAIN.get(hint) or hint.__name__


def allowed(hint: Any) -> str:
    """The ranges in a type, for a person: ` In [0, 1].` or nothing."""
    return "".join(f" In {r}." for r in ranges(hint))


def build(cls: type[Config], given: Mapping[str, Any]) -> Config:
    """An instance from named values; raises `BadConfig` for a name or a value that
    does not fit."""
    return cls(**fitted(cls, given))


def fitted(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Named values as their fields want them; raises `BadConfig` as `build` does."""
    known, values = hints(cls), {}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"field of {cls.__name__}", name, known)
        values[name] = fit(cls, name, known[name], value)
    return values


def fit(cls: type, name: str, hint: Any, value: Any) -> Any:
    """The value for one field; raises `BadConfig` if it does not fit."""
    try:
        return seeds(value) if name == "seeds" else convert(hint, value)
    except (ValueError, TypeError):
        raise BadConfig(
            f"{cls.__name__}.{name} = {value}: must be {metavar(hint)}"
        ) from None
