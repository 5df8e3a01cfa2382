"""What the page of benchmarks says follows from the rows as it should."""

import dataclasses
import json
import sys

import numpy as np
import pytest


MACHINE = {"cores": 2, "cpu": "a cpu", "python": "3.11", "ours": {"jax": "0.10"}}


@pytest.fixture
def measured(script):
    return script("measured")


@pytest.fixture
def page(script):
    return script("page")


def line(row: str, seconds: dict[str, list[float]]) -> dict:
    """A row as `contest.py` keeps it; a turn is 100 steps."""
    turns: list[dict] = []
    for entry, spent in seconds.items():
        turns.append({"entry": entry, "ready": 1.0, "first": 2.0})
        turns += [
            {"entry": entry, "round": i, "seconds": s, "mib": 3.0}
            for i, s in enumerate(spent)
        ]
    return {"row": row, "n": 100, "machine": MACHINE, "turns": turns}


def test_the_interval_of_a_median_is_of_the_ranks(measured):
    """Of 11 numbers the second and the tenth: fewer than two of eleven fall below the
    true median with a chance of 12/2048, fewer than three with 67/2048 > 0.025."""
    x = np.array([3.0, 11, 1, 7, 5, 2, 10, 4, 9, 6, 8])
    assert measured.median(x) == (6.0, 2.0, 10.0)
    assert measured.median(np.exp(x)) == pytest.approx(np.exp([6.0, 2.0, 10.0]))
    assert str(measured.median(x)) == "6.00 [2.00, 10.00]"


def test_five_rounds_have_no_interval(measured):
    """All five on one side of the median has a chance of 2/32."""
    _, low, high = measured.median(np.arange(5.0))
    assert np.isnan([low, high]).any()
    assert measured.median(np.arange(6.0)) == (2.5, 0.0, 5.0)


def test_what_counts_is_the_ratio_within_a_round(measured):
    """A machine that is now slow and now fast leaves no trace in it."""
    ours = [1.0, 8, 2, 5, 1, 9, 3]
    rows = {"peira": ours, "sb3, 1 thread": [3 * s for s in ours]}
    result = measured.Result.of(line("sac HalfCheetah-v5", rows))
    assert result.against("sb3, 1 thread") == (3.0, 3.0, 3.0)
    later = {"peira": ours, "sb3, 1 thread": [3 * s for s in ours[::-1]]}
    other = measured.Result.of(line("sac HalfCheetah-v5", later))
    assert (
        other.against("sb3, 1 thread").low < 3.0 < other.against("sb3, 1 thread").high
    )
    assert result.rate("peira") == pytest.approx(100 / 3)


def test_the_better_number_of_threads_counts(measured):
    rows = {
        "peira": [1.0] * 7,
        "sb3, 2 threads": [4.0] * 7,
        "sb3, 1 thread": [2.0] * 7,
        "sbx, 2 threads": [1.5] * 7,
    }
    result = measured.Result.of(line("sac HalfCheetah-v5", rows))
    assert result.best("sb3") == "sb3, 1 thread"
    assert result.best("sbx") == "sbx, 2 threads"


def test_targets_are_held_against_the_median(page, measured):
    rows = {"peira": [1.0] * 7, "sbx, 1 thread": [1.2] * 7, "sb3, 1 thread": [2.0] * 7}
    result = measured.Result.of(line("sac HalfCheetah-v5", rows))
    _, _, sbx, sb3 = page.beside([result._replace(row=alone(result.row))])
    assert sbx.endswith("| 1.20 [1.20, 1.20] | 1.15 | yes |")
    assert sb3.endswith("| 2.00 [2.00, 2.00] | 2.2 | **no** |")


def alone(row):
    """The row with one way to run our side."""
    return type(row)(row.name, row.unit, row.n, row.settings, row.targets)


def test_who_has_no_target_is_shown_if_it_was_there(page, measured):
    rows = {"peira": [1.0] * 7, "sb3, 1 thread": [2.0] * 7, "sbx, 1 thread": [1.2] * 7}
    result = measured.Result.of(line("sac HalfCheetah-v5", rows))
    row = dataclasses.replace(alone(result.row), beside=("tianshou",))
    assert len([*page.beside([result._replace(row=row)])]) == 4
    more = rows | {"tianshou, 1 thread": [3.0] * 7, "tianshou, 2 threads": [5.0] * 7}
    result = measured.Result.of(line("sac HalfCheetah-v5", more))
    *_, last = page.beside([result._replace(row=row)])
    assert last.endswith("| Tianshou, 1 thread | 33.3 | 3.00 [3.00, 3.00] | | |")


def test_another_way_of_ours_can_be_the_measure(page, measured):
    """0.9 times as fast as with a uniform replay: 11 % slower, of 15 % allowed."""
    rows = {"peira": [1.0] * 7, "peira, uniform": [0.9] * 7}
    result = measured.Result.of(line("dqn, prioritised replay of 1M", rows))
    _, _, only = page.beside([result])
    assert "| Peira, uniform | 111.1 | 0.90 [0.90, 0.90] | 0.87 | yes |" in only


def test_the_last_run_of_a_row_counts_and_forgotten_rows_do_not(measured):
    name = "dqn CartPole-v1"
    lines = [line(name, {"peira": [s]}) for s in (1.0, 2.0)]
    lines += [line("a row that is no more", {"peira": [1.0]})]
    (result,) = measured.results(lines)
    assert result.seconds["peira"] == [2.0]


def test_seeds_in_one_program_count_each(measured):
    """Four seeds in the time of one are four times the steps."""
    turns = [
        {"x": x, "label": "one program", "n": 10, "round": 0, "seconds": 5.0}
        for x in (1, 4)
    ]
    found = measured.curves({"axis": "seeds", "turns": turns})["one program"]
    assert found[1] / found[4] == [4.0]
    found = measured.curves({"axis": "envs", "turns": turns})["one program"]
    assert found[1] / found[4] == [1.0]


RUN = {
    "entry": "peira",
    "seed": 0,
    "ready": 2.0,
    "points": [
        {"step": 10, "learning": 1.0, "looking": 0.5, "return": 3.0},
        {"step": 20, "learning": 1.0, "looking": 0.5, "return": 9.0},
        {"step": 30, "learning": 1.0, "looking": 0.5, "return": 4.0},
    ],
}


@pytest.mark.parametrize(
    ("goal", "there"),
    [(3, (3.5, 10)), (4, (5.0, 20)), (9, (5.0, 20)), (10, (np.inf, np.inf))],
)
def test_a_goal_is_reached_when_it_is_first_seen(measured, goal, there):
    assert measured.arrival(RUN, goal) == there


def test_who_never_is_there_has_no_time(page, measured):
    slow = [{**RUN["points"][0], "learning": 6.0, "return": 9.0}]
    never = [{**RUN["points"][0], "return": 8.9}]
    runs = [
        {**RUN, "seed": 0},
        {**RUN, "seed": 1},
        {**RUN, "entry": "sb3, 1 thread", "points": slow},
        {**RUN, "entry": "sb3, 1 thread", "points": never},
        {**RUN, "entry": "sb3, 2 threads", "points": never},
        {**RUN, "entry": "sb3, 2 threads", "points": never},
    ]
    race = {"race": "a race", "goal": 9, "runs": runs}
    _, _, ours, one, two = page.reach([race])
    assert ours == "| a race | 9 | peira | 2 of 2 | 5, 5 | 20, 20 |  |"
    assert "| 1 of 2 | 8, - | 10, - |" in one
    assert "| 0 of 2 | -, - | -, - |" in two
    assert measured.raced(race)["sb3, 1 thread"].reached == 1
    assert page.sooner("sb3, 1 thread", measured.raced(race)) == "∞ (1.7, ∞)"


def test_pictures_are_repeated_exactly_and_say_what_they_show(
    script, measured, tmp_path, monkeypatch
):
    pictures = script("pictures")
    rows = {"peira": [1.0] * 7, "sb3, 1 thread": [2.0] * 7, "sbx, 1 thread": [1.0] * 7}
    rows |= {"tianshou, 1 thread": [3.0] * 7}
    done = [measured.Result.of(line("sac HalfCheetah-v5", rows))]
    turns = [
        {"x": x, "label": label, "n": 10, "round": i, "seconds": 1.0 + x}
        for x in (1, 2, 4)
        for label in ("one program", "processes")
        for i in range(7)
    ]
    curve = {"curve": "ppo", "axis": "seeds", "unit": "updates", "turns": turns}
    drawn = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(pictures, "ASSETS", tmp_path / name)
        pictures.ratios(done)
        pictures.scaling([curve])
        drawn.append([p.read_text() for p in sorted((tmp_path / name).iterdir())])
    assert drawn[0] == drawn[1]
    beside, grown = drawn[0]
    assert "sac HalfCheetah-v5: SB3" in beside
    assert "sac HalfCheetah-v5: Tianshou" in beside
    assert "one program" in grown
    assert "updates / s" in grown


def test_the_page_is_that_of_the_rows(page):
    assert page.PAGE.read_text() == page.page()


def test_every_row_can_be_run_and_named(script):
    contest, rows = script("contest"), script("rows")
    for row in rows.ROWS.values():
        assert set(row.ours) <= {*rows.WAYS}
        assert {*row.targets, *row.beside} <= {*rows.NAMES}
        assert set(row.beside) <= {*contest.FILES}
        assert {e.library for e in contest.entries(row.ours, contest.peers(row))} <= {
            *contest.FILES
        }
        json.dumps(dict(row.settings))


def test_a_row_is_run_without_a_peer_that_is_not_there(script, monkeypatch):
    """Unless it has a target. `json` is in every Python."""
    contest, rows = script("contest"), script("rows")
    row = rows.Row("a row", rows.STEPS, 1, {}, {"sb3": 2.0}, beside=("json", "nobody"))
    monkeypatch.setenv("PEERS", sys.executable)
    assert contest.peers(row) == ["sb3", "json"]
    monkeypatch.delenv("PEERS")
    assert contest.away(contest.peers(row)) == ["sb3"]
