"""`peira data audit`: what it prints and how it ends; what `peira train` refuses."""

import dataclasses
import json

import numpy as np
import pytest
import recorded
from test_online import walks

import peira
from peira.cli import main
from peira.data import native
from peira.data.audit import audit


@pytest.fixture
def clean(tmp_path):
    native.save(recorded.pendulum(), tmp_path / "clean")
    return str(tmp_path / "clean")


@pytest.fixture
def spoilt(tmp_path):
    data = walks()
    reward = np.array(data.reward)
    reward[[2, 5]] = np.nan
    native.save(dataclasses.replace(data, reward=reward), tmp_path / "spoilt")
    return str(tmp_path / "spoilt")


def test_a_sound_dataset_ends_with_zero(clean, capsys):
    assert main(["data", "audit", clean]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{clean}: ")
    assert "error" not in out
    assert "behaviour" in out
    assert "-> " in out


def test_an_error_ends_with_one(spoilt, capsys):
    assert main(["data", "audit", spoilt, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["sound"]) == (spoilt, False)
    (one,) = said["findings"]
    assert one["check"] == "not-finite"
    assert (one["rows"], one["total"]) == ([2, 5], 2)
    assert one["seen"] == "reward is not finite: steps 2, 5"


def test_another_split_is_compared(clean, tmp_path, capsys):
    data = recorded.pendulum()
    native.save(data.subset(np.array([3, 4])), tmp_path / "part")
    words = ["data", "audit", str(tmp_path / "part"), "--against", clean, "--json"]
    assert main(words) == 1
    said = json.loads(capsys.readouterr().out)["findings"]
    assert said[0]["check"] == "leak"
    found = audit(data.subset(np.array([3, 4])), data)
    assert [f.seen for f in found] == [one["seen"] for one in said]


def test_training_refuses_what_it_cannot_survive(spoilt, tmp_path, capsys):
    words = ["train", "dqn", "--data", spoilt, "--steps", "10", "--hidden", "4"]
    assert main([*words, "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"peira: {spoilt}: reward is not finite: steps 2, 5; see peira data audit "
        f"{spoilt}\n"
    )
    assert not (tmp_path / "runs").exists()


def test_in_memory_too(tmp_path):
    action = np.array(recorded.pendulum().action)
    action[7] = 2.5
    data = dataclasses.replace(recorded.pendulum(), action=action)
    with pytest.raises(peira.PeiraError, match=r"outside \[-2, 2\]: step 7; see peira"):
        peira.train("td3-bc", data=data, steps=9, runs=tmp_path / "runs", sinks=[])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nowhere", "nowhere does not exist"),
        ("", "required: path"),
        ("CLEAN --against nowhere", "nowhere does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_code_two(words, said, clean, capsys):
    words = words.replace("CLEAN", clean).split()
    assert main(["data", "audit", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
