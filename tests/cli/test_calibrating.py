"""What is earned by asking: in a gamble the highest return is the worst advice."""

import json
import warnings

import jax.random as jr
import numpy as np
import pytest

import peira
from peira.algos.offline.dt import DT
from peira.algos.offline.rvs import RvS
from peira.cli import main
from peira.core import asked_for, BadConfig, Box, Facts, Spec
from peira.evidence.calibration import Calibration, calibration


ONE = DT(context=1, width=16, layers=1, return_scale=1.0, learning_rate=1e-2, warmup=1)


@pytest.fixture(scope="module")
def gambles(tmp_path_factory):
    """1000 gambles and sure things, as many of each: returns of -15, 1 and 5."""
    path = tmp_path_factory.mktemp("sets") / "gambles"
    peira.collect(None, path, env="probe:gamble", episodes=1000)
    return path


@pytest.fixture(scope="module")
def run(gambles, tmp_path_factory):
    return peira.train(
        ONE,
        "probe:gamble",
        data=gambles,
        steps=300,
        episodes=1,
        runs=tmp_path_factory.mktemp("runs"),
        sinks=(),
    )


def test_luck_is_asked_for_in_vain(run):
    """A return of 5 comes after gambles only, one of 1 after the sure thing only."""
    found = peira.calibrate(run, (5.0, 1.0), episodes=200)
    assert found.asked.tolist() == [1.0, 5.0]
    sure, lucky = found.earned
    assert sure == (1.0, 1.0, 1.0)
    assert lucky.low < -5 < lucky.high
    assert "by 6" in found.luck or "by 5" in found.luck
    assert "than asked for 1" in found.luck


def test_the_command_says_the_same(run, capsys):
    words = ["calibrate", str(run.path), "--asked=1,5", "--episodes", "50"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = peira.calibrate(run, (1.0, 5.0), episodes=50)
    assert [row["asked"] for row in said["rows"]] == [1.0, 5.0]
    assert [row["earned"]["value"] for row in said["rows"]] == [
        one.value for one in found.earned
    ]
    assert said["luck"] == found.luck
    assert main(words) == 0
    assert found.luck in " ".join(capsys.readouterr().out.split())


def test_asking_for_what_it_was_told_changes_nothing(run):
    """The default is the best of the data."""
    usual = peira.evaluate(run, episodes=20)[0].returns
    asked = peira.calibrate(run, (5.0,), episodes=20).returns[0, 0]
    assert np.array_equal(usual, asked)


def test_a_return_unlike_any_of_the_dataset_is_warned_of(run):
    """Those of the dataset lie between -15 and 5: up to 20 further is not far."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peira.calibrate(run, (-35.0, 25.0), episodes=1)
    for asked in (-36.0, 26.0):
        with pytest.warns(UserWarning, match=f"asked = {asked:g}: .* from -15 to 5;"):
            peira.calibrate(run, (asked,), episodes=1)


def test_who_is_not_told_cannot_be_asked(trained, capsys):
    assert main(["calibrate", str(trained), "--asked", "1"]) == 2
    assert "not told what to reach" in capsys.readouterr().err
    assert main(["calibrate", str(trained), "--asked", "1,much"]) == 2
    assert "--asked" in capsys.readouterr().err
    with pytest.raises(BadConfig, match="finite"):
        calibration([], [float("nan")], lambda policy: np.zeros(3))


def begun(**fields):
    """RvS that has learned nothing, of a dataset whose returns go from -10 to 30."""
    wide = Box(np.full(1, -1, np.float32), np.full(1, 1, np.float32))
    facts = Facts(np.zeros(1), np.ones(1), 10, 2, 5, 30.0, -10.0)
    learner = RvS(hidden=(4,), **fields)
    spec = Spec(wide, wide, data=facts)
    return learner.policy(learner.init(spec, key=jr.key(0)))


@pytest.mark.parametrize(("target", "share"), [(30, 1), (-10, 0), (10, 0.5), (50, 1.5)])
def test_a_return_as_rvs_is_told_it(target, share):
    """As a share of the way from the worst of the data to the best."""
    assert asked_for(begun(), target).asked.wanted == pytest.approx(share)


def test_a_share_that_is_far_outside_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun(target=2.0), begun(target=-1.0)
        begun(outcome="goal", goal=(0.5,), target=9.0)  # which is not asked for
    for target in (2.1, -1.1):
        with pytest.warns(UserWarning, match=f"RvS.target = {target}: .* -10 to 30;"):
            begun(target=target)


def test_a_goal_is_no_return():
    with pytest.raises(BadConfig, match="asked for a goal"):
        asked_for(begun(outcome="goal", goal=(0.5,)), 1.0)


def test_luck_is_told_from_noise_only_with_runs_enough():
    """Of three policies nothing is said, however far apart."""
    apart = np.stack([np.full((3, 4), 9.0), np.zeros((3, 4))])
    assert Calibration(np.array([1.0, 5.0]), apart).luck == ""
    noise = 0.1 * np.random.default_rng(0).normal(size=(2, 6, 4))
    six = np.repeat(apart[:, :1], 6, axis=1) + noise
    assert "by 8.963: " in Calibration(np.array([1.0, 5.0]), six).luck
    assert Calibration(np.array([1.0, 5.0]), six[::-1]).luck == ""
    assert Calibration(np.array([1.0]), six[:1]).luck == ""
