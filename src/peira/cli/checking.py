"""`peira.check`: whether an algorithm, one's own or ours, keeps what all promise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from ..algos import get
from ..core import Algorithm, BadConfig, PeiraError
from ..core.names import home, part
from ..evidence.conformance import examine, Finding, Subject
from .fields import fitted


def check(
    algorithm: str | Algorithm | type[Algorithm],
    *,
    decide_within: int = 4_800,
    **fields: Any,
) -> list[Finding]:
    """Whether an algorithm keeps what all of ours promise, and decides rightly where a
    mistake would decide wrongly; a minute or so.

    `algorithm` is a catalogued name, `module:Class`, a class, or an instance, whose
    fields are kept where they differ from their defaults. `fields` are values for
    fields; the others are made small for the occasion where they have a usual name
    (`hidden`, `batch`, `learning_rate`, ...). `decide_within` is how many updates a
    decision may take to be learned. Raises `BadConfig` for what is no algorithm.
    """
    if decide_within < 1:
        raise BadConfig(f"decide_within = {decide_within}: must be at least 1")
    cls = found(algorithm)
    given = chosen(algorithm) if isinstance(algorithm, Algorithm) else {}
    given |= fitted(cls, fields)
    instance(cls, given)
    return list(examine(Subject(cls, given, updates=decide_within)))


def found(algorithm: Any) -> type[Algorithm]:
    """The class that is meant."""
    if isinstance(algorithm, str):
        return named(algorithm) if ":" in algorithm else get(algorithm)
    cls = type(algorithm) if isinstance(algorithm, Algorithm) else algorithm
    if not is_algorithm(cls):
        raise BadConfig(f"{algorithm!r} is no algorithm: it is no peira.Algorithm")
    return cls


def named(name: str) -> type[Algorithm]:
    """The class that `module:Class` names."""
    module = home("algorithm", name)
    cls = part("algorithm", name, module, is_algorithm)
    if not is_algorithm(cls):
        raise BadConfig(f"'{name}' is no algorithm: it is no class of peira.Algorithm")
    return cls


def is_algorithm(x: Any) -> bool:
    return isinstance(x, type) and issubclass(x, Algorithm) and x is not Algorithm


def instance(cls: type[Algorithm], given: Mapping[str, Any]) -> Algorithm:
    """One with these values; raises `BadConfig` if it cannot be made so."""
    try:
        return cls(**given)
    except PeiraError:
        raise
    except Exception as error:  # whatever a user's class may raise
        raise BadConfig(
            f"{cls.__name__} cannot be made: {error}; give every field a default and "
            "the class all four functions"
        ) from error


def chosen(algorithm: Algorithm) -> dict[str, Any]:
    """The fields of an instance that are not at their defaults."""
    found = {}
    for field in dataclasses.fields(algorithm):
        value, usual = getattr(algorithm, field.name), field.default
        if field.default_factory is not dataclasses.MISSING:
            usual = field.default_factory()
        if not eqx.tree_equal(value, usual):
            found[field.name] = value
    return found
