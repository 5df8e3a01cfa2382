"""The hyper-parameters of every catalogued algorithm: explained, bounded, sweepable,
and none of them dead.
"""

import ast
import dataclasses
import functools as ft
import inspect
import re
import typing

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import (
    ALGORITHMS,
    birth,
    CASES,
    close,
    ENVS,
    history,
    keys_of,
    MAIN,
    PROBLEMS,
    same,
    small,
    turn,
)

from peira.core import Algorithm, BadConfig, check_fields
from peira.core.checks import ranges


each_algorithm = pytest.mark.parametrize(("name", "problem"), MAIN)
FIELDS = [(n, f.name) for n, cls in ALGORITHMS.items() for f in dataclasses.fields(cls)]
each_field = pytest.mark.parametrize(("name", "field"), FIELDS)


def hints(cls: type[Algorithm]) -> dict[str, typing.Any]:
    return typing.get_type_hints(cls, include_extras=True)


def base(hint: typing.Any) -> typing.Any:
    """The plain type in an annotated or optional one."""
    while typing.get_origin(hint) in (typing.Annotated, typing.Union):
        hint = typing.get_args(hint)[0]
    first = typing.get_args(hint)
    return first[0] if float in first else hint


@each_field
def test_is_explained(name, field):
    tree = ast.parse(inspect.getsource(ALGORITHMS[name]))
    body = typing.cast(ast.ClassDef, tree.body[0]).body
    at = [getattr(getattr(x, "target", None), "id", None) for x in body].index(field)
    after = body[at + 1]
    assert isinstance(after, ast.Expr)
    assert isinstance(after.value, ast.Constant)
    assert after.value.value.endswith(".")


@each_field
def test_numbers_have_a_range_and_leave_it_with_an_error_that_names_them(name, field):
    cls, hint = ALGORITHMS[name], hints(ALGORITHMS[name])[field]
    if base(hint) not in (int, float) and not ranges(hint):
        if typing.get_origin(hint) is typing.Literal:
            odd = eqx.tree_at(lambda a: getattr(a, field), small(cls), "neither")
            with pytest.raises(BadConfig, match=rf"{cls.__name__}\.{field} = neither"):
                check_fields(odd)
        else:
            assert hint is bool
        return
    (allowed,) = ranges(hint)
    wrong = [float("nan")] if base(hint) is float else []
    wrong += [allowed.low - 1] if np.isfinite(allowed.low) else []
    wrong += [allowed.high + 1] if np.isfinite(allowed.high) else []
    wrong += [allowed.low] if allowed.open_low else []
    for value in wrong:
        assert value not in allowed
        outside = (value,) if typing.get_origin(base(hint)) is tuple else value
        with pytest.raises(BadConfig, match=rf"{cls.__name__}\.{field} = "):
            small(cls, **{field: outside})


@each_algorithm
def test_declares_what_it_serves_and_which_version_it_is(name, problem):
    cls = ALGORITHMS[name]
    assert cls.serves
    assert cls.version >= 1
    assert cls.actors >= 1


def other(value: typing.Any, hint: typing.Any) -> typing.Any:
    """Another value of the same field, within its range."""
    if typing.get_origin(hint) is typing.Literal:
        choices = [x for x in typing.get_args(hint) if x != value]
        return choices[len(choices) // 2]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 2 * value
    if isinstance(value, tuple):
        return (2 * value[0],)
    if value is None or value == 0:
        return 0.5
    return value / 2


def behaviour(algorithm: Algorithm, problem: str, keys: jax.Array) -> typing.Any:
    """What `history` tells of the algorithm: its birth and rounds, by these keys."""
    spec = PROBLEMS[problem]
    return jax.lax.scan(
        lambda life, k: turn(algorithm, spec, life, key=k),
        birth(algorithm, spec, key=keys[0]),
        keys[1:],
    )


def script(algorithm: Algorithm, problem: str) -> typing.Any:
    """All an algorithm would compute, written out, and when."""
    keys = jnp.stack(keys_of(0))
    jaxpr = jax.make_jaxpr(lambda k: behaviour(algorithm, problem, k))(keys)
    rhythm = algorithm.store(PROBLEMS[problem]).rhythm(envs=ENVS)
    return rhythm, re.sub("0x[0-9a-f]+", "", str(jaxpr))


@ft.cache
def usual_script(name: str, problem: str) -> typing.Any:
    return script(small(ALGORITHMS[name]), problem)


def float_fields(algorithm: Algorithm) -> list[str]:
    return [
        f.name
        for f in dataclasses.fields(algorithm)
        if isinstance(getattr(algorithm, f.name), float)
    ]


@ft.cache
def sweep(name: str, problem: str) -> typing.Any:
    """Lives under `vmap` that differ in one float field each, the first in none and
    the last in its seed; and the fields."""
    algorithm = small(ALGORITHMS[name])
    names = float_fields(algorithm)
    usual = np.array([getattr(algorithm, n) for n in names], np.float32)
    values = np.tile(usual, (len(names) + 2, 1))
    for i, n in enumerate(names):
        values[i + 1, i] = other(float(usual[i]), hints(type(algorithm))[n])

    def live(values: jax.Array, keys: jax.Array) -> typing.Any:
        fields = dict(zip(names, values, strict=True))
        return behaviour(dataclasses.replace(algorithm, **fields), problem, keys)

    # Lives share their keys on purpose; and the checker takes the carry of a batched
    # scan for a key consumed before.
    with jax.debug_key_reuse(False):
        same_seed, other_seed = jnp.stack(keys_of(1)), jnp.stack(keys_of(2))
        keys = jnp.stack([same_seed] * (len(names) + 1) + [other_seed])
        return names, jax.jit(jax.vmap(live))(jnp.asarray(values), keys)


def lane(lives: typing.Any, i: int) -> typing.Any:
    return jax.tree.map(lambda x: x[i], lives)


@each_algorithm
def test_a_sweep_of_fields_and_seeds_is_a_vmap(name, problem):
    _, (lives, _) = sweep(name, problem)
    close(lane(lives, 0), history(name, problem, 1)[0], 1e-3)
    close(lane(lives, -1), history(name, problem, 2)[0], 1e-3)


@each_algorithm
def test_the_script_is_the_same_each_time(name, problem):
    assert script(small(ALGORITHMS[name]), problem) == usual_script(name, problem)


@each_field
def test_no_field_is_dead(name, field):
    cls, problem = ALGORITHMS[name], dict(MAIN)[name]
    if field == "vision":
        images = [p for n, p in CASES if n == name and p.startswith("image")]
        problem = images[0]  # nothing else has a network for them
    usual = small(cls)
    value = getattr(usual, field)
    if isinstance(value, float):
        names, lives = sweep(name, problem)
        assert not same(lane(lives, 0), lane(lives, names.index(field) + 1))
    else:
        changed = dataclasses.replace(usual, **{field: other(value, hints(cls)[field])})
        assert script(changed, problem) != usual_script(name, problem)
