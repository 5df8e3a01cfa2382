"""The way from a dataset into the environment, by hand."""

import numpy as np
import pyarrow as pa
import pytest

from peira.evidence.handover import handover


def evaluations(*seeds):
    """A return for each seed at steps 50, 100, 110, ... ; two episodes around it."""
    rows = []
    for seed, returns in enumerate(seeds):
        steps = [50, 100, *range(110, 100 + 10 * (len(returns) - 1), 10)]
        for step, value in zip(steps, returns, strict=True):
            for off in (-1.0, 1.0):
                row = {"seed": seed, "step": step, "mode": "greedy"}
                rows.append(row | {"return": value + off, "episode": 0})
    return pa.Table.from_pylist(rows)


def test_a_dip_a_recovery_and_the_regret():
    found = handover(evaluations([0, 10, 4, 8, 12], [0, 10, 11, 12, 13]), 100)
    np.testing.assert_array_equal(found.before, [10, 10])
    np.testing.assert_array_equal(found.dip, [6, 0])
    np.testing.assert_array_equal(found.recovery, [30, 0])
    np.testing.assert_allclose(found.regret, [(8 + 4 + 0) / 3, (2 + 1 + 0) / 3])
    np.testing.assert_array_equal(found.after, [12, 13])


def test_what_has_not_come_back():
    found = handover(evaluations([0, 10, 11, 4, 8]), 100)
    assert found.recovery == [np.inf]


@pytest.mark.parametrize("begun", [60, 120])
def test_nothing_is_said_of_what_was_not_evaluated_on_both_sides(begun):
    assert handover(evaluations([0, 10, 11, 4]), begun) is None
