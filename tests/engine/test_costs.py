"""No update costs more than it did: counted, not timed."""

import pytest
from costs import counted, differs, kept

from peira import algos
from peira.engine.cost import Cost


@pytest.mark.parametrize("name", algos.catalogue)
def test_an_update_costs_what_is_written_down(name):
    """After a change that is meant: python tests/costs.py --write WHY"""
    cost, row = counted(name), kept().get(name)
    assert not differs(cost, row), f"{cost} instead of {row}"


def test_nothing_else_is_written_down():
    assert kept().keys() == algos.catalogue.keys()
    assert all(row["why"] for row in kept().values())


def test_a_little_more_is_noticed():
    row = {"flops": 100.0, "traffic": 100.0, "why": "test"}
    assert not differs(Cost(101.9, 98.1), row)
    assert differs(Cost(102.1, 100.0), row)
    assert differs(Cost(100.0, 97.9), row)
    assert differs(Cost(100.0, 100.0), None)
