"""A run from a dataset, as a user makes it."""

import numpy as np
import pytest
from test_online import walks

import peira
from peira.cli import main
from peira.core import DataFault
from peira.data import native


SMALL = {"hidden": (4,), "batch": 4, "film": False, "sinks": []}


@pytest.fixture
def folder(tmp_path):
    native.save(walks(), tmp_path / "walks")
    return tmp_path / "walks"


def test_a_run_without_an_environment_says_so(folder, tmp_path, capsys):
    words = ["train", "dqn", "--data", str(folder), "--steps", "30", "--hidden", "4"]
    words += ["--runs", str(tmp_path), "--name", "a", "--quiet"]
    assert main(words) == 0
    assert main(["runs", str(tmp_path)]) == 0
    assert main(["evaluate", str(tmp_path / "a")]) == 2
    said = capsys.readouterr()
    assert "without an environment: name one (--env)" in said.err
    assert "30" in said.out


def test_a_run_goes_on_with_its_own_dataset_only(folder, tmp_path):
    run = peira.train("dqn", data=folder, steps=20, runs=tmp_path, name="a", **SMALL)
    assert run.config["data"]["path"] == str(folder)
    (folder / "reward.npy").unlink()
    np.save(folder / "reward.npy", -walks().reward)
    with pytest.raises(DataFault, match="not what this run began with"):
        peira.resume(run.path, steps=30)


def test_a_dataset_in_memory_is_handed_over_again(tmp_path):
    run = peira.train("dqn", data=walks(), steps=20, runs=tmp_path, name="a", **SMALL)
    with pytest.raises(DataFault, match="hand it over again"):
        peira.resume(run.path, steps=30)
    assert peira.resume(run.path, data=walks(), steps=30, sinks=[], film=False).done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        (["CartPole-v1", "--data", "DATA"], "the dataset has Box((1,))"),
        ([], "which environment, or which dataset"),
        (["CartPole-v1", "--online", "9"], "there is no --data"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    folder, tmp_path, capsys, words, said
):
    words = [str(folder) if w == "DATA" else w for w in words]
    assert main(["train", "dqn", *words, "--runs", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
