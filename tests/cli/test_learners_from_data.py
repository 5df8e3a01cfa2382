"""Algorithms that learn from a dataset only, as a user meets them."""

import jax
import numpy as np
import pytest

import peira
from peira.algos import get
from peira.cli import main
from peira.core import BadConfig, Box, Discrete, Spec
from peira.data import Dataset
from peira.engine.from_data import beat_from, FromData
from peira.engine.plan import Plan
from peira.engine.policies import load_policy


SMALL = {"hidden": (4,), "batch": 4, "steps": 4, "film": False, "sinks": []}


@pytest.mark.parametrize("name", ["bc", "rvs"])
def test_without_a_dataset_there_is_nothing_to_learn_from(name, tmp_path, capsys):
    runs = tmp_path / "runs"
    assert main(["train", name, "CartPole-v1", "--runs", str(runs)]) == 2
    said = capsys.readouterr().err
    assert "learns from a dataset only: name one with --data" in said
    assert said.count("\n") == 1
    assert not runs.exists()


def walk(*, goals=False):
    """Four episodes of five steps; with `goals`, each told where to go."""
    end = np.arange(20) % 5 == 4
    row = np.random.default_rng(0).normal(50, 9, (24, 2)).astype(np.float32)
    wide = Box(np.full(2, -99, np.float32), np.full(2, 99, np.float32))
    names = ("observation", "achieved_goal", "desired_goal")
    obs = {name: row + i for i, name in enumerate(names)} if goals else row
    return Dataset(
        Spec(dict.fromkeys(names, wide) if goals else wide, Discrete(3)),
        obs,
        (np.arange(20) % 3).astype(np.int32),
        np.linspace(0, 1, 20).astype(np.float32),
        np.zeros(20, bool),
        end,
        5 * np.arange(5),
    )


CASES = {
    "bc": (walk(), {"top": 0.5}),
    "rvs of rewards": (walk(), {"target": 0.3}),
    "rvs of one goal": (walk(), {"outcome": "goal", "goal": (1.0, 2.0)}),
    "rvs of any goal": (walk(goals=True), {"outcome": "goal", "standardise": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_policy_comes_back_as_it_was(case, tmp_path):
    """With what it asks for and how it scales, which no environment could tell; and
    learning from what lies on the host learns the same."""
    data, fields = CASES[case]
    name = case.split()[0]
    run = peira.train(name, data=data, runs=tmp_path, name="a", **SMALL, **fields)
    loaded = load_policy(run.seed(0).path / "policy", get)
    beat = beat_from(loaded.algorithm, data, Plan(steps=4))
    loop = FromData(beat, data, (0,), resident=0)
    loop.advance(4)
    again = loaded.algorithm.policy(loop.learner(0))
    pairs = zip(jax.tree.leaves(loaded.policy), jax.tree.leaves(again), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_the_data_is_one_line_and_nothing_is_written(tmp_path):
    with pytest.raises(BadConfig, match="say the 2 numbers"):
        peira.train("rvs", data=walk(), runs=tmp_path, outcome="goal", **SMALL)
    assert not list(tmp_path.iterdir())
