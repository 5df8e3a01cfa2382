"""Values from words, TOML and Python; what fields mean."""

import dataclasses
from typing import Literal

import pytest
from hypothesis import given, strategies as st

from peira.cli.fields import build, convert, metavar, seeds
from peira.core import BadConfig, Count, Unit
from peira.engine.fields import hints, meanings
from peira.engine.plan import Plan


@dataclasses.dataclass(frozen=True)
class Child:
    tau: Unit = 0.5
    """Speed."""


@dataclasses.dataclass(frozen=True)
class Parent:
    gamma: Unit = 0.99
    """Discount, over
    two lines."""
    plain: int = 1
    name: str | None = None
    """Its name."""
    child: Child = dataclasses.field(default_factory=Child)
    """Everything else."""


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, "1e6", 1_000_000),
        (int, 3.0, 3),
        (Count, "7", 7),
        (float, "1e-3", 0.001),
        (float, 2, 2.0),
        (int | None, "none", None),
        (Count | None, "12", 12),
        (str | None, "None", None),
        (str | None, "nobody", "nobody"),
        (tuple[int, ...], "256,256", (256, 256)),
        (tuple[int, ...], "256,", (256,)),
        (tuple[int, ...], [64, 32], (64, 32)),
        (tuple[int, ...], 8, (8,)),
        (tuple[str, ...], "a=1,b=2", ("a=1", "b=2")),
        (Literal["tanh", "relu"], "relu", "relu"),
        (Literal["none", "auto"], None, "none"),
        (bool, False, False),
    ],
)
def test_a_value_becomes_its_type(hint, value, expected):
    found = convert(hint, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, "1.5"),
        (int, "inf"),
        (int, "nan"),
        (int, True),
        (int, "many"),
        (float, "high"),
        (float, False),
        (float, [1.0]),
        (float, None),
        (bool, "yes"),
        (str, 3),
        (int | None, "nothing"),
        (tuple[int, ...], "1,x"),
        (Literal["tanh"], "sine"),
        (Child, 3),
    ],
)
def test_a_value_of_another_kind_is_refused(hint, value):
    with pytest.raises((ValueError, TypeError)):
        convert(hint, value)


@given(st.integers(-(2**53), 2**53))
def test_integers_survive_being_written(n):
    assert convert(int, str(n)) == n == convert(int, n)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=2, unique=True))
def test_exact_seeds_survive_being_written(chosen):
    assert seeds(",".join(map(str, chosen))) == tuple(chosen) == seeds(chosen)


@pytest.mark.parametrize(
    ("said", "meant"), [("3", (0, 1, 2)), (2, (0, 1)), ("5,", (5,)), ([5], (5,))]
)
def test_a_number_of_seeds_and_a_seed(said, meant):
    assert build(Plan, {"seeds": said}).seeds == meant


def test_meanings_are_the_docstrings_under_the_fields():
    assert meanings(Parent) == {
        "gamma": "Discount, over two lines.",
        "name": "Its name.",
        "child": "Everything else.",
    }
    assert list(hints(Parent)) == ["gamma", "plain", "name", "child"]


def test_metavars():
    assert metavar(Count | None) == "INT|none"
    assert metavar(tuple[float, ...]) == "FLOAT[,FLOAT...]"
    assert metavar(Literal["a", "b"]) == "{a,b}"


def test_nested_tables_are_built():
    assert build(Parent, {"child": {"tau": 1}}) == Parent(child=Child(1.0))


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"gama": 1}, ["gama", "gamma", "Parent"]),
        ({"gamma": "x"}, ["Parent.gamma", "x", "FLOAT"]),
        ({"child": {"tua": 1}}, ["tua", "tau", "Child"]),
        ({"child": 3}, ["Parent.child"]),
    ],
)
def test_what_does_not_fit_is_named(given_, words):
    with pytest.raises(BadConfig) as found:
        build(Parent, given_)
    assert all(word in str(found.value) for word in words)
