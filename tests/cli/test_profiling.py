"""`peira profile`: a table, or JSON, and nothing left behind."""

import json

import peira
from peira.cli import main


def everything(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_a_run_is_measured_and_left_as_it_is(trained, capsys):
    before = everything(trained)
    assert main(["profile", str(trained), "--seconds", "0.01"]) == 0
    said = capsys.readouterr().out
    for word in ("playing", "updates", "compiling", "counted", "MFLOP"):
        assert word in said
    assert everything(trained) == before


def test_json_is_what_python_gives(trained, capsys):
    assert main(["profile", str(trained), "--seconds", "0.01", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = peira.profile(trained, seconds=0.01)
    assert said["seconds"].keys() == dict(found.parts).keys()
    assert said["update"]["flops"] == found.update.flops


def test_a_mistake_is_one_line(tmp_path, capsys, trained):
    for words in (["nowhere"], [str(trained), "--seconds", "0"], [str(tmp_path)]):
        assert main(["profile", *words]) == 2
        said = capsys.readouterr().err
        assert said.startswith("peira: ")
        assert said.count("\n") == 1
