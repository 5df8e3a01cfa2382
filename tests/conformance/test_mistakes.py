"""Every check sees the mistake it is for, and none of its neighbours does."""

import itertools
import re

import pytest
from broken import learner
from mistakes import GROUPS, HEEDLESS, MISTAKES, Unbounded, Unexplained

from peira.evidence.conformance import CHECKS, examine, Subject


NAMES = [check.name for check in CHECKS]
FEW = 1_000  # updates: a linear function needs no more


def failing(subject, check):
    """The checks that fail of the group that the check is in, and of its form."""
    (group,) = (names for names in GROUPS.values() if check in names)
    looked = [c for c in CHECKS if c.name in (*GROUPS["form"], *group)]
    return [f.check for f in examine(subject, looked) if f.verdict == "fails"]


def test_every_check_has_a_group_and_a_mistake():
    assert sorted(itertools.chain(*GROUPS.values())) == sorted(NAMES)
    known = {check for check, _ in MISTAKES} | {"explained", "bounded"}
    assert known == set(NAMES)


@pytest.mark.parametrize(
    ("check", "parts"), MISTAKES, ids=[f"{name}-{'-'.join(p)}" for name, p in MISTAKES]
)
def test_a_mistake_is_seen_by_its_check_alone(check, parts):
    assert failing(Subject(learner(**parts), updates=FEW), check) == [check]


@pytest.mark.parametrize(
    ("check", "cls"), [("explained", Unexplained), ("bounded", Unbounded)]
)
def test_a_field_without_its_due_is_seen(check, cls):
    assert failing(Subject(cls), check) == [check]


def test_illegal_actions_are_counted():
    (masks,) = (check for check in CHECKS if check.name == "masks")
    (found,) = examine(Subject(learner(**HEEDLESS)), [masks])
    assert found.verdict == "fails"
    assert re.fullmatch(
        r"shown: \d+ of 32 actions are illegal; explored: .*; roamed: .*", found.seen
    )
