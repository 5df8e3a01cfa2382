"""Training by words and from Python: the same run, whoever asks for it."""

import json

import pytest

import peira
from peira.algos.online.ppo import PPO
from peira.cli import main
from peira.cli.train import pairs
from peira.cli.training import name_of, Task
from peira.core import BadConfig, PeiraError
from peira.engine import memory
from peira.engine.fields import rebuild
from peira.engine.plan import Plan
from peira.engine.problem import Problem
from peira.engine.run import Run
from peira.envs import CartPole, shut, TimeLimit


def test_a_run_leaves_its_curve_and_its_film(trained):
    run = Run.open(trained)
    assert run.done
    assert run.seeds == (0, 1)
    assert (trained / "curve.png").stat().st_size > 0
    assert (trained / "episode.mp4").exists() or (trained / "episode.gif").exists()


def test_the_configuration_repeats_the_run(trained, tmp_path):
    again = ["train", "--config", str(trained / "config.toml")]
    where = ["--runs", str(tmp_path), "--name", "again", "--no-record", "--quiet"]
    assert main([*again, *where]) == 0
    first, second = Run.open(trained), Run.open(tmp_path / "again")
    assert first.config == second.config
    assert first.evaluations().equals(second.evaluations())


def test_what_does_not_fit_into_memory_is_not_begun(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    assert main(["train", "dqn", "CartPole-v1", "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "GiB are free" in said
    assert not (tmp_path / "runs").exists()


def test_what_has_begun_is_not_asked_again(monkeypatch, trained):
    """By then the seeds beside it have taken their part of what was free."""
    config = Run.open(trained).config
    monkeypatch.setattr(memory, "available", lambda: 0)
    plan = rebuild(Plan, config["plan"])
    world, _ = Problem(PPO(), config["env"], plan, "ppo", {}).open()
    shut(world)


def test_flags_override_the_configuration(trained, tmp_path, capsys):
    again = ["train", "--config", str(trained / "config.toml")]
    where = ["--runs", str(tmp_path), "--name", "other", "--no-record", "--json"]
    assert main([*again, "--gamma", "0.5", "--seeds", "1,", *where]) == 0
    config = Run.open(tmp_path / "other").config
    expected = Run.open(trained).config
    assert config["hyper"] == expected["hyper"] | {"gamma": 0.5}
    assert config["plan"] == expected["plan"] | {"seeds": [1]}

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["start", "summary"]
    assert lines[-1]["seeds"] == [1]
    assert lines[-1]["steps"] == 256
    assert lines[-1]["files"] == []
    assert "one seed" in lines[-1]["interval_over"]
    earned = [r for line in lines for r in line.get("returns", [])][-3:]
    assert lines[-1]["return"]["value"] == pytest.approx(sum(earned) / 3)


def test_python_says_the_same_as_the_command_line(trained, tmp_path):
    plan = {"steps": 256.0, "seeds": 2, "episodes": 3, "envs": 4, "evaluate_every": 128}
    algorithm = PPO(rollout=16, epochs=1, minibatches=2, hidden=(8,))
    run = peira.train(
        algorithm, "CartPole-v1", runs=tmp_path, sinks=(), film=False, **plan
    )
    assert run.path.name.startswith("ppo-CartPole-v1-")
    assert run.config == Run.open(trained).config
    assert run.evaluations().equals(Run.open(trained).evaluations())


class Mine(PPO):
    """An algorithm that is in no catalogue."""


def test_an_algorithm_and_an_environment_of_ones_own(tmp_path):
    run = peira.train(
        Mine(rollout=16, epochs=1, minibatches=2, hidden=(8,)),
        TimeLimit(CartPole(), 500),
        steps=64,
        envs=4,
        episodes=1,
        runs=tmp_path,
        name="mine",
        sinks=(),
    )
    assert run.config["algorithm"] == "mine"
    assert (run.path / "curve.png").exists()
    with pytest.raises(PeiraError, match="mine"):
        peira.load_policy(run.path)
    policy = peira.load_policy(run.path, algorithm=Mine)
    assert policy.begin() == ()
    same = peira.evaluate(
        run, env=TimeLimit(CartPole(), 500), algorithm=Mine, episodes=2
    )
    assert same[0].returns.shape == (2,)
    with pytest.raises(PeiraError, match="TimeLimit"):
        peira.evaluate(run, algorithm=Mine)


def test_a_catalogued_name_belongs_to_the_catalogue():
    assert name_of(PPO) == "ppo"
    with pytest.raises(BadConfig, match="catalogued"):
        name_of(type("PPO", (PPO,), {}))


@pytest.mark.parametrize(
    ("algorithm", "fields", "words"),
    [
        ("pop", {}, "unknown algorithm 'pop'"),
        ("ppo", {"gama": 1}, "unknown field 'gama'; did you mean gamma"),
        ("ppo", {"stesp": 1}, "did you mean steps"),
        ("ppo", {"gamma": "high"}, "PPO.gamma = high"),
        ("ppo", {"steps": 0}, "Plan.steps = 0"),
        (PPO(), {"gamma": 0.9}, "unknown field 'gamma'"),
        (PPO(), {"sinks": ("nowhere",)}, "unknown sink"),
    ],
)
def test_python_mistakes_are_named_before_anything_is_written(
    algorithm, fields, words, tmp_path
):
    with pytest.raises(PeiraError) as found:
        peira.train(algorithm, "CartPole-v1", runs=tmp_path, **fields)
    assert words in str(found.value)
    assert not list(tmp_path.iterdir())


def test_names_that_are_taken_are_numbered(tmp_path, monkeypatch):
    task = Task(PPO(), "ALE/Pong-v5", peira.Plan(), {})
    first = task.fresh_name(tmp_path)
    assert first.startswith("ppo-ALE-Pong-v5-")
    monkeypatch.setattr("peira.cli.training.now", lambda: first[-15:])
    for expected in (first, f"{first}-2", f"{first}-3"):
        assert task.fresh_name(tmp_path) == expected
        (tmp_path / expected).mkdir()


def test_arguments_of_an_environment():
    words = ["gravity=9.5", "render=true", "name=cart", "sizes=[1, 2]", "eq=a=b"]
    assert pairs(words) == {
        "gravity": 9.5,
        "render": True,
        "name": "cart",
        "sizes": [1, 2],
        "eq": "a=b",
    }
