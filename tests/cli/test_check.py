"""`peira check` and `peira.check`: what is checked, what is printed, and exit codes."""

import json
import sys

import pytest

import peira
from peira.algos import get
from peira.algos.online.ppo import PPO
from peira.cli import checking, main
from peira.core import BadConfig
from peira.evidence.conformance import CHECKS, Finding


LAZY = """
from typing import ClassVar
from peira.core import Algorithm, Discrete, Unit

class Whole(Algorithm):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    gamma: Unit = 0.9
    store = init = policy = update = lambda self, *args, **kwargs: 1 / 0

class Needy(Algorithm):
    serves: ClassVar = frozenset({Discrete})
    gamma: Unit
    store = init = policy = update = lambda self, *args, **kwargs: 1 / 0

class Half(Algorithm):
    serves: ClassVar = frozenset({Discrete})

class Nowhere(Algorithm):
    gamma: Unit = 0.9
    store = init = policy = update = lambda self, *args, **kwargs: 1 / 0

instance = Whole()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory with modules in it."""
    (tmp_path / "lazy.py").write_text(LAZY)
    (tmp_path / "wrong.py").write_text("import\n")
    (tmp_path / "risen.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("lazy", "wrong", "risen"):
        sys.modules.pop(name, None)


@pytest.fixture
def asked(monkeypatch):
    """The subjects of checks, none of which is made."""
    subjects = []

    def examine(subject):
        subjects.append(subject)
        yield Finding("keys", "no key is used twice", "holds", "")
        yield Finding("masks", "nothing illegal", "does not apply", "no masks")

    monkeypatch.setattr(checking, "examine", examine)
    return subjects


BAD = {
    "check": ["which algorithm?", "usage: peira check"],
    "check --json": ["which algorithm?"],
    "check pqo": ["unknown algorithm 'pqo'", "ppo"],
    "check nowhere:Whole": ["algorithm 'nowhere:Whole'", "No module named 'nowhere'"],
    "check wrong:Whole": ["algorithm 'wrong:Whole'", "SyntaxError"],
    "check risen:Whole": ["algorithm 'risen:Whole'", "ZeroDivisionError"],
    "check lazy:Hole": ["algorithm of lazy 'Hole'", "Whole"],
    "check lazy:instance": ["'lazy:instance' is no algorithm"],
    "check json:loads": ["'json:loads' is no algorithm"],
    "check peira:Algorithm": ["'peira:Algorithm' is no algorithm"],
    "check lazy:Needy": ["Needy cannot be made", "gamma", "default"],
    "check lazy:Half": ["Half cannot be made", "store", "all four functions"],
    "check lazy:Nowhere": ["Nowhere.serves", "Discrete"],
    "check ppo extra": ["which algorithm?"],
    "check ppo --json extra": ["'extra'", "peira check"],
    "check ppo --gama 0.9": ["gama", "gamma"],
    "check ppo --gamma 1.5": ["PPO.gamma = 1.5", "[0, 1]"],
    "check ppo --gamma high": ["PPO.gamma", "FLOAT"],
    "check ppo --decide-within 0": ["decide_within = 0", "at least 1"],
}


@pytest.mark.parametrize("line", BAD)
def test_a_mistake_is_one_line_and_code_two(line, home, capsys):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("peira: ")
    assert err.count("\n") == 1
    for word in BAD[line]:
        assert word in err


def test_what_fails_is_told_and_ends_with_code_one(home, capsys):
    assert main(["check", "lazy:Whole", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["algorithm"] == "lazy:Whole"
    found = {row["check"]: row for row in said["checks"]}
    assert list(found) == [check.name for check in CHECKS]
    assert found["works"]["verdict"] == "fails"
    assert "ZeroDivisionError" in found["works"]["seen"]
    others = {row["verdict"] for row in said["checks"][1:]}
    assert others == {"does not apply"}
    assert main(["check", "lazy:Whole"]) == 1
    table = capsys.readouterr().out
    assert "ZeroDivisionError: division by zero" in table
    assert f"0 hold, {len(CHECKS) - 1} do not apply, 1 fail" in table


def test_what_holds_ends_with_code_zero(asked, capsys):
    assert main(["check", "ppo"]) == 0
    assert "1 hold, 1 do not apply, 0 fail" in capsys.readouterr().out


def test_fields_are_those_said_and_small_otherwise(asked):
    words = ["--gamma", "0.99", "--no-anneal", "--hidden=4,4", "--decide-within", "100"]
    assert main(["check", "ppo", *words, "--json"]) == 0
    (subject,) = asked
    assert subject.given == {"gamma": 0.99, "anneal": False, "hidden": (4, 4)}
    assert subject.updates == 100
    for algorithm in (subject.small, subject.quick):
        assert (algorithm.gamma, algorithm.anneal) == (0.99, False)  # though usual
        assert algorithm.hidden == (4, 4)
    assert subject.small.rollout == 8
    assert subject.quick.learning_rate == 3e-3
    assert subject.quick.clip == PPO().clip


@pytest.mark.parametrize("algorithm", ["ppo", "peira.algos.online.ppo:PPO", PPO, PPO()])
def test_an_algorithm_is_named_in_four_ways(asked, algorithm):
    found = peira.check(algorithm, gamma=0.5)
    assert [f.verdict for f in found] == ["holds", "does not apply"]
    assert asked[0].cls is PPO
    assert asked[0].given == {"gamma": 0.5}


def test_an_instance_keeps_what_is_not_usual(asked):
    peira.check(PPO(clip=0.1, hidden=(3,), anneal=False), clip=0.3)
    assert asked[0].given == {"clip": 0.3, "hidden": (3,), "anneal": False}


def test_an_instance_need_not_have_defaults(home, asked, monkeypatch):
    monkeypatch.syspath_prepend(home)
    peira.check(checking.named("lazy:Needy")(gamma=0.7))
    assert asked[0].given == {"gamma": 0.7}
    assert asked[0].quick.gamma == 0.7


@pytest.mark.parametrize("thing", [3, int, get, peira.Algorithm])
def test_anything_else_is_no_algorithm(thing):
    with pytest.raises(BadConfig, match="is no algorithm"):
        checking.found(thing)


def test_help_shows_every_field(capsys):
    assert main(["check", "--help"]) == 0
    assert "usage: peira check" in capsys.readouterr().out
    assert main(["check", "dqn", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--target-every" in shown
    assert "--decide-within" in shown
