"""`peira data ...`: every verb, what it prints, and what it says to bad input."""

import json

import numpy as np
import pytest
from episodes import IMAGE, made, REACH, same, VECTOR

import peira
from peira.cli import main
from peira.core import BadConfig, Box, Discrete
from peira.data import read, write
from peira.engine import collect as playing


def said(capsys):
    return capsys.readouterr().out.strip()


def refused(capsys, home, *words):
    """One line, code 2, nothing written; the line."""
    before = sorted(home.rglob("*"))
    assert main(["data", *words]) == 2
    line = capsys.readouterr().err
    assert line.startswith("peira: ")
    assert line.count("\n") == 1
    assert sorted(home.rglob("*")) == before
    return line


@pytest.fixture
def home(tmp_path, monkeypatch):
    here = tmp_path / "home"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


class TestInfo:
    def test_numbers(self, home, capsys):
        data = made({"a": VECTOR}, Discrete(4), likely=True, meta={"env": "Some-v0"})
        write(data, "set")
        assert main(["data", "info", "set", "--json"]) == 0
        found = json.loads(said(capsys))
        assert found["episodes"], found["steps"] == (4, 11)
        assert (found["terminated"], found["truncated"]) == (2, 2)
        assert found["return"]["max"] == pytest.approx(data.returns().max())
        assert found["length"]["mean"] == 11 / 4
        assert found["fingerprint"] == data.fingerprint()
        assert found["env"] == "Some-v0"
        assert found["propensity"]
        assert not found["masked"]

    def test_words(self, home, capsys):
        write(made(lengths=(1000, 1000)), "set", to="csv")
        assert main(["data", "info", "set"]) == 0
        lines = said(capsys).splitlines()
        assert lines[0] == "set"
        assert any(line.split() == ["steps", "2,000"] for line in lines)
        assert any("a guess from the data" in line for line in lines)

    def test_returns_that_are_no_numbers(self, home, capsys):
        data = made()
        data.reward[:] = np.nan
        write(data, "set")
        assert main(["data", "info", "set", "--json"]) == 0
        assert json.loads(said(capsys))["return"]["mean"] is None
        assert main(["data", "info", "set"]) == 0

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["nothing"], "nothing does not exist"),
            (["log"], "no column 'obs' for obs: there are died, gain, push, x"),
            (["log", "--columns", "obs"], "must be ROLE=NAME"),
            (["set", "--env", "Nowhere-v7"], "unknown environment 'Nowhere-v7'"),
            (["set", "--env", "CartPole-v1"], r"its obs is Box((3,)), that of the"),
        ],
    )
    def test_bad_input(self, words, why, home, capsys):
        write(made(), "set")
        (home / "log").write_text("x,push,gain,died\n1,2,3,0\n")
        assert why in refused(capsys, home, "info", *words)


class TestConvert:
    def test_there_and_back(self, home, capsys):
        data = made({"a": VECTOR, "b": IMAGE})
        write(data, "first")
        assert main(["data", "convert", "first", "second", "--to", "minari"]) == 0
        assert said(capsys) == "second"
        assert main(["data", "convert", "second", "third", "--json"]) == 0
        assert json.loads(said(capsys)) == {"paths": ["third"]}
        assert same(read("third"), data)

    def test_an_environment_knows_better(self, home):
        rng = np.random.default_rng(0)
        rows = np.column_stack([rng.normal(size=(9, 3)), rng.uniform(-1, 1, 9)])
        text = "\n".join(",".join(map(str, [*row, -1.0, 0])) for row in rows)
        (home / "log").write_text(f"cos,sin,speed,torque,cost,end\n{text}\n")
        words = ["obs=cos,sin,speed", "action=torque", "reward=cost", "truncated=end"]
        out = ["data", "convert", "log", "set", "--env", "Pendulum-v1"]
        assert main([*out, "--columns", *words]) == 0
        found = read("set")
        assert found.meta["env"] == "Pendulum-v1"
        assert found.spec.action == Box(np.full(1, -2, "f4"), np.full(1, 2, "f4"))
        assert not any("guess" in note for note in found.meta["notes"])
        assert found.steps == 8

    def test_minari_can_make_the_environment_again(self, home):
        from minari import MinariDataset

        write(made(meta={"env": "Pendulum-v1"}), "set")
        assert main(["data", "convert", "set", "theirs", "--to", "minari"]) == 0
        env = MinariDataset("theirs").recover_environment()
        assert env.spec.id == "Pendulum-v1"
        env.close()

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["set", "set"], "set exists: choose another name"),
            (["set", "out", "--to", "hdf"], "unknown format 'hdf'; known: csv, d4rl"),
            (["set", "out", "--to", "d4rl"], "no place for masks of legal actions"),
            (["half", "out"], "not an HDF5 file, or a part of one"),
            (["set"], "the following arguments are required: out"),
        ],
    )
    def test_bad_input(self, words, why, home, capsys):
        write(made(action=Discrete(4), masked=True), "set")
        write(made(), "half", to="d4rl")
        (home / "half").write_bytes((home / "half").read_bytes()[:5000])
        assert why in refused(capsys, home, "convert", *words)


class TestSplit:
    def test_whole_episodes_and_no_other(self, home, capsys):
        data = made(lengths=(3,) * 10)
        write(data, "set")
        words = ["split", "set", "a", "b", "--shares", "0.7", "0.3", "--seed", "1"]
        assert main(["data", *words]) == 0
        assert said(capsys).split() == ["a", "b"]
        a, b = read("a"), read("b")
        assert (a.episodes, b.episodes) == (7, 3)
        both = sorted([*a.returns(), *b.returns()])
        assert both == pytest.approx(sorted(data.returns()))

    def test_equal_shares(self, home):
        write(made(lengths=(1,) * 9), "set")
        assert main(["data", "split", "set", "a", "b", "c", "--to", "csv"]) == 0
        assert [read(name).episodes for name in "abc"] == [3, 3, 3]

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["a"], "two or more"),
            (["a", "b", "--shares", "1"], "as many of both"),
            (["a", "a"], "once"),
            (["a", "set"], "set exists"),
            (["a", "b", "--shares", "1", "-1"], "above zero"),
            (["a", "b", "c", "d", "e"], "4 episodes are too few for 5 parts"),
        ],
    )
    def test_bad_input(self, words, why, home, capsys):
        write(made(), "set")
        assert why in refused(capsys, home, "split", "set", *words)


class TestCollect:
    def test_random(self, home):
        words = ["collect", "--random", "set", "--env", "Pendulum-v1"]
        assert main(["data", *words, "--episodes", "3", "--seed", "4"]) == 0
        found = read("set")
        assert found.lengths.tolist() == [200] * 3
        assert found.truncated.sum() == 3
        assert found.propensity == pytest.approx(0.25)  # uniform from -2 to 2
        assert abs(found.action.mean()) < 0.3
        assert found.action.max() > 1.9
        assert found.meta["policy"] == "random"
        cos, sin, speed = found.obs.T
        assert cos**2 + sin**2 == pytest.approx(1, abs=1e-5)
        later = np.clip(np.abs(np.diff(speed)), 0, 8)[:200]  # true last observations
        assert later.max() < 1.5

    def test_a_run(self, trained, home):
        found = peira.collect(trained, "set", steps=150, stochastic=True)
        assert found.steps == 150
        assert found.meta["policy"] == "ppo"
        assert found.meta["env"] == "CartPole-v1"
        assert ((found.propensity > 0) & (found.propensity < 1)).all()
        greedy = peira.collect(trained, "greedy", episodes=2)
        assert greedy.episodes == 2
        assert greedy.propensity is None
        assert (greedy.reward == 1).all()

    def test_as_many_as_asked_for(self, home):
        one = peira.collect(None, "a", env="CartPole-v1", episodes=13)
        assert one.episodes == 13
        assert one.terminated.sum() == 13
        assert one.propensity == pytest.approx(0.5)
        some = peira.collect(None, "b", env="CartPole-v1", steps=30)
        assert some.steps == 30
        assert (some.reward == one.reward[:30]).all()
        assert (some.obs[:31] == one.obs[:31]).all() or some.episodes > 1
        assert (some.action == one.action[:30]).all()
        assert some.truncated[-1] or some.terminated[-1]

    def test_hosted_episodes_do_not_depend_on_company(self, home, monkeypatch):
        env = {"env": "CartPole-v1", "seed": 3}
        monkeypatch.setattr(
            "peira.cli.collecting.make", lambda name, **k: host(name, **k)
        )
        many = peira.collect(None, "a", episodes=5, **env)
        monkeypatch.setattr("peira.cli.collecting.TOGETHER", 2)
        few = peira.collect(None, "b", episodes=5, **env)
        assert many.fingerprint() == few.fingerprint()

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["out", "--episodes", "1"], "name a policy, or say --random"),
            (["run", "out", "--random", "--episodes", "1"], "one of the two"),
            (["run", "out", "--episodes", "1"], "run does not exist"),
            (["out", "--random", "--episodes", "1"], "needs an environment (--env)"),
            (["out", "--random", "--env", "CartPole-v1"], "how many episodes, or how"),
            (["set", "--random", "--env", "CartPole-v1", "--steps", "9"], "set exists"),
            (["out", "--random", "--steps", "0"], "at least 1"),
            (
                [
                    "out",
                    "--random",
                    "--env",
                    "CartPole-v1",
                    "--steps",
                    "9",
                    "--seed=-1",
                ],
                "seed -1",
            ),
        ],
    )
    def test_bad_input(self, words, why, home, capsys):
        write(made(), "set")
        assert why in refused(capsys, home, "collect", *words)


def host(name, **kwargs):
    from peira.envs import make

    return make(name, backend="gymnasium", **kwargs)


class TestPlaying:
    def test_unbounded_actions_cannot_be_random(self):
        box = Box(np.full(1, -np.inf, "f4"), np.full(1, np.inf, "f4"))
        with pytest.raises(BadConfig, match="need bounds"):
            playing.uniform(box, None, key=playing.root(0))

    def test_masks_are_heeded(self):
        legal = playing.jnp.array([False, True, False, True])
        keys = playing.jr.split(playing.root(0), 200)
        draw = lambda k: playing.uniform(Discrete(4), legal, key=k)
        drawn, log_prob = playing.jax.vmap(draw)(keys)
        assert set(np.asarray(drawn).tolist()) == {1, 3}
        assert np.exp(log_prob) == pytest.approx(0.5)


def test_training_names_what_is_wrong_with_a_dataset(home, capsys):
    write(made(VECTOR, REACH), "set")
    (home / "set/reward.npy").unlink()
    assert main(["train", "td3-bc", "--data", "set"]) == 2
    assert "reward.npy is missing" in capsys.readouterr().err
    assert not (home / "runs").exists()


def test_a_dataset_of_another_world(home, capsys):
    write(made(VECTOR, REACH), "set")
    assert main(["train", "td3-bc", "Pendulum-v1", "--data", "set"]) == 2
    assert "but the environment has" in capsys.readouterr().err
    assert not (home / "runs").exists()
