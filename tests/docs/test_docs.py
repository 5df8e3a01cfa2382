"""What the pages say is so: their Python runs, their command lines parse."""

import itertools
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import peira
from peira import cli
from peira.cli import checking, sweep, train, training
from peira.cli.diagnosis import say
from peira.core import Discrete, Spec
from peira.data import Dataset


ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
NO = np.zeros(1, bool)
STEP = Dataset(
    Spec(Discrete(2), Discrete(2)),
    np.zeros(2, np.int32),
    np.zeros(1, np.int32),
    np.zeros(1, np.float32),
    terminated=~NO,
    truncated=NO,
    starts=np.arange(2),
)
"""Whatever `--data` names."""
CONFIG = 'algorithm = "ppo"\nenv = "CartPole-v1"\n'


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page, files included into them read."""
    fence = rf"^``` ?{{?\.?{language}}}?\n(.*?)^```"
    found = re.findall(fence, page.read_text(), re.M | re.S)
    include = lambda m: (ROOT / m[1]).read_text()
    return [re.sub(r'^--8<-- "(.+)"$', include, text, flags=re.M) for text in found]


def command_lines(page: Path) -> list[list[str]]:
    lines = "".join(blocks(page, "sh")).splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [[w for w in line if not re.match(r"[A-Z_]+=", w)] for line in words if line]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def run_page(tmp_path, monkeypatch):
    """Runs a page's blocks of Python in order, in a folder of its own, as a reader
    would: with nothing that the suite checks besides. What they define."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)

    def run(page: Path) -> dict[str, Any]:
        with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):
            for i, source in enumerate(blocks(page, "python")):
                code = compile(source, f"{name(page)}, block {i + 1}", "exec")
                exec(code, vars(module))
        return vars(module)

    return run


README, QUICK = ROOT / "README.md", ROOT / "docs/quickstart.md"
ALGORITHM = ROOT / "docs/own_algorithm.md"
OTHERS = [p for p in PAGES if blocks(p, "python") and p not in (README, ALGORITHM)]


@pytest.mark.parametrize("page", OTHERS, ids=name)
def test_python_runs(page, run_page):
    run_page(page)


def test_the_readme_quotes_the_quick_start():
    assert blocks(README, "python")[0] == blocks(QUICK, "python")[0]


def test_the_new_algorithm_learns_the_new_world(run_page):
    found = run_page(ALGORITHM)
    assert found["scores"][0].returns.mean() == 1.0
    assert found["state"].net.net(jnp.zeros(1)) == pytest.approx(1.0, abs=1e-2)


SAID = [(name(p), line) for p in PAGES for line in command_lines(p)]
PEIRA = [(page, line[1:]) for page, line in SAID if line[0] == "peira"]


def parts(words: list[str]) -> set[tuple[str, ...]]:
    """What a line of `peira train` says: flags of an algorithm, with their values but
    for those that name places. Environments and datasets are not asked for here."""
    named = list(itertools.takewhile(lambda w: not w.startswith("--"), words))
    flags = re.split(r"(?:^| )--", " ".join(words[len(named) :]))[1:]
    places = ("data", "name", "runs", "config")
    said = (flag.split() for flag in flags)
    about = (str(len(named)), *named[:2])
    return {about} | {
        (*about[1:], *(flag[:1] if flag[0] in places else flag)) for flag in said
    }


def telling(lines: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """The lines, but for those of `peira train` that say nothing which none before
    does: to read the flags of an algorithm takes long."""
    known: set[tuple[str, ...]] = set()
    found = []
    for page, words in lines:
        said = parts(words) if words[0] == "train" else {(page, *words)}
        if not said <= known:
            found.append((page, words))
        known |= said
    return found


def test_a_line_is_left_out_only_for_what_others_say():
    lines = [
        "train bc A --data a --top 0.1 --steps 5",
        "train bc B --data b --steps 5 --top 0.1",  # other places
        "train bc A --steps 5",
        "train bc A --steps 6",  # another value
        "train bc --data a --steps 6",  # without an environment
        "train iql A --steps 5",  # another algorithm
        "runs x",
        "runs x --json",
    ]
    kept = [words for _, words in telling([("", line.split()) for line in lines])]
    assert kept == [lines[i].split() for i in (0, 3, 4, 5, 6, 7)]
    all_said = set().union(*(parts(w) for _, w in PEIRA if w[0] == "train"))
    kept_said = set().union(*(parts(w) for _, w in telling(PEIRA) if w[0] == "train"))
    assert kept_said == all_said


PARSED = telling(PEIRA)


@pytest.mark.parametrize(
    ("page", "words"), PARSED, ids=[" ".join(w) for _, w in PARSED]
)
def test_command_lines_parse(page, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/first").mkdir(parents=True)
    (tmp_path / "runs/first/config.toml").write_text(CONFIG)
    asked = []
    monkeypatch.setattr(train, "train", lambda task, options: asked.append(task))
    monkeypatch.setattr(training, "read", lambda path: STEP)
    monkeypatch.setattr(
        checking, "examine", lambda subject: asked.append(subject) or ()
    )
    monkeypatch.syspath_prepend(ROOT / "examples")
    if words[0] == "check":
        assert cli.main(words) == 0
        assert len(asked) == 1
    elif words[0] == "sweep":
        monkeypatch.setattr(sweep, "begin", lambda *found: asked.append(found))
        monkeypatch.setattr(sweep.Place, "open", lambda path: asked.append(path))
        monkeypatch.setattr(sweep, "go_on", lambda *_, **__: None)
        monkeypatch.setattr(sweep, "say", lambda *_, **__: None)
        assert cli.main(words) == 0
        assert len(asked) == 1
    elif words[0] != "train":
        assert cli.parser().parse_args(words).verb == words[0]
    elif "--help" in words:
        assert cli.main(words) == 0
        assert "--" in capsys.readouterr().out
    else:
        train.command(words[1:])
        assert len(asked) == 1


def test_what_the_doctor_says_is_what_is_shown(monkeypatch, capsys):
    """But for how the lines are broken."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    (shown,) = blocks(ROOT / "docs/doctor.md", "text")
    say(peira.doctor("unwell:Tank"), json=False)
    unbroken = lambda text: re.sub(r"[\s─]", "", text)
    assert unbroken(capsys.readouterr().out) == unbroken(shown)


def test_the_study_that_is_shown_is_one(tmp_path):
    from peira.evidence.studies import load

    (shown,) = blocks(ROOT / "docs/studies.md", "toml")
    (tmp_path / "shown.toml").write_text(shown)
    name, study = load(tmp_path / "shown.toml")
    assert (name, study.about) == ("shown", ("learning_rate",))


def test_every_study_has_its_verdict(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    from peira.evidence.studies import load, rows, shipped

    assert "<!-- evidence -->" in (ROOT / "docs/evidence.md").read_text()
    monkeypatch.setattr(hooks, "STUDIES", tmp_path)
    assert hooks.evidence().count("| not run yet |") == len(shipped())
    _, study = load("double-dqn")
    row = {"study": "double-dqn", "tier": "quick", "task": "CartPole-v1", "code": "1"}
    row |= {"version": study.version("quick"), "seconds": 60.0, "config": {}}
    row |= {"versions": {"jax": "1"}}
    made = [
        row | {"arm": a, "seed": s, "run": f"{a}{s}", "metrics": {"value": x + s / 9}}
        for a, x in (("double", 80.0), ("plain", 95.0))
        for s in range(10)
    ]
    rows.write(tmp_path / "double-dqn-quick-from-7.jsonl", made)
    (line,) = [x for x in hooks.evidence().splitlines() if "`double-dqn-quick" in x]
    assert "**supported**: double is lower | -15 [" in line
    assert line.endswith("| 10 | 20 min |")
    changed = [{**one, "version": "another"} for one in made]
    rows.write(tmp_path / "double-dqn-quick-from-7.jsonl", changed)
    assert "has changed since these rows were made" in hooks.evidence()


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = {line[1] for _, line in SAID if line[0] == "make"}
    assert targets >= {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_every_algorithm_has_a_page_and_its_table():
    from peira.algos import catalogue

    pages = {p.stem.replace("_", "-"): p for p in ROOT.glob("docs/algorithms/*.md")}
    assert pages.keys() == {*catalogue, "index"}
    for algorithm in catalogue:
        assert f"<!-- fields: {algorithm} -->" in pages[algorithm].read_text()


def test_every_check_is_told(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    from peira.envs.doctor import CHECKS

    assert "<!-- doctor -->" in (ROOT / "docs/doctor.md").read_text()
    assert all(f"| `{name}` | {CHECKS[name]} |" in hooks.examined() for name in CHECKS)


def test_every_finding_of_the_audit_is_told(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    from peira.data.audit import KINDS

    assert "<!-- audit -->" in (ROOT / "docs/audit.md").read_text()
    rows = hooks.audited().splitlines()[2:]
    assert [tuple(row.strip("| ").split(" | ")) for row in rows] == [
        (f"`{name}`", *kind) for name, kind in KINDS.items()
    ]


def test_tables_tell_every_field(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    rows = hooks.table("sac").splitlines()
    assert "| `learning_rate` | 3e-4 | > 0 | Adam's step size" in rows[2]
    assert "| `target_entropy` | none | any, none |" in hooks.table("sac")
    assert "| `hidden` | 256, 256 | ≥ 1 |" in hooks.table("sac")
    assert all(
        row.count("|") == 5
        for name in ("dqn", "ppo")
        for row in hooks.table(name).splitlines()
    )


def test_the_table_of_checks_tells_every_check(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import hooks

    from peira.evidence.conformance import CHECKS

    assert "<!-- checks -->" in ALGORITHM.read_text()
    rows = hooks.checks().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [check.name for check in CHECKS]
    assert all(row.count("|") == 3 for row in rows)
