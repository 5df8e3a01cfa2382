"""What intervals say of themselves is what was measured."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from peira.evidence import interval
from peira.evidence.intervals import MEASURED


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    path = ROOT / "bench" / "coverage.py"
    spec = importlib.util.spec_from_file_location("bench_coverage", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # for what the scripts share
        spec.loader.exec_module(module)
    return module


def test_what_is_stated_was_measured(bench):
    assert json.loads(MEASURED.read_text()) == bench.stated()


def test_an_interval_states_its_coverage():
    scores = np.random.default_rng(0).normal(size=(12, 9))
    least, most = interval(scores).coverage
    assert 0.85 < least <= most <= 1.0
    row = {"method": "t", "tasks": 9, "runs": 10}
    said = [r for r in json.loads(MEASURED.read_text()) if row.items() <= r.items()]
    assert (least, most) == (said[0]["least"], said[0]["most"])
    assert interval(scores[:2]).coverage is None


def test_shapes_have_the_mean_that_is_said(bench):
    rng = np.random.default_rng(0)
    for shape in bench.SHAPES:
        x = bench.draw(rng, shape, 40_000, 2, 9)
        error = x.std() / np.sqrt(x.size)
        assert x.mean() == pytest.approx(bench.truths(shape, 9)["mean"], abs=5 * error)


def test_a_batch_is_repeated_exactly(bench, monkeypatch):
    monkeypatch.setattr(bench, "TRIALS", 3)
    for cell in list(bench.cells())[:2] + list(bench.cells())[-1:]:
        one, two = (
            bench.SECTIONS[cell["section"]](cell, np.random.default_rng(1))
            for _ in range(2)
        )
        assert one == two
        assert one["trials"] == 3
