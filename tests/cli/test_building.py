"""`peira data build`."""

import json

import pytest

from peira.cli import main
from peira.data import read
from peira.evidence.packs import RECIPES


def test_all_sets_are_listed(capsys):
    assert main(["data", "build", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(RECIPES)


def test_a_set_is_built_and_said(tmp_path, capsys):
    out = str(tmp_path / "sets")
    words = ["data", "build", "fourrooms-expert", "--out", out]
    assert main(words) == 0
    data = read(tmp_path / "sets/fourrooms-expert")
    shown = capsys.readouterr().out
    assert f"{data.steps:,} in {data.episodes:,} episodes" in shown
    assert data.fingerprint() in shown
    assert main(words) == 2
    assert "exists: remove it" in capsys.readouterr().err


def test_a_set_is_built_and_said_as_json(tmp_path, capsys):
    words = ["data", "build", "fourrooms-expert", "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    data = read(said["path"])
    assert said["fingerprint"] == data.fingerprint()
    assert said["meta"] == data.meta
    assert said["as_recorded"] in (True, False)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "which sets?"),
        (["fourrooms-expret"], "did you mean fourrooms-expert"),
    ],
)
def test_one_line_for_what_cannot_be(words, fault, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "build", *words]) == 2
    said = capsys.readouterr().err
    assert fault in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("datasets"))
