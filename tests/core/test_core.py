"""Spaces, ranges, errors and keys."""

import dataclasses
import json

import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira.core import (
    BadConfig,
    Box,
    check_fields,
    check_serves,
    Count,
    Discrete,
    fold,
    MultiBinary,
    MultiDiscrete,
    Positive,
    Range,
    Real,
    root,
    Spec,
    Unit,
    unknown,
    Unsupported,
    Widths,
    zeros,
)
from peira.core.spaces import from_json, to_json


UNEVEN = Box(np.array([-1.0, -np.inf], np.float32), np.array([2.5, np.inf], np.float32))
SPACES = {
    "plain": Box(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)),
    "uneven": UNEVEN,
    "bytes": Box(np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 255, np.uint8)),
    "choice": Discrete(4),
    "choices": MultiDiscrete((2, 5)),
    "bits": MultiBinary((3,)),
    "both": {"a": Discrete(2), "b": (UNEVEN, MultiBinary((2, 2)))},
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_survives_its_description(name):
    space = SPACES[name]
    again = from_json(json.loads(json.dumps(to_json(space))))
    assert to_json(again) == to_json(space)
    assert again == space


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        (UNEVEN, [2.5, 1e9], [2.6, 0.0]),
        (Discrete(4), 3, 4),
        (Discrete(4), 0, -1),
        (MultiDiscrete((2, 5)), [1, 4], [2, 0]),
        (MultiBinary((3,)), [0, 1, 1], [0, 2, 1]),
    ],
)
def test_contains_judges_each_item_of_a_batch(space, inside, outside):
    batch = np.array([inside, outside], space.dtype)
    assert space.contains(batch).tolist() == [True, False]


def test_zeros_lie_inside():
    high = Box(np.full(2, 3.0, np.float32), np.full(2, 5.0, np.float32))
    assert zeros({"a": high, "b": Discrete(2)})["a"].tolist() == [3, 3]
    assert SPACES["plain"].size == 6


def test_a_box_with_sides_that_disagree():
    with pytest.raises(ValueError, match="low is"):
        Box(np.zeros(2), np.zeros(3))
    assert not UNEVEN.bounded
    assert SPACES["plain"].bounded
    assert SPACES["bytes"].image
    assert not SPACES["plain"].image


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_ranges(x):
    assert (x in Range(0, 1)) == (0 <= x <= 1)
    assert (x in Range(0, open_low=True)) == (x > 0)
    assert (x in Range()) == (x == x)
    assert [str(r) for r in (Range(0, 1), Range(0, open_low=True), Range())] == [
        "[0, 1]",
        "(0, inf)",
        "(-inf, inf)",
    ]


@dataclasses.dataclass
class Config:
    rate: Positive = 0.1
    part: Unit | None = None
    count: Count = 1
    widths: Widths = (8, 8)
    shift: Real = 0.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 0.0),
        ("rate", float("nan")),
        ("part", 1.5),
        ("count", 0),
        ("widths", (8, 0)),
        ("shift", float("nan")),
    ],
)
def test_a_value_out_of_range_names_its_field(field, value):
    check_fields(Config())
    check_fields(Config(rate=np.array(-1.0)))  # an array is a sweep
    with pytest.raises(BadConfig, match=rf"Config\.{field} = .*must lie in"):
        check_fields(Config(**{field: value}))


def test_a_misspelt_name_is_met_with_the_closest():
    assert "did you mean sac" in str(unknown("algorithm", "sca", ["ppo", "sac"]))
    assert "known: ppo, sac" in str(unknown("algorithm", "zzzz", ["sac", "ppo"]))


def test_an_algorithm_that_cannot_act_there_says_what_it_serves():
    from peira.algos import get

    with pytest.raises(Unsupported, match=r"DQN cannot act in Box\(\(2,\)\).*Discrete"):
        check_serves(get("dqn")(), Spec(Discrete(2), UNEVEN))
    check_serves(get("dqn")(), Spec(UNEVEN, Discrete(2)))
    with pytest.raises(BadConfig, match="did you mean ppo"):
        get("pppo")


def test_keys_depend_on_the_name_and_every_count():
    keys = [
        fold(root(0), "act"),
        fold(root(0), "learn"),
        fold(root(0), "act", 0),
        fold(root(0), "act", 1),
        fold(root(0), "act", 0, 1),
        fold(root(1), "act"),
    ]
    seen = {tuple(jr.key_data(k).tolist()) for k in keys}
    assert len(seen) == len(keys)
    again = jr.key_data(fold(root(0), "act", 0, 1)).tolist()
    assert tuple(again) in seen
