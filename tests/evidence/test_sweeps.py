"""A sweep tries settings over seeds, and its winner again on fresh ones."""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest
from made_runs import made_run

from peira.algos import catalogue, get
from peira.cli import main
from peira.cli.axes import axes_of
from peira.cli.flags import SweepOptions
from peira.core import DataFault, NumericalFault, PeiraError, RunFault
from peira.engine.fields import hints, plain
from peira.engine.plan import Plan
from peira.engine.schedule import Here
from peira.evidence import interval
from peira.evidence.progress import Board, ENOUGH, Enough, Pulse
from peira.evidence.studies import rows as kept
from peira.evidence.sweeps import advance, Axis, grid, Place, Sweep
from peira.evidence.sweeps.outcome import KINDS
from peira.evidence.sweeps.proposing import Optuna, proposer
from peira.evidence.work import Work


DQN = get("dqn")
RATES = {"learning_rate": Axis((0.001, 0.01, 0.1))}
SWEEP = Sweep(
    "dqn",
    "CartPole-v1",
    RATES,
    plain(DQN()),
    plain(Plan(steps=300, seeds=(0, 1))),
    trials=3,
    fresh=10,
)
SEARCH = dataclasses.replace(
    SWEEP,
    axes={
        "learning_rate": Axis((), 1e-5, 1e-1, True),
        "batch": Axis((), 8, 64),
        "hidden": Axis(((8,), (8, 8))),
    },
    method="tpe",
    trials=8,
    together=2,
    fresh=2,
)


def earned(work):
    """What a made-up run earns: its rate, ten times, and noise that only its seed and
    rate know."""
    rate, (seed,) = work.learner.learning_rate, work.plan.seeds
    noise = np.random.default_rng([seed, int(rate * 1e9)]).normal()
    return np.array([1.0, 2.0, 3.0]) * rate * 10 + noise


def pretend(work, score=earned):
    """A run whose evaluations, at steps 100, 200 and 300, are given."""
    pulse = Pulse(work.path)
    times = score(work)
    run = made_run(
        work.path,
        [[[x, x] for x in times]],
        seeds=list(work.plan.seeds),
        hyper=plain(work.learner),
    )
    pulse.start({}, [0], 300)
    for i, x in enumerate(times):
        if (work.path / ENOUGH).exists():
            raise Enough
        pulse.evaluated(0, 100 * (i + 1), np.array([x]))
    home = run.path / f"seed-{work.plan.seeds[0]}" / "checkpoints" / "300"
    home.mkdir(parents=True)


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(Work, "__call__", pretend)
    reached = property(lambda run: 300)
    monkeypatch.setattr("peira.engine.run.Run.reached", reached)


def swept(sweep, path, scheduler=None):
    place = Place.open(path) if path.exists() else Place.begin(sweep, path)
    with Board(quiet=True) as board:
        advance(place, scheduler or Here(), board)
    return place


# --- what is tried -------------------------------------------------------------------


def test_a_grid_is_every_combination_or_some_of_it():
    axes = {"learning_rate": Axis((1e-3, 1e-2)), "hidden": Axis(((8,), (8, 8)))}
    found = grid(axes, None, 0)
    assert found == [
        {"learning_rate": rate, "hidden": hidden}
        for rate in (1e-3, 1e-2)
        for hidden in ([8], [8, 8])
    ]
    some = grid(axes, 3, 0)
    assert len(some) == 3
    assert [one for one in found if one in some] == some
    assert {str(grid(axes, 3, draw)) for draw in range(20)} > {str(some)}


def test_axes_are_read_as_flags_are():
    words = ["learning-rate=log:1e-5:1e-2", "batch=8:64", "hidden=8,8:64", "n=1,3"]
    found = axes_of(DQN, [*words, "double=true,false"][:4])
    assert found == {
        "learning_rate": Axis((), 1e-5, 1e-2, True),
        "batch": Axis((), 8, 64, False),
        "hidden": Axis(([8, 8], [64])),
        "n": Axis((1, 3)),
    }
    ppo = get("ppo")
    assert axes_of(ppo, ["clip=0.1,0.2"])["clip"] == Axis((0.1, 0.2))


def test_no_option_of_a_sweep_is_a_field_of_an_algorithm():
    own = {*hints(SweepOptions)}
    for name in (Plan, *map(get, catalogue)):
        assert not own & {*hints(name)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--grid lr=1e-3", "unknown field of DQN 'lr'"),
        ("--grid steps=1,2", "unknown field of DQN 'steps'"),
        ("--grid learning_rate=fast", "DQN.learning_rate = fast: must be FLOAT"),
        ("--grid learning_rate=1e-3,-1", "must lie in (0, inf)"),
        ("--grid learning_rate=1e-3,1e-3", "at least one, and distinct"),
        ("--grid learning_rate", "must be FIELD=VALUES"),
        ("--grid gamma=0.9 --grid gamma=0.8", "gamma is said twice"),
        ("--grid gamma=0.9:0.99", "use --search"),
        ("--grid gamma=0.9 --search n=1,3", "one of both"),
        ("--steps 300", "--grid or --search"),
        ("--search gamma=0.9:1.5", "DQN.gamma = 1.5"),
        ("--search gamma=0.99:0.9", "must rise"),
        ("--search learning_rate=log:0:1", "must lie"),
        ("--search gamma=0:0.5:1", "LOW:HIGH"),
        ("--search double=0:1", "must be"),
        ("--grid gamma=0.9 --trals 3", "unknown field 'trals'; did you mean trials"),
        ("--grid gamma=0.9 --trials 0", "must lie in [1, inf)"),
        ("--grid gamma=0.9 --episodes 1", "needs two"),
        ("--grid gamma=0.9 --prune median", "a grid is tried to its end"),
        ("--grid gamma=0.9 --env CartPole-v1", "unknown field 'env'"),
        ("--grid gamma=0.9 --name a/b", "a name, not a path"),
        ("--grid gamma=0.9 --on mars", "--on mars: must be"),
        ("--grid gamma=0.9 --sampler best", "must be {tpe,random}"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEIRA_CACHE", str(tmp_path.parent / "cache"))
    assert main(["sweep", "run", "dqn", "CartPole-v1", *words.split()]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_no_sweep_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words, told in (
        ("sweep rune", "did you mean run"),
        ("sweep run --grid gamma=1", "which algorithm?"),
        ("sweep run dqn --grid gamma=0.9", "which environment"),
        ("sweep run dqn CartPole-v1 x --grid gamma=0.9", "'x' belongs to no flag"),
        ("sweep run dqn Pendulum-v1 --grid gamma=0.9", "DQN cannot act in Box"),
        ("sweep resume nothing", "not a sweep that was begun"),
        ("sweep show nothing", "not a sweep that was begun"),
    ):
        assert main(words.split()) == 2
        assert told in capsys.readouterr().err
    assert main(["sweep"]) == 0
    assert "resume" in capsys.readouterr().out


# --- what comes of it ----------------------------------------------------------------


@pytest.mark.usefixtures("pretended")
def test_the_winner_is_run_again_on_seeds_that_no_trial_had(tmp_path):
    place = swept(SWEEP, tmp_path / "one")
    rows, found = place.rows(), place.outcome()
    cells = [(row["trial"], row["seed"]) for row in rows]
    tried = [(n, k) for n in range(3) for k in (0, 1)]
    assert cells == tried + [(-1, k) for k in range(2, 12)]
    by_hand = [
        np.mean([r["metrics"]["final"] for r in rows if r["trial"] == n])
        for n in range(3)
    ]
    assert found.winner == int(np.argmax(by_hand))
    fresh = [row for row in rows if row["trial"] == -1]
    setting = {"learning_rate": RATES["learning_rate"].choices[found.winner]}
    assert {str(row["setting"]) for row in fresh} == {str(setting)}
    assert {r["config"]["hyper"]["learning_rate"] for r in fresh} == {*setting.values()}
    expected = interval(np.array([row["metrics"]["final"] for row in fresh]))
    assert found.fresh == expected
    said = by_hand[found.winner]
    value, low, high = expected.estimate
    assert found.optimism == pytest.approx((said - value, said - high, said - low))
    assert (found.search.runs, found.search.steps) == (6, 1800)
    assert (found.check.runs, found.check.steps) == (10, 3000)
    assert found.trials[0].score.why  # two runs have no interval, and say so


@pytest.mark.usefixtures("pretended")
def test_luck_is_found_out(tmp_path, monkeypatch):
    """Settings that are all the same: the winner's lead is nothing but luck."""

    def lucky(work):
        rate, (seed,) = work.learner.learning_rate, work.plan.seeds
        return np.random.default_rng([1, seed, int(rate * 1e6)]).normal(size=3)

    monkeypatch.setattr(Work, "__call__", functools.partialmethod(pretend, lucky))
    rates = tuple(float(x) for x in np.linspace(0.01, 0.9, 16))
    many = {"axes": {"learning_rate": Axis(rates)}, "trials": 16, "fresh": 12}
    many["plan"] = SWEEP.plan | {"seeds": [0]}
    found = swept(dataclasses.replace(SWEEP, **many), tmp_path / "one").outcome()
    assert found.optimism.low > 0
    assert found.fresh.estimate.low < 0 < found.fresh.estimate.high


@pytest.mark.usefixtures("pretended")
def test_what_diverges_does_not_win_and_does_not_stop_the_others(tmp_path, monkeypatch):
    def fragile(work):
        if work.learner.learning_rate == 0.1 and work.plan.seeds == (1,):
            made_run(work.path, [[[1.0, 1.0]]], seeds=[1])
            raise NumericalFault("loss is not finite")
        pretend(work)

    monkeypatch.setattr(Work, "__call__", fragile)
    place = swept(SWEEP, tmp_path / "one")
    found = place.outcome()
    assert [t.state for t in found.trials.values()] == ["complete"] * 2 + ["failed"]
    assert found.winner in (0, 1)
    assert found.why == "loss is not finite"

    def hopeless(work):
        made_run(work.path, [[[1.0, 1.0]]], seeds=list(work.plan.seeds))
        raise NumericalFault("loss is not finite")

    monkeypatch.setattr(Work, "__call__", hopeless)
    with pytest.raises(RunFault, match="no trial came to its end; loss is not finite"):
        swept(SWEEP, tmp_path / "two")


@pytest.mark.usefixtures("pretended")
def test_rows_of_another_sweep_or_twice_are_refused(tmp_path):
    place = swept(SWEEP, tmp_path / "one")
    file, rows = place.path / "rows.jsonl", place.rows()
    kept.write(file, [rows[0] | {"version": "other"}])
    with pytest.raises(DataFault, match="of another sweep"):
        place.outcome()
    kept.write(file, [rows[0], rows[0]])
    with pytest.raises(DataFault, match="there twice"):
        place.outcome()
    kept.write(file, [rows[0] | {"code": "2"}, *rows[1:]])
    assert "different code" in place.outcome().flags[0]
    about = (place.path / "sweep.json").read_text()
    (place.path / "sweep.json").write_text(about.replace('"final"', '"area"'))
    with pytest.raises(PeiraError, match="has changed since the sweep was begun"):
        Place.open(place.path)


# --- a search ------------------------------------------------------------------------


class Dying(Here):
    """Is killed before it has done so many jobs."""

    def __init__(self, left):
        Here.__init__(self)
        self.left = left

    def wait(self, seconds):
        if not self.left:
            raise InterruptedError
        self.left -= 1
        return Here.wait(self, seconds)


def lasting(place):
    """Rows without what a clock says."""
    clocks = ("seconds", "config")
    return [{k: v for k, v in r.items() if k not in clocks} for r in place.rows()]


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("changes", [{}, {"prune": "median", "trials": 10}])
def test_a_search_that_is_killed_ends_as_one_that_never_was(tmp_path, changes):
    search = dataclasses.replace(SEARCH, **changes)
    whole = swept(search, tmp_path / "whole")
    killed = tmp_path / "killed"
    for left in (0, 3, 5, 2):
        with pytest.raises(InterruptedError):
            swept(search, killed, Dying(left))
        with (killed / "optuna.jsonl").open("a") as journal:
            journal.write('{"op_code":5,"worker')  # the driver died while it wrote
    assert lasting(swept(search, killed)) == lasting(whole)
    assert lasting(swept(search, killed)) == lasting(whole)  # and stays so
    found = whole.outcome()
    settings = [trial.setting for trial in found.trials.values()]
    assert len({str(one) for one in settings}) == search.trials
    for one in settings:
        assert 1e-5 <= one["learning_rate"] <= 1e-1
        assert one["batch"] in range(8, 65)
        assert one["hidden"] in ([8], [8, 8])
    states = [trial.state for trial in found.trials.values()]
    assert ("pruned" in states) == bool(changes)
    pruned = [r for r in whole.rows() if r["state"] == "pruned"]
    assert not any(row["metrics"] for row in pruned)
    assert found.trials[found.winner].state == "complete"


def test_a_sampler_learns_from_scores(tmp_path):
    """Where high rates score high, tpe comes to ask for higher ones than random."""
    axes = {"learning_rate": Axis((), 1e-5, 1e-1)}

    def mean_rate(method):
        (tmp_path / method).mkdir()
        search = dataclasses.replace(SEARCH, method=method, axes=axes)
        guide = Optuna(search, tmp_path / method)
        asked = []
        for n in range(30):
            asked.append(guide.ask(n)["learning_rate"])
            guide.tell(n, asked[-1])
        return np.mean(asked[15:])

    assert mean_rate("tpe") > mean_rate("random") + 0.02


def test_a_trial_that_was_asked_in_part_is_asked_to_its_end(tmp_path):
    whole = Optuna(SEARCH, tmp_path)
    asked = [whole.ask(n) for n in range(3)]
    again = Optuna(SEARCH, tmp_path)
    assert [again.ask(n) for n in range(3)] == asked
    file = tmp_path / "optuna.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-2]))  # of its three values
    third = Optuna(SEARCH, tmp_path).ask(2)
    assert third["learning_rate"] == asked[2]["learning_rate"]
    assert third.keys() == asked[2].keys()
    file.write_text("nonsense\n" + file.read_text())
    with pytest.raises(RunFault, match="cannot be used by Optuna"):
        proposer(SEARCH, tmp_path)


def test_without_optuna_a_search_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    words = "sweep run dqn CartPole-v1 --search gamma=0.9:0.99"
    assert main(words.split()) == 2
    assert "pip install 'peira[optuna]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- for real ------------------------------------------------------------------------


@pytest.mark.usefixtures("_batched_keys")
def test_a_sweep_from_words_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEIRA_CACHE", str(tmp_path / "cache"))
    here = lambda on, at_once: contextlib.nullcontext(Here())
    monkeypatch.setattr("peira.cli.sweep.workers", here)
    small = "--steps 300 --warmup 100 --hidden 8 --episodes 2 --seeds 1 --fresh 2"
    words = f"sweep run dqn CartPole-v1 --grid n=1,3 {small} --name one"
    assert main(words.split()) == 0
    said = capsys.readouterr()
    assert "4/4  winner-seed-2  final" in said.err
    assert "2 runs of one task are too few" in said.out
    assert main(words.split()) == 2
    assert "peira sweep resume sweeps/one" in capsys.readouterr().err
    rows = kept.read(Path("sweeps/one/rows.jsonl"), KINDS)
    assert [row["steps"] for row in rows] == [rows[0]["steps"]] * 4
    assert rows[0]["steps"] >= 300
    assert {row["config"]["hyper"]["n"] for row in rows[:2]} == {1, 3}
    before = Path("sweeps/one/rows.jsonl").read_bytes()
    assert main(["sweep", "resume", "sweeps/one", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path("sweeps/one/rows.jsonl").read_bytes() == before
    assert told["search"]["runs"] == told["check"]["runs"] == 2
    assert main(["sweep", "show", "sweeps/one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    again = "train --config sweeps/one/winner.toml --steps 0"
    assert main(again.split()) == 2  # everything else in it is understood
    assert "steps" in capsys.readouterr().err
