"""What a page says of a sweep is what `peira sweep show` says, and by it the sweep can
be made again."""

import base64
import dataclasses
import json

import numpy as np
import pytest
from made_runs import made_run, made_sweep
from pages import Page

import peira
from peira.algos import get
from peira.cli import axes, main, parser, reporting, sweep as sweeping, train
from peira.engine.fields import hints, plain
from peira.engine.plan import Plan
from peira.evidence import interval
from peira.evidence.sweeps import Axis, Place, Sweep


@pytest.fixture(autouse=True)
def draws(monkeypatch):
    monkeypatch.setattr(reporting, "library", lambda: "var Plotly = {};")


def written(path, **more):
    return Page(peira.report(path, **more).read_text())


def rows_of(page, section):
    """The rows of every table of a section, heads first."""
    (found,) = page.all("section", id=section)
    return [text for _, _, text in page.all("tr") if text in found[2]]


def change(path, by):
    """Rows as `by` makes them; None for one that is not there any more."""
    file = path / "rows.jsonl"
    rows = [by(json.loads(line)) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows if row))


def test_it_begins_with_the_winner_and_what_is_left_of_its_lead(tmp_path, capsys):
    path = made_sweep(tmp_path, seeds=10, fresh=10, runs=False)
    page, found = written(path), Place.open(path).outcome()
    assert (path / "report.html").exists()
    first = page.all("section")[0]
    assert page.all("p", **{"class": "verdict"})[0][2] == (
        "winner: trial 3: learning_rate 0.01, n 3"
    )
    assert main(["sweep", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    told = dict(
        zip(
            [text for _, _, text in page.all("dt")],
            [text for _, _, text in page.all("dd")],
            strict=True,
        )
    )
    for what in ("searched", "fresh", "optimism", "trials", "search", "check"):
        assert f"  {what:<8} {told[what]}\n" in shown
        assert told[what] in first[2]
    assert told["optimism"].startswith(f"{found.optimism}: ")
    assert told["search"] == "40 runs, 12,000 steps, 60 s"
    assert found.optimism.value == pytest.approx(
        10 - 1
    )  # fresh seeds end with a 9 more


def test_every_setting_has_its_interval(tmp_path):
    path = made_sweep(tmp_path, seeds=10, fresh=10, runs=False)
    page, found = written(path), Place.open(path).outcome()
    heads, *trials = rows_of(page, "trials")[:5]
    assert heads == "learning_ratentrialstatefinalfreshrunsseconds"
    assert [row.split("complete")[0] for row in trials] == [
        "0.0133",  # the best first: learning rate, n, trial
        "0.0112",
        "0.00131",
        "0.00110",
    ]
    for i, row in enumerate(trials):
        tenths = interval(10.0 * (3 - i) + np.arange(10) / 10)
        assert str(tenths.estimate) in row
        assert (str(found.fresh.estimate) in row) == (i == 0)


def test_a_whole_grid_is_told_field_by_field(tmp_path):
    path = made_sweep(tmp_path, seeds=10, fresh=10, runs=False)
    effects = rows_of(written(path), "trials")[6:]
    tenths = np.arange(10) / 10
    means = {"learning_rate0.001": 5, "learning_rate0.01": 25, "n1": 10, "n3": 20}
    assert effects == [
        name + str(interval(mean + tenths).estimate) for name, mean in means.items()
    ]
    change(path, lambda row: row | ({"metrics": {}} if row["trial"] == 0 else {}))
    assert len(rows_of(written(path), "trials")) == 5


def test_curves_show_the_lead_and_what_is_left_of_it(tmp_path):
    winner, trials = written(made_sweep(tmp_path)).charts()
    one, two = winner["curves"]
    assert (one["name"], one["seeds"]) == ("in the search", [0, 1])
    assert (two["name"], two["seeds"]) == ("on fresh seeds", [2, 3])
    assert one["middle"] == pytest.approx([1.0, 30.05])
    assert two["middle"] == pytest.approx([1.0, 20.25])
    assert [c["name"] for c in trials["curves"]] == [
        "trial 3: learning_rate 0.01, n 3",
        "trial 2: learning_rate 0.01, n 1",
        "trial 1: learning_rate 0.001, n 3",
        "trial 0: learning_rate 0.001, n 1",
    ]
    assert [c["middle"][1] for c in trials["curves"]] == pytest.approx(
        [30.05, 20.05, 10.05, 0.05]
    )


def test_rows_without_their_runs_have_no_curves(tmp_path):
    page = written(made_sweep(tmp_path, runs=False))
    assert "there are no curves" in page.text()
    assert not page.charts()


def test_a_sweep_under_way_says_what_there_is(tmp_path):
    """Of four trials one failed, one was pruned, one is not there yet."""
    path = made_sweep(tmp_path)
    ends = {1: {"state": "failed", "why": "loss is not finite", "metrics": {}}}
    ends[2] = {"state": "pruned", "metrics": {}}
    under_way = lambda row: (
        row | ends.get(row["trial"], {}) if row["trial"] in (0, 1, 2) else None
    )
    change(path, under_way)
    page = written(path)
    assert "winner: trial 0" in page.text()
    assert "not run yet" in page.text()
    assert "3 of 4, 1 complete, 1 failed, 1 pruned" in page.text()
    assert "loss is not finite" in page.text()
    assert len(page.charts()[0]["curves"]) == len(page.charts()[1]["curves"]) == 1
    assert ["peira", "sweep", "resume", str(path)] in page.commands()
    change(path, lambda row: row if row["trial"] == 1 else None)
    page = written(path)
    assert "no winner yet: loss is not finite" in page.text()
    assert "No trial has come to its end" in page.text()
    assert ["peira", "train"] not in [line[:2] for line in page.commands()]


def saved(page, name):
    """What a link of the page saves."""
    (link,) = page.all("a", download=name)
    return base64.b64decode(link[1]["href"].partition(",")[2]).decode()


SEARCH = {
    "axes": {
        "learning_rate": Axis((), 1e-5, 1e-2, True),
        "batch": Axis((), 8, 64),
        "hidden": Axis(([8], [8, 8])),
        "double": Axis((True, False)),
    },
    "method": "random",
    "trials": 7,
    "together": 3,
    "prune": "median",
    "by": "area",
    "draw": 5,
}


@pytest.mark.parametrize("changes", [{}, {"trials": 3, "draw": 2}, SEARCH])
def test_the_command_that_repeats_a_sweep_does(changes, tmp_path, monkeypatch):
    """What it begins is the sweep itself, to the last number."""
    first = made_sweep(tmp_path, runs=False)
    sweep = dataclasses.replace(Place.open(first).sweep, **changes)
    place = Place.begin(sweep, tmp_path / "again")
    setting = {name: axis.ends[0] for name, axis in sweep.axes.items()}
    row = json.loads((first / "rows.jsonl").read_text().splitlines()[0])
    row |= {"version": sweep.version, "setting": plain(setting)}
    (place.path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    page = written(place.path)
    (tmp_path / "again.toml").write_text(saved(page, "again.toml"))
    begun = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeping, "begin", lambda *found: begun.append(found))
    monkeypatch.setattr(sweeping, "check", lambda sweep: None)  # asks for Optuna
    assert main(page.commands()[0][1:]) == 0
    ((same, options),) = begun
    assert same.version == sweep.version
    assert options.name == "again-again"


def test_the_winner_can_be_trained_from_the_page(tmp_path, monkeypatch):
    page = written(made_sweep(tmp_path, runs=False))
    (tmp_path / "winner.toml").write_text(saved(page, "winner.toml"))
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "train", lambda task, options: asked.append(task))
    _, winner, *others = [line[1:] for line in page.commands()]
    assert main(winner) == 0
    (task,) = asked
    assert (task.algorithm.learning_rate, task.algorithm.n) == (0.01, 3)
    assert task.plan.seeds == (0, 1)
    assert others == [["sweep", "show", str(tmp_path / "small")], others[1]]
    assert parser().parse_args(others[1]).paths == [str(tmp_path / "small")]


def test_what_is_written_for_values_is_read_as_them():
    cls = get("dqn")
    for name, axis in {**SEARCH["axes"], "n": Axis((1, 3))}.items():
        words = axes.as_words(cls, name, axis)
        assert axes.axis_of(cls, name, hints(cls)[name], words) == axis


def test_what_rows_say_is_shown_and_never_acts(tmp_path):
    path = made_sweep(tmp_path)
    change(path, lambda row: row | {"why": "<b onclick=bad()>", "code": "</dd><b>"})
    page = written(path)
    assert not page.all("b")
    assert "<b onclick=bad()>" in page.text()
    assert "</dd><b>" in page.text()


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    home = tmp_path_factory.mktemp("others")
    made_sweep(home, runs=False)
    made_run(home / "a", [[[1.0]]])
    sweep = Sweep(
        "dqn",
        "CartPole-v1",
        {"n": Axis((1, 3))},
        plain(get("dqn")()),
        plain(Plan(steps=300)),
        trials=2,
    )
    Place.begin(sweep, home / "begun")
    (home / "odd").mkdir()
    (home / "odd/sweep.json").write_text("[]")
    return home


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("begun", "begun: no run of this sweep has ended yet"),
        ("odd", "odd is not a sweep that was begun"),
        ("small a", "small is a sweep: a report is of one, or of runs"),
        ("small --by area", "small is a sweep: its file says what is compared"),
        ("small --paired", "small is a sweep: its file says what is compared"),
    ],
)
def test_what_cannot_be_is_one_line(words, said, others, monkeypatch, capsys):
    monkeypatch.chdir(others)
    there = sorted(others.rglob("*"))
    assert main(["report", *words.split()]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert sorted(others.rglob("*")) == there


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"setting": {"n": 1}}, "does not say what it set"),
        ({"run": "../../other"}, "'../../other', and not the name of one"),
    ],
)
def test_rows_that_cannot_be_are_refused(changed, said, tmp_path, capsys):
    path = made_sweep(tmp_path, runs=False)
    change(path, lambda row: row | changed)
    assert main(["report", str(path)]) == 2
    assert said in capsys.readouterr().err
