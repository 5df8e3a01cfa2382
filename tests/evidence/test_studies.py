"""A study file says what is compared, rows what came out, and the verdict follows."""

import dataclasses
import importlib.util
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from made_runs import STUDY as FILE

from peira.cli import main
from peira.core import BadConfig, DataFault, PeiraError
from peira.engine.fields import rebuild
from peira.engine.schedule import Here
from peira.evidence import compared, decide
from peira.evidence.studies import (
    advance,
    alike,
    arms,
    Board,
    check_alike,
    differences,
    judge,
    judged,
    judging,
    load,
    Place,
    rows as kept,
    shipped,
    Study,
    Tier,
    verdict,
)
from peira.evidence.studies.judging import alarms
from peira.evidence.studies.metrics import reported


ROOT = Path(__file__).parents[2]
STUDY = rebuild(Study, tomllib.loads(FILE))
NOISE = np.array([-0.3, -0.2, 0.0, 0.1, 0.1, 0.3])
FEW = Tier(("CartPole-v1",), runs=6)


def column(scores):
    return np.asarray(scores, float)[:, None]


def rows_of(small, large, of=STUDY, **changes):
    """Rows of these scores, as a run writes them."""
    version = of.version("quick")
    return [
        {
            "study": "steps",
            "version": version,
            "tier": "quick",
            "arm": arm,
            "task": "CartPole-v1",
            "seed": seed,
            "run": f"{arm}-{seed}",
            "metrics": {"final": float(score)},
            "seconds": 2.0,
            "code": "1",
            "versions": {"jax": "1"},
            "config": {},
        }
        | changes
        for arm, scores in (("small", small), ("large", large))
        for seed, score in enumerate(scores)
    ]


def word(small, large, **fields):
    return judge(
        dataclasses.replace(STUDY, **fields), FEW, (column(small), column(large))
    )


def test_the_verdict_is_the_interval_of_the_difference():
    found = verdict(STUDY, "steps", "quick", rows_of(NOISE + 2, NOISE))
    assert found.found.effect == compared(NOISE + 2, NOISE).estimate
    assert (found.found.word, found.runs, found.seconds) == ("supported", (6, 6), 24.0)
    assert found.found.why == "small is higher"
    assert not found.flags
    assert verdict(STUDY, "steps", "quick", rows_of(NOISE + 2, NOISE)[::-1]) == found


@pytest.mark.parametrize(
    ("lead", "direction", "matters", "expected"),
    [
        (2.0, "higher", 0.5, "supported"),
        (2.0, "lower", 0.5, "contradicted"),
        (2.0, "same", 0.5, "contradicted"),
        (-2.0, "higher", 0.5, "contradicted"),
        (-2.0, "lower", 0.5, "supported"),
        (0.0, "higher", 0.1, "undecided"),
        (0.0, "same", 0.1, "undecided"),
        (0.0, "same", 0.5, "supported"),
        (0.4, "higher", 1.0, "undecided"),  # it is there, and too small to matter
        (0.4, "same", 1.0, "supported"),
        (0.4, "same", 0.5, "contradicted"),  # there, and perhaps not too small
    ],
)
def test_every_claim_and_every_outcome(lead, direction, matters, expected):
    assert (
        word(NOISE + lead, NOISE, direction=direction, matters=matters).word == expected
    )


def test_too_few_runs_are_undecided_in_words():
    found = verdict(STUDY, "steps", "quick", rows_of(NOISE[:4] + 9, NOISE)).found
    assert (found.word, found.why) == ("undecided", "4 of 6 runs of each arm")
    assert found.next == 6
    two = Tier(FEW.tasks, runs=2)
    found = judge(STUDY, two, (column([9, 8]), column([1, 2])))
    assert found.why == "2 runs are too few; 5 of each will do"
    assert found.next == 0


def test_pairs_are_compared_seed_by_seed():
    levels = np.arange(6) * 10.0
    both = levels + NOISE + 2, levels
    assert word(*both).word == "undecided"
    assert word(*both, paired=True).word == "supported"
    study = dataclasses.replace(STUDY, paired=True)
    rows = rows_of(both[0], both[1], study)
    rows = [row for row in rows if (row["arm"], row["seed"]) != ("large", 3)]
    assert verdict(study, "steps", "quick", rows).runs == (5, 5)


def test_looks_stop_early_and_keep_their_level():
    looks = Tier(FEW.tasks, looks=(5, 6))
    first = judge(STUDY, looks, (column(NOISE[:5] + 9), column(NOISE[:5])))
    assert (first.word, first.next) == ("supported", 0)
    seen = decide(NOISE[:5] + 9, NOISE[:5], (5, 6))
    assert first.level == 1 - seen.nominal > 0.95
    assert first.effect == seen.found.estimate
    open_still = judge(STUDY, looks, (column(NOISE[:5]), column(NOISE[:5])))
    assert (open_still.word, open_still.next) == ("undecided", 6)
    last = judge(STUDY, looks, (column(NOISE), column(NOISE)))
    assert (last.word, last.next) == ("undecided", 0)


def test_scales_put_tasks_side_by_side():
    study = dataclasses.replace(STUDY, scales={"CartPole-v1": (0.0, 10.0)})
    rows = rows_of(NOISE + 2, NOISE, study)
    effect = verdict(study, "steps", "quick", rows).found.effect
    assert effect.value == pytest.approx(20.0)


def test_a_seed_counts_when_it_has_every_task():
    tasks = "CartPole-v1", "Acrobot-v1"
    scales = dict.fromkeys(tasks, (0.0, 100.0))
    study = dataclasses.replace(
        STUDY, scales=scales, tiers={"quick": Tier(tasks, runs=6)}
    )
    rows = rows_of(NOISE + 2, NOISE, study)
    rows += [row | {"task": tasks[1]} for row in rows]
    assert verdict(study, "steps", "quick", rows).runs == (6, 6)
    assert verdict(study, "steps", "quick", rows[:-1]).runs == (6, 5)


def test_alarms_are_bars_that_part():
    first = column([0, 1, 0, 1, 0, 1])  # bars of half a point around 0.5
    second = column([0.9, 1.9, 1.1, 2.1, 0, 1])  # as wide; 0.9, 1.1 and 0 away
    assert alarms(2, first, second) == (1, 3)
    assert alarms(2, first[:5], second) == (1, 2)
    sure = word(np.tile([0.0, 0.1], 3), np.tile([5.0, 5.1], 3), alarms=2)
    assert (sure.effect.value, sure.word) == (0.95, "supported")


def test_rows_of_another_version_of_the_study_are_refused():
    rows = rows_of(NOISE, NOISE)
    for change in ({"matters": 0.6}, {"level": 0.9}, {"direction": "lower"}):
        other = dataclasses.replace(STUDY, **change)
        with pytest.raises(DataFault, match="has changed since these rows were made"):
            verdict(other, "steps", "quick", rows)
    more = STUDY.tiers | {"full": Tier(("CartPole-v1",), runs=20)}
    other = dataclasses.replace(STUDY, tiers=more)
    assert verdict(other, "steps", "quick", rows).found.word == "undecided"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study": "other"}, "a row is of other"),
        ({"tier": "full"}, r"a row is of steps \(full\)"),
        ({"arm": "medium"}, "no medium on CartPole-v1"),
        ({"task": "Acrobot-v1"}, "no small on Acrobot-v1"),
        ({"seed": 0}, "small has two rows of seed 0"),
    ],
)
def test_rows_that_do_not_belong_are_refused(changes, words):
    rows = rows_of(NOISE, NOISE, **changes)
    with pytest.raises(DataFault, match=words):
        verdict(STUDY, "steps", "quick", rows)


def test_rows_from_different_code_are_flagged():
    rows = rows_of(NOISE + 2, NOISE)
    (flag,) = verdict(
        STUDY, "steps", "quick", [rows[0] | {"code": "2"}, *rows[1:]]
    ).flags
    assert flag == "rows from different code: 1 with JAX 1; 2 with JAX 1"


def test_rows_from_different_data_are_flagged():
    rows = rows_of(NOISE, NOISE, config={"data": {"fingerprint": "one"}})
    assert not verdict(STUDY, "steps", "quick", rows).flags
    rows[0]["config"] = {"data": {"fingerprint": "two"}}
    (flag,) = verdict(STUDY, "steps", "quick", rows).flags
    assert flag == "rows from different data: CartPole-v1 one, two"


def test_rows_are_read_or_the_line_is_named(tmp_path):
    rows = rows_of(NOISE, NOISE)
    kept.write(tmp_path / "rows.jsonl", rows)
    assert kept.read(tmp_path / "rows.jsonl") == rows
    for line, words in (
        ("{", "line 2: not a row"),
        ("[]", "line 2: not a row"),
        (json.dumps(rows[1] | {"seed": "1"}), "line 2: seed must be int"),
        (json.dumps(rows[1] | {"metrics": {"final": "2"}}), "line 2: final must be a"),
        (json.dumps(rows[1] | {"config": {"data": "x"}}), "line 2: config.data must"),
    ):
        (tmp_path / "bad").write_text(f"{json.dumps(rows[0])}\n{line}\n")
        with pytest.raises(DataFault, match=words):
            kept.read(tmp_path / "bad")


def test_a_shared_training_costs_once():
    rows = [row | {"run": f"{row['seed']}"} for row in rows_of(NOISE, NOISE)]
    assert verdict(STUDY, "steps", "quick", rows).seconds == 12.0


# --- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_differs_in_what_it_is_about(name):
    called, study = load(name)
    assert called == name
    assert study.tiers.keys() == {"smoke", "quick", "full"}
    assert study.tiers["quick"].most >= 10
    for tier in study.tiers:
        assert differences(*arms(study, tier)).keys() == set(study.about)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "learning_rate = 1e-2",
            "learning_rate = 1e-2, batch = 64",
            "in batch too (batch: 128 and 64)",
        ),
        ("learning_rate = 1e-2", "", "differ in it"),
        ('about = ["learning_rate"]', "", "the study is about nothing"),
        ('"learning_rate"]', '"learning_rate", "batch"]', "do not differ in it"),
        ("learning_rate = 1e-2", "learning_rat = 1e-2", "did you mean learning_rate"),
        ("learning_rate = 1e-2", "learning_rate = -1.0", "must lie in (0, inf)"),
        ('algorithm = "dqn"', 'algorithm = "dqm"', "unknown algorithm 'dqm'"),
        ('algorithm = "dqn"', "", "algorithm and metric are names"),
        ("matters =", 'metric = "winnings"\nmatters =', "unknown metric 'winnings'"),
        ("matters = 0.5", "", "Study.matters is missing"),
        ("matters = 0.5", "matters = 0.0", "must lie in (0, inf)"),
        ("matters = 0.5", 'matters = "much"', "must be float"),
        ('"higher"', '"up"', "Study.direction = 'up'"),
        ("claim", "clam", "unknown field of Study 'clam'"),
        ("large =", "medium = {}\nlarge =", "two are compared"),
        ("tiers.quick", "tiers.quik", "did you mean quick"),
        ("runs = 6", "", "runs, a number, or looks"),
        ("runs = 6", "runs = 6\nlooks = [5, 6]", "one of both"),
        ("runs = 6", "looks = [5, 5]", "that rise"),
        ("runs = 6", "looks = [2, 5]", "too early"),
        ("runs = 6", "runs = 6\nplan = { seeds = [1] }", "seeds follow"),
        ("runs = 6", "runs = 6\nplan = { stops = 1 }", "did you mean steps"),
        ("runs = 6", "runs = 6\nplan = { episodes = 1 }", "needs two"),
        ("runs = 6", "runs = 6\nhyper = { batsh = 1 }", "did you mean batch"),
        ("runs = 6", "runs = 6\nhyper = { learning_rate = 1.0 }", "also said for both"),
        ('["CartPole-v1"]', '["CartPole-v1", "Acrobot-v1"]', "units of their own"),
        ('["CartPole-v1"]', "[]", "at least one, and distinct"),
        ('["CartPole-v1"]', '["CartPole-v2"]', "CartPole-v2"),
        ("[arms]", "[arms", "cannot be read"),
        ("matters =", "alarms = 7\nmatters =", "one group at least in the 6 runs"),
        ("matters =", "alarms = 2\npaired = true\nmatters =", "not paired"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    old, new, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert old in FILE
    Path("one.toml").write_text(FILE.replace(old, new, 1))
    assert main(["study", "run", "one.toml", "--tier", "quick"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["one.toml"]


@pytest.mark.parametrize(
    "fields", [{"direction": "same"}, {"paired": True}, {"alarms": 2}]
)
def test_looks_are_for_a_difference_of_independent_arms(fields):
    looks = {"quick": Tier(FEW.tasks, looks=(5, 6))}
    dataclasses.replace(STUDY, tiers=looks)
    with pytest.raises(BadConfig, match="say runs"):
        dataclasses.replace(STUDY, tiers=looks, **fields)


def test_a_study_or_a_tier_that_there_is_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "show", "double-dq"]) == 2
    assert "did you mean double-dqn" in capsys.readouterr().err
    assert main(["study", "run", "double-dqn", "--tier", "swift"]) == 2
    assert "known: full, quick, smoke" in capsys.readouterr().err
    assert main(["study", "verdict", "nothing.jsonl"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["study", "resume", "nothing"]) == 2
    assert "not a study that was begun" in capsys.readouterr().err


def test_an_algorithm_says_what_it_reports():
    one, _ = arms(STUDY, "quick")
    assert set(reported(one.learner, from_data=False)) == {
        "td_error",
        "value",
        "epsilon",
    }


# --- arms that are the same ----------------------------------------------------------


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "bench")
        spec = importlib.util.spec_from_file_location(
            "bench_studies", ROOT / "bench" / "studies.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_arms_that_are_the_same_are_undecided_as_often_as_stated(bench):
    """Nominally 0.95; of as many simulated studies, 0.02 are three standard errors."""
    rows = kept_lines(bench.ALIKE)
    assert {row["trials"] for row in rows} == {bench.TRIALS}
    for row, (rule, one) in zip(rows, bench.rules().items(), strict=True):
        assert [row[n] for n in ("paired", "alarms", "runs")] == list(rule[:3])
        assert min(row["undecided"].values()) >= 0.93 * bench.TRIALS
        for shape, share in check_alike(*one).items():
            assert share.value >= 0.93, (rule, shape)


def test_what_is_stated_of_the_first_rule_was_measured(bench):
    rule, one = next(iter(bench.rules().items()))
    assert bench.simulated(rule, *one) == kept_lines(bench.ALIKE)[0]


def kept_lines(path):
    return [
        row | {"looks": tuple(row["looks"])}
        for row in map(json.loads, path.read_text().splitlines())
    ]


def test_a_rule_that_finds_what_is_not_there_is_refused(monkeypatch):
    careless = lambda a, b, level: compared(a, b, level=0.8)
    monkeypatch.setattr(judging, "compared", careless)
    with pytest.raises(BadConfig, match="not fit to decide"):
        check_alike(STUDY, FEW)


def test_the_simulation_is_not_deaf():
    """A difference as large as the spread is heard where arms are not the same."""
    assert alike(STUDY, Tier(FEW.tasks, runs=3))["normal"].value == 1.0  # too few
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50, 20, 1)) * 1e6
    told = [
        judge(STUDY, Tier(FEW.tasks, runs=20), (a + 2e6, b)).word
        for a, b in zip(x, y, strict=True)
    ]
    assert told.count("supported") >= 49


# --- a run ---------------------------------------------------------------------------


class Dying(Here):
    """Is killed before its second job."""

    def __init__(self):
        Here.__init__(self)
        self.left = 1

    def wait(self, seconds):
        if not self.left:
            raise InterruptedError
        self.left -= 1
        return Here.wait(self, seconds)


def lasting(path):
    """Rows without what a clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in kept.read(path)]


@pytest.mark.usefixtures("_batched_keys")
def test_a_study_that_is_killed_ends_with_the_rows_of_one_that_never_was(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEIRA_CACHE", str(tmp_path / "cache"))
    words = "study run final-against-best --out whole --quiet"
    assert main(words.split()) == 0  # in workers
    told = "final-against-best (smoke): undecided; 2 runs are too few"
    assert told in capsys.readouterr().out
    assert main(words.split()) == 2
    again = "peira study resume whole/final-against-best-smoke"
    assert again in capsys.readouterr().err

    place = Place.begin("final-against-best", "smoke", first=0, out=Path("killed"))
    with pytest.raises(InterruptedError), Board(quiet=True) as board:
        advance(place, Dying(), board, data=Path("datasets"))
    there = lasting(place.path / "rows.jsonl")
    assert len(there) == 2
    with Board(quiet=True) as board:
        advance(Place.open(place.path), Here(), board, data=Path("datasets"))
    whole = lasting(Path("whole/final-against-best-smoke/rows.jsonl"))
    assert whole == lasting(place.path / "rows.jsonl")
    assert [row for row in whole if row in there] == there
    assert [(row["arm"], row["seed"], row["run"][-1]) for row in whole] == [
        ("highest", 0, "0"),
        ("final", 0, "0"),
        ("highest", 1, "1"),
        ("final", 1, "1"),
    ]
    _, found = judged(Path("whole/final-against-best-smoke"))
    assert judged(place.path)[1].found == found.found
    assert found.found.effect.value >= 0
    changed = (place.path / "study.toml").read_text().replace("5.0", "6.0")
    (place.path / "study.toml").write_text(changed)
    with pytest.raises(PeiraError, match="has changed since the study was begun"):
        Place.open(place.path)
    with pytest.raises(PeiraError, match="has changed since these rows were made"):
        judged(place.path)


def test_what_differs_in_the_score_shares_its_trainings(tmp_path):
    place = Place.begin("final-against-best", "quick", first=7, out=tmp_path)
    assert place.path.name == "final-against-best-quick-from-7"
    cells = place.missing()
    assert len(cells) == 20
    paths = {place.work(cell, tmp_path).path.name for cell in cells}
    assert len(paths) == 10
    assert {cell.seed for cell in cells} == set(range(7, 17))
    alone = Place.begin("seeds", "smoke", first=0, out=tmp_path)
    assert len({alone.work(c, tmp_path).path for c in alone.missing()}) == 10
    assert len({cell.seed for cell in alone.missing()}) == 10
