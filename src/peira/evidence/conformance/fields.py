"""Checks of hyper-parameters: explained, bounded, swept side by side like seeds, and
none of them dead.
"""

import dataclasses
import types
import typing
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...core import Algorithm, BadConfig, check_fields, PeiraError
from ...core.checks import Range, ranges
from ...engine.fields import hints, meanings
from .made_up import apart, behaviour, keys_of, same, script, shelving
from .subject import DoesNotApply, remembered, Subject


CLOSE = 1e-3  # beside others, floats are added in another order


class Place(NamedTuple):
    """Where a field may matter: in the algorithm, perhaps changed, on a problem."""

    algorithm: Algorithm
    problem: str


@remembered
def written(subject: Subject, place: Place) -> Any:
    """All that is computed at a place, as a text."""
    return script(place.algorithm, subject.problems[place.problem])


def pure(subject: Subject) -> Iterator[str]:
    usual = Place(subject.small, subject.main)
    if script(subject.small, subject.problems[subject.main]) != written(subject, usual):
        yield "traced twice it is two programs: it reads something that changes"


def declared(subject: Subject) -> Iterator[str]:
    usual = {"version": None, "actors": 1}
    for name, default in usual.items():
        value = getattr(subject.cls, name, default)
        if not isinstance(value, int) or value < 1:
            yield f"{name} = {value}: must be a whole number, at least 1"


def explained(subject: Subject) -> Iterator[str]:
    try:
        found = meanings(subject.cls)
    except OSError:
        raise DoesNotApply("its source is in no file") from None
    for name in hints(subject.cls):
        if not found.get(name, "").endswith("."):
            yield f"{name} has no sentence under it"


def plain(hint: Any) -> set[Any]:
    """The types in an annotated type or a union."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return plain(parts[0])
    if origin in (typing.Union, types.UnionType):
        return {kind for part in parts for kind in plain(part)}
    return {hint}


def bounded(subject: Subject) -> Iterator[str]:
    for name, hint in hints(subject.cls).items():
        if {int, float} & plain(hint) and not ranges(hint):
            yield f"{name} has no range: let it be a Positive, a Unit, a Count, ..."
        for value in improper(hint):
            yield from taken(subject, name, value)


def improper(hint: Any) -> list[Any]:
    """Some values that a type does not allow."""
    if typing.get_origin(hint) is typing.Literal:
        return ["neither"]
    numbers = [x for one in ranges(hint) for x in outside(one, float in plain(hint))]
    several = any(typing.get_origin(kind) is tuple for kind in plain(hint))
    return [(x,) for x in numbers] if several else numbers


def outside(allowed: Range, real: bool) -> list[float]:
    """Some numbers that a range does not allow."""
    found = [float("nan")] if real else []
    found += [allowed.low - 1] if np.isfinite(allowed.low) else []
    found += [allowed.high + 1] if np.isfinite(allowed.high) else []
    return found + ([allowed.low] if allowed.open_low else [])


def taken(subject: Subject, name: str, value: Any) -> Iterator[str]:
    """Whether a value is taken that should be refused, or refused without its name."""
    try:
        if isinstance(value, str):  # no class takes a text where types are checked
            odd = eqx.tree_at(lambda a: getattr(a, name), subject.small, value)
            check_fields(odd)
        else:
            dataclasses.replace(subject.small, **{name: value})
        yield f"{name} = {value} was not refused"
    except BadConfig as error:
        if f"{subject.cls.__name__}.{name} = " not in str(error):
            yield f"{name} = {value} is refused without its name: {error}"


def others(value: Any, hint: Any) -> list[Any]:
    """Other values for a field, the best to try first."""
    if typing.get_origin(hint) is typing.Literal:
        choices = [x for x in typing.get_args(hint) if x != value]
        return choices[len(choices) // 2 :] + choices[: len(choices) // 2]
    match value:
        case bool():
            return [not value]
        case int():
            return [2 * value, value + 1, value // 2]
        case float():
            return [value / 2, 2 * value, value + 0.5]
        case (int() | float(), *_):
            return [(2 * value[0],), (value[0] + 1,)]
        case None:
            return [0.5, 2, (2,)]
    return []


def changed(algorithm: Algorithm, name: str) -> Iterator[Algorithm]:
    """The algorithm with other values in one field, as far as it takes them."""
    value = getattr(algorithm, name)
    for new in others(value, hints(type(algorithm))[name]):
        try:
            if new != value:
                yield dataclasses.replace(algorithm, **{name: new})
        except (PeiraError, TypeError):  # the latter where types are checked
            continue


class Sweep(NamedTuple):
    """Lives under `vmap`: the usual one, one for each float field with another value,
    and one of another seed."""

    names: list[str]
    lives: Any

    def lane(self, i: int) -> PyTree:
        return jax.tree.map(lambda x: x[i], self.lives)

    def moved(self, name: str) -> bool:
        """Whether another value of a field changed any number."""
        return not same(self.lane(0), self.lane(self.names.index(name) + 1))


@remembered
def sweep(subject: Subject, *, fields: bool = True) -> Sweep:
    """Lives side by side; with `fields`, every float field is an array in them."""
    algorithm, spec = subject.small, subject.problems[subject.main]
    floats = [n for n in hints(subject.cls) if isinstance(getattr(algorithm, n), float)]
    names = [n for n in floats if next(changed(algorithm, n), None)] if fields else []
    usual = np.array([getattr(algorithm, n) for n in names], np.float32)
    values = np.tile(usual, (len(names) + 2, 1))
    for i, n in enumerate(names):
        values[i + 1, i] = getattr(next(changed(algorithm, n)), n)

    def live(values: jax.Array, keys: jax.Array) -> Any:
        fields = dict(zip(names, values, strict=True))
        return behaviour(dataclasses.replace(algorithm, **fields), spec, keys)

    # Lives share their keys on purpose; and the checker takes the carry of a batched
    # scan for a key consumed before.
    with jax.debug_key_reuse(False):
        same_seed, other_seed = jnp.stack(keys_of(1)), jnp.stack(keys_of(2))
        keys = jnp.stack([same_seed] * (len(names) + 1) + [other_seed])
        return Sweep(names, jax.jit(jax.vmap(live))(jnp.asarray(values), keys))


def swept(subject: Subject) -> Sweep | None:
    """The sweep of all float fields, if there can be one."""
    try:
        return sweep(subject)
    except Exception:  # whatever a user's code may raise: `sweeps` shows it
        return None


def seeds(subject: Subject) -> Iterator[str]:
    found = swept(subject) or sweep(subject, fields=False)
    for seed, lane in ((1, 0), (2, -1)):
        far = apart(found.lane(lane)[0], subject.history(seed)[0])
        if not far <= CLOSE:
            yield f"seed {seed}: after some rounds {far:.3g} apart from itself alone"


def sweeps(subject: Subject) -> Iterator[str]:
    far = apart(sweep(subject).lane(0)[0], subject.history(1)[0])
    if not far <= CLOSE:
        yield f"with fields as arrays the numbers are {far:.3g} apart"


def alive(subject: Subject) -> Iterator[str]:
    found, known = swept(subject), Counter[Place]()
    for name in hints(subject.cls):
        if found and name in found.names and found.moved(name):
            continue
        # Where another field mattered is where this one is likely to.
        likely = sorted(places(subject), key=lambda place: -known[place])
        where = next((place for place in likely if matters(subject, name, place)), None)
        if where is None:
            value = getattr(subject.small, name)
            yield f"{name}: another value than {value} changes nothing"
        else:
            known[where] += 1


@remembered
def places(subject: Subject) -> list[Place]:
    """The main problem, one with richer observations, the main one with a field
    switched, and all other problems."""
    usual, main = subject.small, subject.main
    rich, *rest = [Place(usual, p) for p in reversed(subject.working)]
    switched = [Place(other, main) for other in switches(usual)]
    return list(dict.fromkeys([Place(usual, main), rich, *switched, *rest]))


def switches(algorithm: Algorithm) -> Iterator[Algorithm]:
    """The algorithm with another value in a field that is no number."""
    for name in hints(type(algorithm)):
        value = getattr(algorithm, name)
        if isinstance(value, bool) or not isinstance(value, int | float | tuple):
            yield from changed(algorithm, name)


def matters(subject: Subject, name: str, place: Place) -> bool:
    """Whether a field's other value makes another program at a place; yes, where none
    can be tried."""
    spec, usual = subject.problems[place.problem], written(subject, place)
    kept = shelving(place.algorithm, spec)
    for other in changed(place.algorithm, name):
        try:
            return shelving(other, spec) != kept or script(other, spec) != usual
        except Exception:  # this value does not go with the others
            continue
    return True
