"""The fields of a configuration: what they mean; and as plain values, as TOML and JSON
know them, and back again."""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from ..core import BadConfig, unknown


T = TypeVar("T")


def hints(cls: type) -> dict[str, Any]:
    """The type of each field, in the order of the class."""
    known = typing.get_type_hints(cls, include_extras=True)
    return {f.name: known[f.name] for f in dataclasses.fields(cls)}


def meanings(cls: type) -> dict[str, str]:
    """The docstring under each field, as one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):  # type: ignore
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                found[name] = " ".join(words.split())
    return found


def plain(value: Any) -> Any:
    """Dataclasses and arrays as dicts, lists and numbers; raises `BadConfig` for what
    has no such form."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case tuple() | list():
            return [plain(v) for v in value]
        case dict():
            return {str(k): plain(v) for k, v in value.items()}
        case np.generic() | np.ndarray() | jax.Array():
            return np.asarray(value).tolist()
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    raise BadConfig(f"{value!r} cannot be written into a configuration")


def rebuild(cls: type[T], data: Any) -> T:
    """The dataclass whose `plain` form this is; raises `BadConfig` naming the first
    field that does not fit. Fields that are absent have their default."""
    if not isinstance(data, dict):
        raise BadConfig(f"{cls.__name__}: must be a table, not {short(data)}")
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values = {}
    for name, value in data.items():
        if name not in names:
            raise unknown(f"field of {cls.__name__}", name, names)
        try:
            values[name] = typed(hints[name], value)
        except ValueError as error:
            where = f"{cls.__name__}.{name} = {short(value)}"
            raise BadConfig(f"{where}: {error}") from None
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        nothing = field.default is field.default_factory is dataclasses.MISSING
        if nothing and field.name not in values:
            raise BadConfig(f"{cls.__name__}.{field.name} is missing")
    return cls(**values)


def typed(hint: Any, value: Any) -> Any:
    """The value as its type wants it; raises `ValueError` when it cannot be that."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for part in parts:
            try:
                return typed(part, value)
            except ValueError:
                continue
    elif origin is Literal:
        said = "none" if value is None else value  # see run.py: TOML has no null
        if any(said == p and type(said) is type(p) for p in parts):
            return said
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = (parts[0],) * len(value) if parts[-1] is Ellipsis else parts
        if len(kinds) == len(value):
            return tuple(typed(k, v) for k, v in zip(kinds, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {typed(parts[0], k): typed(parts[1], v) for k, v in value.items()}
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return rebuild(hint, value)
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    name = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    raise ValueError(f"must be {name}")


def short(value: Any) -> str:
    return repr(value)[:60]
