"""A run that cannot fit is refused before it is begun."""

import jax
import pytest
from tiny import Drift, Walk

from peira.core import BadConfig
from peira.data import Replay
from peira.engine import memory
from peira.engine.from_data import size
from peira.engine.loop import beat, unborn
from peira.engine.memory import check_fits
from peira.engine.plan import Plan


class Hoarder(Drift):
    """Says how much it keeps."""

    capacity: int = 10_000

    def store(self, spec):
        return Replay(capacity=self.capacity, batch=4, warmup=10, every=2)


COUNTED = beat(Hoarder(), Walk().spec, Plan(steps=2000), envs=2)
LEARNER, KEPT = map(
    size, unborn(COUNTED.algorithm, COUNTED.spec, COUNTED.store, COUNTED.envs)
)


@pytest.fixture
def free(monkeypatch):
    return lambda n: monkeypatch.setattr(memory, "available", lambda: n)


def test_what_just_fits_is_taken_and_a_byte_more_is_not(free):
    free(3 * (LEARNER + KEPT))
    check_fits(COUNTED, 3)
    free(3 * (LEARNER + KEPT) - 1)
    with pytest.raises(BadConfig, match=r"3 x .* what fits is 2 of 3 seeds or"):
        check_fits(COUNTED, 3)


def test_the_capacity_that_is_advised_fits(free):
    free(KEPT // 2)
    with pytest.raises(BadConfig, match="--capacity") as caught:
        check_fits(COUNTED, 1)
    assert "seeds" not in str(caught.value)
    capacity = int(str(caught.value).split()[-1])
    assert 4000 < capacity < 5000
    less = beat(Hoarder(capacity=capacity), Walk().spec, Plan(steps=2000), envs=2)
    check_fits(less, 1)


def test_where_nobody_says_what_is_free_nothing_is_refused(free):
    free(None)
    check_fits(COUNTED, 10**9)


def test_a_container_may_leave_less_than_the_machine(monkeypatch, tmp_path):
    limit, used = tmp_path / "limit", tmp_path / "used"
    limit.write_text("5000\n")
    used.write_text("2000\n")
    monkeypatch.setattr(memory, "LIMITS", (str(limit),))
    monkeypatch.setattr(memory, "USED", (str(used),))
    assert memory.container() == 3000
    if jax.devices()[0].memory_stats() is None:
        assert memory.available() == 3000
    limit.write_text("max\n")
    assert memory.container() is None
