"""Coverage: how many cells of a grid a training has been in, and when that can be
counted."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from peira.cli import main
from peira.core import Box
from peira.engine.fields import plain
from peira.engine.problem import Problem
from peira.engine.run import Run
from peira.evidence.lives import lives
from peira.evidence.studies import load, Place
from peira.evidence.studies.coverage import covered


FILE = """
claim = "Two halves of a walk are not seen by looking on farther."
source = "Nobody, 2026"
direction = "higher"
metric = "coverage"
matters = 0.1
algorithm = "dqn"
hyper = { every = 1, warmup = 3, hidden = [4], batch = 2, capacity = 16 }
about = ["gamma"]

[arms]
near = { gamma = 0.5 }
far = {}

[grid]
"probe:death" = [20]

[tiers.quick]
tasks = ["probe:death"]
runs = 5
plan = { steps = 4, episodes = 2 }
"""
SPACE = Box(
    np.array([0, -1, -np.inf], np.float32), np.array([4, 1, np.inf], np.float32)
)


@pytest.mark.parametrize(
    ("seen", "parts", "cells"),
    [
        ([(0.5, 0, 9)], (4, 1, 1), 1),
        ([(0.5, 0, 9), (0.9, 0.9, -9)], (4, 1, 1), 1),  # twice the same cell
        ([(0.5, 0.1, 9), (0.9, -0.1, -9)], (4, 2, 1), 2),
        ([(0, -1, 0), (4, 1, 0), (3.9, 0.9, 0)], (4, 2, 1), 2),  # bounds belong inside
        ([(1, 0, 0), (0.99, 0, 0)], (4, 1, 1), 2),  # an edge belongs to the upper cell
        ([(i / 10, (-1) ** i / 2, i) for i in range(40)], (4, 2, 1), 8),
    ],
)
def test_cells_are_counted_once(seen, parts, cells):
    obs = np.array(seen, np.float32)
    assert covered(obs, SPACE, parts) == cells / np.prod(parts)
    again = np.repeat(obs, 2, axis=0)[::-1]
    assert covered(again, SPACE, parts) == cells / np.prod(parts)


def begun(path, text):
    (path / "walk.toml").write_text(text)
    return Place.begin(str(path / "walk.toml"), "quick", first=0, out=path)


def rows_of(place, cells):
    for cell in cells:
        work = place.work(cell, place.path)
        work()
        yield place.row(cell, work)


@pytest.mark.usefixtures("_batched_keys")
def test_a_walk_of_four_steps_comes_to_five_places(tmp_path):
    """Of twenty; the last is a successor, from which nothing was done any more."""
    place = begun(tmp_path, FILE)
    (row,) = rows_of(place, place.missing()[:1])
    assert row["metrics"]["coverage"] == 5 / 20
    assert row["metrics"].keys() > {"final", "value"}


@pytest.mark.usefixtures("_batched_keys")
def test_room_that_is_left_in_the_replay_was_not_seen(tmp_path):
    """The point never comes to the corner of zeros, which is a wall."""
    parts = (64, 64, 1, 1)
    text = FILE.replace('"dqn"', '"sac"').replace("every = 1, ", "")
    text = text.replace("probe:death", "PointMaze-medium-corner")
    text = text.replace("[20]", str([*parts])).replace("steps = 4", "steps = 12")
    place = begun(tmp_path, text)
    (cell,) = place.missing()[:1]
    (row,) = rows_of(place, [cell])
    work = place.work(cell, tmp_path)
    problem = Problem(work.learner, work.env, work.plan, "sac", {})
    beat, (life,) = lives(problem, Run.open(work.path), cell.seed, 12)
    data = life.kept.data
    both = np.concatenate([data.obs, data.next_obs]).reshape(-1, 4)
    seen = both[both.any(axis=1)]
    assert (len(both), len(seen)) == (32, 24)
    assert row["metrics"]["coverage"] == covered(seen, beat.spec.obs, parts)
    assert row["metrics"]["coverage"] < covered(both, beat.spec.obs, parts)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[grid]", "[scales]", "say in Study.grid how observations are cut"),
        ("= [20]", "= [20, 2]", "say for each entry of an observation"),
        ("= [20]", "= [0]", "parts are 1 at least"),
        ("= [20]", "= []", "parts are 1 at least"),
        ("= [20]", "= [1]", "cut an entry that has bounds"),
        ("= [20]", "= [2.5]", "Study.grid"),
        ('"probe:death" =', '"probe:loop" =', "say in grid how the observations of"),
        ("capacity = 16", "capacity = 3", "has room for all 4 steps"),
        ("capacity = 16", "prioritised = true", "a uniform replay"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_line(
    old, new, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert old in FILE
    text = FILE.replace(old, new)
    if new == "[scales]":
        text = text.replace("[20]", "[0.0, 1.0]")
    Path("one.toml").write_text(text)
    assert main(["study", "run", "one.toml", "--tier", "quick"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["one.toml"]


def test_bounds_that_are_none_are_no_grid(tmp_path, monkeypatch, capsys):
    """CartPole's velocities have none."""
    monkeypatch.chdir(tmp_path)
    text = FILE.replace("probe:death", "CartPole-v1").replace("[20]", "[1, 4, 1, 1]")
    Path("one.toml").write_text(text)
    assert main(["study", "run", "one.toml", "--tier", "quick"]) == 2
    assert "cut an entry that has bounds, and no other" in capsys.readouterr().err


def test_a_dataset_is_not_explored(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("one.toml").write_text(FILE.replace("probe:death", "fourrooms-random"))
    assert main(["study", "run", "one.toml", "--tier", "quick"]) == 2
    said = capsys.readouterr().err
    assert "coverage is counted where an environment is learned from" in said


def test_a_study_without_a_grid_keeps_the_hash_it_had():
    _, study = load("double-dqn")
    said = plain(study) | {"tiers": {"quick": plain(study.tier("quick"))}}
    assert said.pop("grid") == {}
    text = json.dumps(said, sort_keys=True).encode()
    assert study.version("quick") == hashlib.sha256(text).hexdigest()
