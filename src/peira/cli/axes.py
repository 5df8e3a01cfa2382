"""What a sweep tries, from words: `learning_rate=log:1e-5:1e-2`."""

import typing
from collections.abc import Sequence
from typing import Any

from ..core import Algorithm, BadConfig, unknown
from ..engine.fields import hints, plain
from ..evidence.sweeps import Axis
from .fields import fit


def axes_of(cls: type[Algorithm], words: Sequence[str]) -> dict[str, Axis]:
    """The values that each field may take. Raises `BadConfig`."""
    known, found = hints(cls), {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not values:
            raise BadConfig(f"{word}: must be FIELD=VALUES")
        if name not in known:
            raise unknown(f"field of {cls.__name__}", name, known)
        if name in found:
            raise BadConfig(f"{name} is said twice")
        try:
            found[name] = axis_of(cls, name, known[name], values)
        except BadConfig as error:
            raise BadConfig(f"{word}: {error}") from None
    return found


def axis_of(cls: type, name: str, hint: Any, words: str) -> Axis:
    """`A,B,C`, `LOW:HIGH` or `log:LOW:HIGH`; of a field with several numbers, `:` parts
    the choices."""
    read = lambda word: plain(fit(cls, name, hint, word))
    if several(hint):
        return Axis(tuple(read(word) for word in words.split(":")))
    log = words.startswith("log:")
    ends = words.removeprefix("log:").split(":")
    if len(ends) == 1 and not log:
        return Axis(tuple(read(word) for word in words.split(",")))
    if len(ends) != 2:
        raise BadConfig("a range is LOW:HIGH or log:LOW:HIGH")
    low, high = map(read, ends)
    if not {type(low), type(high)} <= {int, float} or type(low) is not type(high):
        raise BadConfig(f"{name} has no range; list its values with commas")
    return Axis((), low, high, log)


def as_words(cls: type[Algorithm], name: str, axis: Axis) -> str:
    """What to write for these values; `axis_of` reads it."""
    if axis.low is not None:
        return f"{'log:' * axis.log}{axis.low}:{axis.high}"
    between = ":" if several(hints(cls)[name]) else ","
    return between.join(map(as_word, axis.choices))


def as_word(value: Any) -> str:
    """A value of a field, in full."""
    if isinstance(value, list | tuple):
        return ",".join(map(as_word, value))
    plain = {None: "none", True: "true", False: "false"}
    return plain[value] if value is None or isinstance(value, bool) else str(value)


def several(hint: Any) -> bool:
    """Whether a type holds several values, as `64,64` does."""
    parts = (hint, *typing.get_args(hint))
    return any(typing.get_origin(part) is tuple for part in parts)
