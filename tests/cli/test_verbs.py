"""The verbs that look at a finished run."""

import json
import shutil

import numpy as np
import pytest

import peira
from peira.cli import main
from peira.cli.summary import over_seeds
from peira.engine.checkpoint import steps
from peira.engine.run import Run


def printed(capsys, *words):
    """What a command says as JSON."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_tells_of_each_seed(trained, capsys):
    said = printed(capsys, "evaluate", trained, "--episodes", 4)
    found = peira.evaluate(trained, episodes=4)
    assert [row["seed"] for row in said["seeds"]] == [0, 1]
    for row in said["seeds"]:
        returns = found[row["seed"]].returns
        assert row["episodes"] == 4
        assert row["mean"] == pytest.approx(returns.mean())
        assert (row["min"], row["max"]) == (returns.min(), returns.max())
        low, high = row["interval"]
        assert low <= row["mean"] <= high
    means = [row["mean"] for row in said["seeds"]]
    assert said["over_seeds"]["value"] == pytest.approx(np.mean(means))


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (2, "0.5: mean of 2 seeds, too few for an interval"),
        (5, "2: mean of 5 seeds; their median 2 [0, 4] with its 95 % interval"),
        (10, "4.5 [2.334, 6.666]: mean and 95 % interval over 10 seeds"),
    ],
)
def test_as_many_seeds_as_an_interval_takes(n, said):
    """The last by hand: 4.5 ± 2.2622 · 3.0277 / √10."""
    assert over_seeds(np.arange(float(n))) == said


def test_evaluate_hears_its_seed_and_its_mode(trained):
    one = peira.evaluate(trained, episodes=4)
    assert np.array_equal(
        one[0].returns, peira.evaluate(trained, episodes=4)[0].returns
    )
    other = peira.evaluate(trained, episodes=4, seed=1)
    assert not np.array_equal(one[0].returns, other[0].returns)
    exploring = peira.evaluate(trained, episodes=4, stochastic=True)
    assert not np.array_equal(one[0].returns, exploring[0].returns)


def test_a_policy_away_from_its_run(trained, tmp_path, capsys):
    """It needs to be told its environment, and nothing else."""
    (trained / "seed-1" / "policy").rename(tmp_path / "policy")
    try:
        assert main(["evaluate", str(tmp_path / "policy")]) == 2
        assert "--env" in capsys.readouterr().err
        alone = peira.evaluate(tmp_path / "policy", env="CartPole-v1", episodes=4)
    finally:
        (tmp_path / "policy").rename(trained / "seed-1" / "policy")
    in_run = peira.evaluate(trained / "seed-1", episodes=4)
    assert list(alone) == list(in_run) == [1]
    assert np.array_equal(alone[1].returns, in_run[1].returns)


def test_evaluate_prints_a_table(trained, capsys):
    assert main(["evaluate", str(trained), "--episodes", "4"]) == 0
    out = capsys.readouterr().out
    assert "interval" in out
    assert "mean of 2 seeds, too few" in out


def test_watch_films_where_it_is_told(trained, tmp_path, capsys):
    said = printed(capsys, "watch", trained, "--out", tmp_path / "a.mp4")
    assert said["return"] >= 1
    assert said["path"].startswith(str(tmp_path / "a."))
    assert [p.suffix in (".mp4", ".gif") for p in tmp_path.glob("a.*")] == [True]


def test_runs_are_listed_even_where_one_is_broken(trained, capsys):
    broken = trained.parent / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "config.toml").write_text("= =")
    rows = {row["name"]: row for row in printed(capsys, "runs", trained.parent)}
    assert rows["broken"] == {"name": "broken", "status": "unreadable"}
    first = rows["first"]
    assert (first["status"], first["steps"], first["seeds"]) == ("done", 256, 2)
    assert main(["runs", str(trained.parent)]) == 0
    table = capsys.readouterr().out
    assert "first" in table
    assert "unreadable" in table


def test_a_run_under_way_is_told_from_one_that_stopped(trained, tmp_path, capsys):
    part = shutil.copytree(trained, tmp_path / "part")
    shutil.rmtree(part / "seed-1" / "checkpoints")
    status = lambda: printed(capsys, "runs", tmp_path)[0]["status"]
    assert status() == "stopped"
    with Run.open(part).held():
        assert status() == "training"
        assert main(["resume", str(part)]) == 2
        assert "is being trained by another process" in capsys.readouterr().err
    assert status() == "stopped"


def test_no_runs_is_said(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0
    assert "no runs" in capsys.readouterr().out


def test_compare_a_run_with_its_copy(trained, tmp_path, capsys):
    """No difference, and an even chance."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    plot = tmp_path / "compare.png"
    first, second = printed(capsys, "compare", trained, copy, "--plot", plot)["runs"]
    assert (first["run"], second["run"]) == ("first", "copy")
    assert first["n"] == second["n"] == 2
    assert first["mean"] == second["mean"]
    assert first["mean"]["low"] is None
    assert second["difference"]["value"] == 0.0
    assert second["difference"]["low"] is None
    assert second["difference"]["verdict"] == "cannot tell"
    assert second["improvement"]["value"] == 0.5
    assert plot.stat().st_size > 0
    assert main(["compare", str(trained), str(copy), "--plot", str(plot)]) == 0
    said = capsys.readouterr().out
    assert "no interval of the mean: 2 runs of one task are too few" in said
    assert "copy: no verdict: 2 runs are too few; 5 of each will do" in said
    for by in ("area", "best"):
        rows = printed(capsys, "compare", trained, copy, "--plot", plot, "--by", by)
        assert rows["runs"][0]["mean"] == rows["runs"][1]["mean"] != first["mean"]


def test_runs_of_different_environments_are_named(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = copy / "config.toml"
    config.write_text(config.read_text().replace("CartPole-v1", "Acrobot-v1"))
    with pytest.warns(UserWarning, match="environments: Acrobot-v1, CartPole-v1"):
        peira.compare(trained, copy)


@pytest.mark.parametrize("verb", ["evaluate", "watch"])
def test_a_policy_does_not_act_where_it_cannot(trained, capsys, verb):
    assert main([verb, str(trained), "--env", "Pendulum-v1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the environment has Box((3,)) and actions Box((1,))" in said


def test_a_run_is_not_compared_with_itself(trained, capsys):
    assert main(["compare", str(trained), str(trained)]) == 2
    assert "itself" in capsys.readouterr().err


def test_resume_of_a_finished_run_says_so_and_changes_nothing(trained, capsys):
    before = {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}
    assert main(["resume", str(trained)]) == 0
    assert "finished already" in capsys.readouterr().out
    assert before == {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}


def test_resume_makes_the_run_that_was_never_stopped(trained, tmp_path):
    """Seeds stopped before their last checkpoint end with the same numbers."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    for seed in ("seed-0", "seed-1"):
        folder = copy / seed / "checkpoints"
        shutil.rmtree(folder / f"step-{max(steps(folder))}")
    assert not Run.open(copy).done
    assert main(["resume", str(copy), "--quiet"]) == 0
    whole, again = Run.open(trained), Run.open(copy)
    assert again.done
    assert again.evaluations().equals(whole.evaluations())


def test_algorithms_are_listed(capsys):
    rows = {row["name"]: row for row in printed(capsys, "algorithms")}
    assert rows["sac"]["actions"] == "Box"
    assert main(["algorithms"]) == 0
    assert "Soft actor-critic" in capsys.readouterr().out


def test_a_run_goes_on_for_longer_when_asked(trained, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    assert main(["resume", str(copy), "--steps", "100", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("copy has come to 256 already\n")
    assert main(["resume", str(copy), "--on-nan", "sometimes", "--quiet"]) == 2
    assert "Plan.on_nan" in capsys.readouterr().err
    more = ["--steps", "384", "--on-nan", "skip", "--quiet"]
    assert main(["resume", str(copy), *more]) == 0
    run = Run.open(copy)
    assert run.reached == 384
    assert run.config["plan"]["on_nan"] == "skip"
    assert set(run.metrics()["step"].to_pylist()) > {256, 384}


def test_a_recorded_fault_is_made_again(tmp_path, capsys):
    name = "breaking:breaking"
    words = ["train", "sac", name, "--steps", "200", "--warmup", "20", "--hidden", "4"]
    where = ["--runs", str(tmp_path), "--name", "a", "--quiet"]
    words += ["--env-kwargs", "how=reward", *where]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"see it again with: peira replay-fault {tmp_path}/a\n" in said
    assert main(["replay-fault", str(tmp_path / "a"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["then"] in said
    assert "reward = nan is not finite" in row["now"]
    assert (
        main(["resume", str(tmp_path / "a"), "--on-fault", "restart", "--quiet"]) == 0
    )
    assert (
        sum(filter(None, Run.open(tmp_path / "a").metrics()["faults"].to_pylist())) > 5
    )
