"""Judging and choosing policies from the command line and in Python."""

import dataclasses
import json
import math
import re

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from evidence.played import played

import peira
from peira.cli import main
from peira.core import Policy
from peira.data import native
from peira.envs import make


QUICK = ["--members", "2", "--updates", "20"]


class Swaying(Policy[tuple[()]]):
    """Against the lean of the pole, or anything at all."""

    def begin(self):
        return ()

    def __call__(self, carry, t, *, key, explore):
        if explore:
            return jr.randint(key, (), 0, 2), (), ()
        return (t.obs[2] > 0).astype(jnp.int32), (), ()


@pytest.fixture(scope="module")
def data():
    return played(make("CartPole-v1"), 200, limit=200, name="CartPole-v1")


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "random"
    native.save(data, path)
    return path


def said(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def line(capsys, *words):
    assert main([*map(str, words)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    return out.err


def test_ope_judges_every_seed(trained, folder, capsys):
    methods = "fqe,wpdis,bound"
    rows = said(
        capsys, "ope", trained, "--data", folder, "--method", methods,
        "--stochastic", "--gamma", 0.5, *QUICK,
    )  # fmt: skip
    assert [(r["seed"], r["method"]) for r in rows] == [
        (k, m) for k in (0, 1) for m in methods.split(",")
    ]
    for row in rows:
        assert row["refused"] is None
        assert row["episodes"] == 200
    weighted = rows[1]["estimate"]
    assert weighted["value"] == pytest.approx(2, abs=0.02)  # 1 + 1/2 + 1/4 + ...
    assert rows[1]["effective"] > 50
    assert rows[2]["estimate"]["high"] is None
    assert rows[2]["estimate"]["low"] < 2
    assert rows[0]["effective"] is None


def test_ope_prints_a_table_and_its_notes(trained, folder, capsys):
    one = trained / "seed-0"
    words = ["ope", one, "--data", folder, "--method", "wdr,bound", *QUICK]
    assert main([*map(str, words)]) == 0
    out = capsys.readouterr().out
    assert "at least" in out
    assert "refused" in out  # a greedy policy against long random episodes
    assert "bound: holds if no episode can return less than 0" in out


def test_ope_of_a_policy_without_a_run(data):
    """It is worth 2 in every way: nobody falls in the steps that count at this γ."""
    found = peira.ope(Swaying(), data, methods=["pdis", "wpdis"], gamma=0.5)[0]
    assert found[0].estimate.low <= 2 <= found[0].estimate.high
    assert found[1].estimate.value == pytest.approx(2, abs=0.02)
    for j in found:  # of 200 episodes
        assert re.search(r"no episode does .* more than \d+ steps", j.notes[-1])
    explored = peira.ope(Swaying(), data, methods=["wis"], stochastic=True, gamma=0.5)
    assert explored[0][0].estimate.value == pytest.approx(2, abs=0.01)


def test_select_without_the_environment(trained, folder, capsys):
    words = ["select", trained, "--data", folder, "--method", "wpdis", "--gamma", 0.5]
    found = said(capsys, *words, "--stochastic")
    names = [f"{trained}/seed-{k}" for k in (0, 1)]
    assert sorted(row["policy"] for row in found["policies"]) == names
    assert found["winner"] == found["policies"][0]["policy"]
    assert found["naive"]["value"] == found["policies"][0]["value"]
    assert found["score"]["value"] <= found["naive"]["value"]
    assert found["episodes"] == {"choosing": 0, "scoring": 0}
    assert found["updates"] == 0
    assert "discounted return (gamma 0.5) by wpdis" in found["what"]


def test_select_by_fitting_tells_its_cost(trained, data):
    found = peira.select(trained, data=data, members=2, updates=20)
    assert found.updates == 2 * 2 * 20
    assert math.isfinite(found.score.value)
    assert found.score.low < found.score.value < found.score.high


def test_select_by_episodes(trained, capsys):
    found = said(capsys, "select", trained, "--budget", 20)
    cost = found["episodes"]
    assert cost["choosing"] + cost["scoring"] == 20
    assert cost["scoring"] >= 4
    assert [row["rounds"] for row in found["policies"]] == [1, 1]
    assert sum(row["episodes"] for row in found["policies"]) == cost["choosing"]
    again = peira.select(trained, budget=20)
    assert again.winner == found["winner"]
    assert again.score.value == found["score"]["value"]
    fresh = peira.evaluate(trained, episodes=20)
    seed = int(found["winner"][-1])
    assert not np.isin(found["score"]["value"], fresh[seed].returns.mean())


def test_select_prints_choice_score_and_cost(trained, capsys):
    assert main(["select", str(trained), "--budget", "12"]) == 0
    out = capsys.readouterr().out
    for word in ("chosen", "score", "naive", "cost", "episodes chose"):
        assert word in out


def test_a_dataset_leaves_out_whom_the_budget_cannot_race(trained, data):
    """Two policies take 4 episodes; for 3 the data decides who is scored."""
    found = peira.select(
        trained, data=data, budget=3, method="wpdis", gamma=0.5, stochastic=True
    )
    assert found.choosing == 0
    assert found.scoring == 3
    assert found.table[0]["policy"] == found.winner
    assert found.table[1]["left out by"] == "wpdis"
    by_data = peira.select(
        trained, data=data, method="wpdis", gamma=0.5, stochastic=True
    )
    assert by_data.winner == found.winner


def test_one_line_for_whatever_is_wrong(trained, folder, data, tmp_path, capsys):
    other = dataclasses.replace(
        data,
        spec=dataclasses.replace(data.spec, action=make("Acrobot-v1").spec.action),
    )
    native.save(other, tmp_path / "other")
    wrong = {
        ("ope", trained, "--data", tmp_path / "none"): "does not exist",
        ("ope", trained, "--data", tmp_path / "other"): "but the dataset has",
        (
            "ope",
            trained,
            "--data",
            folder,
            "--method",
            "wish",
        ): "did you mean wis",
        ("ope", trained, "--data", folder, "--gamma", 2): "gamma = 2.0",
        ("ope", tmp_path, "--data", folder): "neither a run nor a policy",
        ("select", trained): "--data",
        ("select", trained, "--budget", 3): "2 policies take 4 episodes at least",
        ("select", trained, "--budget", -1): "--data",
        ("select", trained, trained, "--budget", 9): "named twice",
        ("select", trained, "--data", folder, "--method", "bound"): "no error",
        ("select", trained, "--budget", 9, "--env", "Pendulum-v1"): "environment has",
    }
    for words, why in wrong.items():
        assert why in line(capsys, *words), words
