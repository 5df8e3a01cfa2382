"""`peira doctor`: what it prints and how it ends."""

import json

import pytest

import peira
from peira.cli import main
from peira.evidence import mean


TILL = ["doctor", "own_gymnasium:Till", "--episodes", "4"]


@pytest.fixture(autouse=True)
def importable(monkeypatch, request):
    root = request.config.rootpath
    for folder in ("examples", "tests/envs"):
        monkeypatch.syspath_prepend(root / folder)


def test_a_sound_environment_ends_with_zero(capsys):
    assert main([*TILL, "--seed", "3", "--env-kwargs", "most=9", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["env"], said["sound"]) == ("Till", True)
    assert said["findings"] == []
    assert [s["policy"] for s in said["scores"]] == ["random", "always 2"]
    owed = next(s for s in said["spreads"] if s["name"] == "observation['owed']")
    assert owed["max"] <= 9
    found = peira.doctor(
        "own_gymnasium:Till", episodes=4, seed=3, env_kwargs={"most": 9}
    )
    assert found.sound
    assert found.scores[0].estimate.value == said["scores"][0]["mean"]
    assert said["scores"][0]["interval"][0] == found.scores[0].estimate.low
    other = peira.doctor(
        "own_gymnasium:Till", episodes=4, seed=4, env_kwargs={"most": 9}
    )
    assert other.scores[0] != found.scores[0]


def test_an_error_ends_with_one(capsys):
    assert main(["doctor", "ill:StepRaises", "--episodes", "2"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("StepRaises: 1 error\n")
    assert "step raised ValueError: [/red] 'x' [bold] long" in out  # not as markup
    assert "-> run the environment by hand" in out
    assert main(["doctor", "ill:CannotBeMade", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["scores"] == said["spreads"] == []
    assert said["findings"][0]["seen"].endswith("ZeroDivisionError: no table")


def test_what_is_printed(capsys):
    assert main(TILL) == 0
    out = capsys.readouterr().out
    assert out.startswith("Till: nothing found\n")
    for word in ("what a learner must beat", "always 2", "random play"):
        assert word in out
    assert main(["doctor", "ill:RefusesNothing", "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("RefusesNothing: 1 note\n")
    assert "severity" in out


def test_json_has_no_nan(capsys):
    assert main(["doctor", "ill:Puck", "--episodes", "1", "--json"]) == 0
    out = capsys.readouterr().out
    assert "NaN" not in out
    assert json.loads(out)["scores"][0]["interval"] == [None, None]


def test_scores_are_means_with_their_intervals():
    from peira.envs.doctor import examine

    found = peira.doctor("ill:Puck", episodes=6)
    returns = examine("ill:Puck", episodes=6).returns
    for score in found.scores:
        assert score.estimate == mean(returns[score.policy])
        assert score.episodes == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nowhere", "unknown environment 'nowhere'"),
        ("CartPole-v1 --episodes 0", "at least 1"),
        ("CartPole-v1 --seed -1", "seed = -1"),
        ("CartPole-v1 --env-kwargs gravity", "must be key=value"),
        ("own_gymnasium:Till --env-kwargs least=1", "given were least"),
        ("CartPole-v1 --backend numpy", "invalid choice"),
        ("json:loads", "loads does not say that it makes one"),
        ("ill:vectorised", "examine the one it is made of"),
        ("", "required: env"),
    ],
)
def test_a_mistake_is_one_line_and_code_two(words, said, capsys):
    assert main(["doctor", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
