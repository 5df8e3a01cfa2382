"""The hyper-parameters of every catalogued algorithm: explained, bounded, sweepable,
and none of them dead.
"""

import ast
import dataclasses
import functools as ft
import inspect
import typing

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from small import ALGORITHMS, birth, close, MAIN, PROBLEMS, same, small, turn

from peira.core import Algorithm, BadConfig
from peira.core.checks import ranges


each_algorithm = pytest.mark.parametrize(("name", "problem"), MAIN)
FIELDS = [(n, f.name) for n, cls in ALGORITHMS.items() for f in dataclasses.fields(cls)]
each_field = pytest.mark.parametrize(("name", "field"), FIELDS)

# A field that acts only together with another is tested with that one as here.
NEEDS = {
    "alpha": {"prioritised": True},
    "beta": {"prioritised": True},
    "target_entropy": {"automatic": True},
    "target_clip": {"target_noise": 5.0},
    "exploration": {"initial_epsilon": 0.9},
    "clip_gradients": {"max_gradient": 1e-3},
    "max_gradient": {"clip_gradients": True},
    "clip_rewards": {"scale_rewards": False},
    "clip_obs": {"normalize_obs": True},
    "clip": {"epochs": 4, "learning_rate": 0.1},
    "clip_ratio": {"epochs": 4, "learning_rate": 0.1},
    "clip_value": {"epochs": 4, "learning_rate": 0.1},
}
# What it acts on is not in a made-up history of a few rounds.
ELSEWHERE = {
    "vision": "test_encode.py: no eyes on a problem without images",
    "clip_obs": "test_ppo.py: no made-up observation is ten deviations away",
}


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
            with pytest.raises(BadConfig, match=rf"{cls.__name__}\.{field} = neither"):
                cls(**{field: "neither"})
        else:
            assert hint is bool
        return
    (allowed,) = ranges(hint)
    wrong = [float("nan")]
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
        return next(x for x in typing.get_args(hint) if x != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 2 * value
    if isinstance(value, tuple):
        return (2 * value[0],)
    if value is None or value == 0:
        return 0.5
    return value / 2


def behaviour(algorithm: Algorithm, problem: str, key: jax.Array) -> typing.Any:
    """Two rounds of a life, and what its policy would explore next."""
    spec = PROBLEMS[problem]
    life = birth(algorithm, spec, key=key)
    return jax.lax.scan(
        lambda life, k: turn(algorithm, spec, life, key=k),
        life,
        jr.split(jr.fold_in(key, 1), 3),
    )


def shapes(algorithm: Algorithm, problem: str) -> typing.Any:
    """What can be seen of an algorithm without running it."""
    rhythm = algorithm.store(PROBLEMS[problem]).rhythm(envs=2)
    life = jax.eval_shape(lambda k: behaviour(algorithm, problem, k), jr.key(0))
    leaves, tree = jax.tree.flatten(life)
    return rhythm, [(x.shape, x.dtype) for x in leaves], tree.num_nodes


def float_fields(algorithm: Algorithm) -> list[str]:
    return [
        f.name
        for f in dataclasses.fields(algorithm)
        if isinstance(getattr(algorithm, f.name), float)
    ]


def with_arrays(algorithm: Algorithm, values: dict[str, jax.Array]) -> Algorithm:
    return dataclasses.replace(algorithm, **values)


@ft.cache
def sweep(name: str, problem: str, **switches: typing.Any) -> typing.Any:
    """Lives under `vmap` that differ in one float field each, the first in none and
    the last in its seed; and the fields."""
    algorithm = small(ALGORITHMS[name], **switches)
    names = float_fields(algorithm)
    usual = np.array([getattr(algorithm, n) for n in names], np.float32)
    values = np.tile(usual, (len(names) + 2, 1))
    for i, n in enumerate(names):
        values[i + 1, i] = other(float(usual[i]), hints(type(algorithm))[n])
    seeds = [jr.key(0)] * (len(names) + 1) + [jr.key(1)]

    def live(values: jax.Array, key: jax.Array) -> typing.Any:
        fields = dict(zip(names, values, strict=True))
        return behaviour(with_arrays(algorithm, fields), problem, key)

    return names, jax.jit(jax.vmap(live))(jnp.asarray(values), jnp.stack(seeds))


@ft.cache
def run(name: str, problem: str, **switches: typing.Any) -> typing.Any:
    algorithm = small(ALGORITHMS[name], **switches)
    return jax.jit(lambda key: behaviour(algorithm, problem, key))


def lane(lives: typing.Any, i: int) -> typing.Any:
    return jax.tree.map(lambda x: x[i], lives)


@each_algorithm
def test_a_sweep_of_fields_and_seeds_is_a_vmap(name, problem):
    _, lives = sweep(name, problem)
    alone = run(name, problem)
    close(lane(lives, 0), alone(jr.key(0)), 1e-3)
    close(lane(lives, -1), alone(jr.key(1)), 1e-3)


@each_field
def test_no_field_is_dead(name, field):
    if field in ELSEWHERE:
        pytest.skip(ELSEWHERE[field])
    cls, problem = ALGORITHMS[name], dict(MAIN)[name]
    if field == "initial_log_std":
        problem = "box"  # the only space with a deviation
    known = {f.name for f in dataclasses.fields(cls)}
    needs = {k: v for k, v in NEEDS.get(field, {}).items() if k in known}
    usual = small(cls, **needs)
    value = getattr(usual, field)
    if isinstance(value, float):
        names, lives = sweep(name, problem, **needs)
        assert not same(lane(lives, 0), lane(lives, names.index(field) + 1))
        return
    changes = needs | {field: other(value, hints(cls)[field])}
    changed = small(cls, **changes)
    if shapes(usual, problem) == shapes(changed, problem):
        ours, theirs = run(name, problem, **needs), run(name, problem, **changes)
        assert not same(ours(jr.key(0)), theirs(jr.key(0)))
