"""From a table of episodes to a curve and its picture."""

import imageio.v3 as iio
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from peira.evidence.curves import (
    Curve,
    curve,
    describe,
    draw,
    draw_one,
    last_episodes,
)


ROWS = [  # seed, step, mode, return
    (3, 10, "greedy", 1.0),
    (3, 10, "greedy", 3.0),
    (3, 10, "explore", 99.0),
    (3, 20, "greedy", 4.0),
    (3, 20, "greedy", 6.0),
    (3, 30, "greedy", 7.0),
    (7, 10, "greedy", 0.0),
    (7, 10, "greedy", 2.0),
    (7, 20, "greedy", 8.0),
    (7, 20, "greedy", 8.0),
]


def table(rows):
    names = ("seed", "step", "mode", "return")
    return pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def test_a_curve_is_the_mean_return_of_each_seed_where_all_were_evaluated():
    found = curve(table(ROWS))
    assert found.seeds == [3, 7]
    assert found.steps.tolist() == [10, 20]
    assert found.returns.tolist() == [[2.0, 5.0], [1.0, 8.0]]
    assert found.episodes == 2


def test_rows_may_come_in_any_order():
    shuffled = curve(table(ROWS[::-1]))
    assert np.array_equal(shuffled.returns, curve(table(ROWS)).returns)


def test_last_episodes_are_greedy():
    assert last_episodes(table(ROWS)).tolist() == [7.0]
    assert sorted(last_episodes(table(ROWS[:3])).tolist()) == [1.0, 3.0]


def test_what_stands_behind_a_point():
    assert "2 seeds" in describe(curve(table(ROWS)))
    one = describe(curve(table(ROWS[:4])))
    assert "one seed" in one
    assert "interval" not in one


@pytest.mark.parametrize(("n", "banded"), [(4, False), (5, True)])
def test_a_band_is_drawn_where_there_is_an_interval(n, banded):
    returns = np.random.default_rng(0).normal(size=(n, 3))
    one, axes = Curve([*range(n)], np.arange(3), returns, 5), Figure().subplots()
    draw_one(axes, one, label="a", colour="#000000")
    assert bool(axes.collections[0].get_paths()) == banded
    assert ("interval" in describe(one)) == banded


def test_pictures_differ_where_the_runs_do(tmp_path):
    steps = np.arange(5) * 100
    rng = np.random.default_rng(0)
    many = Curve([0, 1, 2], steps, rng.normal(size=(3, 5)), 10)
    flat = Curve([0], steps[:1], np.ones((1, 1)), 10)
    pictures = []
    for i, curves in enumerate([{"a": many}, {"a": many, "b": flat}, {"b": flat}]):
        draw(curves, tmp_path / f"{i}.png", title="three seeds")
        pictures.append(iio.imread(tmp_path / f"{i}.png"))
        assert pictures[-1].std() > 0
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])
