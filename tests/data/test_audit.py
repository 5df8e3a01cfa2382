"""Seeded faults are found at their rows, and nothing is found where there is none.

The faults called by a number are those of datasets in use, told in D4RL's issues.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import recorded
from recorded import changed, ended, maze, pendulum

from peira.core import Box, DataFault, Discrete, MultiDiscrete, Spec
from peira.data import Dataset
from peira.data.audit import audit, case, findings, KINDS, refuse
from peira.data.audit.case import case_of
from peira.data.audit.jumps import jumps


def of(data, *kinds, against=None):
    """The findings of some kinds; by default all that are more than a note."""
    found = audit(data, against)
    if kinds:
        return [f for f in found if f.check in kinds]
    return [f for f in found if f.severity != "note"]


def rows(found):
    (one,) = found
    return list(one.rows)


@pytest.fixture
def all_rows(monkeypatch):
    """Findings hold every row."""
    monkeypatch.setattr(findings, "KEPT", 10**6)


CLEAN = {
    "pendulum": pendulum,
    "pendulum, half trained": lambda: pendulum(skilled=True),
    "cart pole": recorded.cartpole,
    "cart pole, half trained": lambda: recorded.cartpole(skilled=True),
    "grid": recorded.grid,
    "grid, half trained": lambda: recorded.grid(skilled=True),
    "catch": recorded.catch,
    "maze": maze,
    "maze from one corner": lambda: maze(anywhere=False),
    "HalfCheetah-v5": lambda: recorded.gymnasium("HalfCheetah-v5"),
    "Hopper-v5": lambda: recorded.gymnasium("Hopper-v5"),
}


def clean(name):
    if name.endswith("-v5"):
        pytest.importorskip("mujoco")
    return CLEAN[name]()


@pytest.mark.parametrize("name", CLEAN)
def test_clean_sets_raise_no_alarm(name):
    assert of(clean(name)) == []


def test_every_kind_is_tested():
    text = Path(__file__).read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []


# The faults of datasets in use


@pytest.mark.parametrize("shift", [3, (1, 30)])
def test_77_marks_out_of_step_with_the_ends(shift, all_rows):
    whole = maze(anywhere=False)
    ends = whole.starts[1:-1] - 1
    by = shift if shift == 3 else np.random.default_rng(0).integers(*shift, len(ends))
    found = of(recorded.rejoined(whole, ends + by))
    assert [f.check for f in found] == ["glued", "goes-on"]  # after marks it goes on
    assert found[0].severity == "error"
    assert set(found[0].rows) <= set(ends)
    assert found[0].total > (0.8 if shift == 3 else 0.6) * len(ends)
    said = f"{found[0].total} of them 3 steps before an end that is marked"
    assert (said in found[0].seen) == (shift == 3)


@pytest.mark.parametrize("name", ["maze", "cart pole", "Hopper-v5"])
def test_146_one_end_unmarked(name):
    whole, hits = clean(name), 0
    for e in (2, 5, 8, 11, 14):
        found = list(jumps(case_of(recorded.glued(whole, e))))
        assert [f.rows for f in found] in ([], [(whole.starts[e + 1] - 1,)])
        hits += [f.check for f in found] == ["glued"]
    # Where episodes begin anywhere, some ends cannot be told.
    assert hits >= (3 if name == "maze" else 4)


def test_146_in_words():
    whole = maze(anywhere=False)
    (found,) = of(recorded.glued(whole, 5))
    assert found.rows == (6 * 300 - 1,)
    assert found.seen.startswith("one step jumps to where episodes begin (observation")


def continuing():
    """One long episode cut where a place is reached."""
    obs, action, reached = recorded.rolling(6_000, np.random.default_rng(0))
    obs = obs.astype(np.float32)
    edges = np.unique(np.r_[0, reached + 1, len(action)])
    episodes = [
        (obs[i : j + 1], action[i:j], recorded.at_goal(obs[i + 1 : j + 1]), False, True)
        for i, j in itertools.pairwise(edges)
    ]
    return recorded.dataset(recorded.MAZE, episodes)


def test_85_cuts_where_the_world_goes_on(all_rows):
    data = continuing()
    assert np.unique(data.lengths).size > 20
    found = of(data)
    assert [f.check for f in found] == ["goes-on"]
    assert rows(found) == (data.starts[1:-1] - 1).tolist()
    died = ended(data, died=True, cut=False)
    assert [f.check for f in of(died)] == ["goes-on"]


def test_194_rewards_for_where_a_step_began(all_rows):
    data = maze()
    before = data.obs[np.arange(data.steps) + data.episode]
    wrong = changed(data, reward=recorded.at_goal(before))
    found = of(wrong)
    assert [f.check for f in found] == ["late-reward"]
    inner = np.ones(data.steps, bool)
    inner[data.starts[1:] - 1] = False  # nothing in an episode comes after these
    differ = np.flatnonzero((wrong.reward != data.reward) & inner)
    assert rows(found) == differ.tolist()


# Ends


@pytest.mark.parametrize("name", ["pendulum", "maze", "catch"])
def test_time_limits_marked_as_deaths(name, all_rows):
    data = ended(clean(name), died=True, cut=False)
    if name == "catch":  # a falling ball tells the time
        assert of(data) == []
        return
    found = of(data)
    assert [f.check for f in found] == ["clock"]
    assert rows(found) == (data.starts[1:] - 1).tolist()


def test_true_deaths_are_told_from_those_by_the_clock(all_rows):
    data = recorded.cartpole(skilled=True)
    limit = data.lengths == 200
    assert 5 < limit.sum() < data.episodes
    found = of(ended(data, died=True, cut=False))
    assert [f.check for f in found] == ["clock"]
    assert rows(found) == (data.starts[1:] - 1)[limit].tolist()


def test_a_clock_that_is_seen_may_kill():
    data = ended(pendulum(), died=True, cut=False)
    time = np.concatenate([np.arange(n + 1) / 200 for n in data.lengths])
    obs = np.concatenate([data.obs, time[:, None]], axis=1).astype(np.float32)
    seen = changed(data, spec=Spec(recorded.box(4, np.inf), data.spec.action), obs=obs)
    assert of(seen) == []


@pytest.mark.parametrize("name", ["cart pole", "grid", "Hopper-v5"])
def test_deaths_marked_as_time_limits(name, all_rows):
    data = ended(clean(name), died=False, cut=True)
    found = of(data, "cut-at-event")
    short = data.lengths < data.lengths.max()
    assert rows(found) == (data.starts[1:] - 1)[short].tolist()


def test_cuts_at_any_time_are_no_deaths():
    """As a collector that stops leaves them."""
    data, rng = pendulum(), np.random.default_rng(0)
    parts = []
    for e in range(data.episodes):
        first, n = data.starts[e], rng.integers(50, 200)
        at = slice(first, first + n)
        obs = data.obs[first + e : first + e + n + 1]
        parts.append((obs, data.action[at], data.reward[at], False, True))
    assert of(recorded.dataset(data.spec, parts)) == []


def test_both_ends_at_once(all_rows):
    data = recorded.cartpole(skilled=True)
    last = data.starts[1:] - 1
    both = data.lengths < data.lengths.max()
    found = of(ended(data, died=data.terminated[last], cut=True), "both-ends")
    assert rows(found) == last[both].tolist()
    at_the_limit = data.subset(np.flatnonzero(~both)[:6])
    died = ended(at_the_limit, died=np.arange(6) == 3, cut=True)
    assert of(died, "both-ends") == []  # in the last step before a limit one may die


# Rewards


@pytest.mark.parametrize("moved", [recorded.late, recorded.early])
@pytest.mark.parametrize("name", ["HalfCheetah-v5", "maze", "grid"])
def test_rewards_of_other_steps(name, moved, all_rows):
    data = clean(name)
    wrong = moved(data)
    found = of(wrong, "shifted", "late-reward")
    (one,) = found
    # What is paid for being at a place could be for where a step began; what is paid
    # for dying comes first in the next episode.
    late = moved is recorded.late and name != "HalfCheetah-v5"
    assert one.check == ("late-reward" if late else "shifted")
    differ = np.flatnonzero(wrong.reward != data.reward)
    assert set(one.rows) <= set(differ)
    assert one.total >= 0.5 * len(differ) - data.episodes


def test_rewards_of_the_state_before_are_only_noted():
    assert len(of(pendulum(skilled=True), "before")) == 1
    assert of(clean("HalfCheetah-v5"), "before") == []


def test_rewards_that_say_nothing():
    data = pendulum()
    nothing = changed(data, reward=0 * data.reward)
    assert [f.check for f in of(nothing)] == ["no-reward"]
    assert len(of(recorded.cartpole(), "sparse")) == 1
    rare = 0 * data.reward
    rare[[7, 900]] = 1
    assert rows(of(changed(data, reward=rare), "sparse")) == [7, 900]
    assert of(data, "sparse", "no-reward") == []


# Numbers


def spoilt(data, part, at, value):
    x = getattr(data, part).copy()
    x[at] = value
    return dataclasses.replace(data, **{part: x})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(value):
    data, row = pendulum(), 3 * 201 + 7
    assert rows(of(spoilt(data, "obs", row, value), "not-finite")) == [607]
    last = spoilt(data, "obs", (2 * 201 - 1, 1), value)  # seen by no step, but led to
    assert rows(of(last, "not-finite")) == [399]
    assert rows(of(spoilt(data, "reward", [5, 70], value))) == [5, 70]
    found = of(spoilt(data, "action", (9, 0), value), "not-finite")
    assert rows(found) == [9]
    assert found[0].seen.startswith("action is not finite: step 9")


def test_large_numbers_are_finite():
    data = spoilt(pendulum(), "obs", slice(0, 1000), np.float32(3e38))
    assert of(data, "not-finite") == []


def test_actions_out_of_bounds():
    data = pendulum()
    found = of(spoilt(data, "action", [4, 2000], 2.01), "outside")
    assert rows(found) == [4, 2000]
    assert "[-2, 2]" in found[0].seen
    assert of(spoilt(data, "action", 4, np.float32(2.00001)), "outside") == []


def test_choices_that_are_none():
    data = recorded.grid()
    wrong = dataclasses.replace(data, action=np.where(data.action == 3, 4, data.action))
    with pytest.raises(DataFault):
        refuse(wrong, None)


def test_observations_outside_are_noted():
    data = pendulum()
    found = of(spoilt(data, "obs", (201 + 3, 2), 9.0), "observation-outside")
    assert rows(found) == [203]
    assert found[0].severity == "note"


def masked(action, space):
    """Three episodes of four steps under masks that allow everything."""
    obs = recorded.box(1, np.inf)
    n = int(np.sum(getattr(space, "nvec", space.n if hasattr(space, "n") else 0)))
    rng = np.random.default_rng(0)
    truncated = np.arange(12) % 4 == 3
    return Dataset(
        Spec(obs, space, masked=True),
        rng.normal(size=(15, 1)).astype(np.float32),
        np.asarray(action, np.int32),
        rng.normal(size=12).astype(np.float32),
        np.zeros(12, bool),
        truncated,
        np.array([0, 4, 8, 12]),
        legal=np.ones((15, n), bool),
    )


def test_what_masks_forbid():
    data = masked(np.arange(12) % 3, Discrete(3))
    assert of(data, "illegal") == []
    legal = data.legal.copy()
    legal[5 + 1, 5 % 3] = False  # step 5 lies in the second episode
    assert rows(of(dataclasses.replace(data, legal=legal), "illegal")) == [5]
    legal[5 + 1] = False
    (found,) = of(dataclasses.replace(data, legal=legal), "illegal")
    assert (found.rows, "nothing is legal" in found.seen) == ((5,), True)
    legal = data.legal.copy()
    legal[4] = False  # after the first episode nothing is chosen
    assert of(dataclasses.replace(data, legal=legal), "illegal") == []


def test_masks_of_several_choices():
    action = np.stack([np.arange(12) % 2, np.arange(12) % 3], axis=1)
    data = masked(action, MultiDiscrete((2, 3)))
    assert of(data, "illegal") == []
    legal = data.legal.copy()
    legal[7 + 1, 2 + 7 % 3] = False
    assert rows(of(dataclasses.replace(data, legal=legal), "illegal")) == [7]


def test_propensities():
    data = recorded.grid()
    likely = np.full(data.steps, 0.25, np.float32)
    good = changed(data, propensity=likely)
    assert of(good) == []
    likely = likely.copy()
    likely[[3, 8]] = 0, 1.5
    assert rows(of(changed(data, propensity=likely), "propensity")) == [3, 8]
    density = changed(pendulum(), propensity=np.full(4_000, 1.5, np.float32))
    assert of(density, "propensity") == []


def test_a_structure_that_does_not_hold():
    data = pendulum()
    unmarked = dataclasses.replace(data, truncated=np.zeros(data.steps, bool))
    (found,) = audit(unmarked)
    assert found.check == "structure"
    assert "step 199" in found.seen


# Repetition


def test_copies():
    data = maze()
    twice = data.subset(np.r_[np.arange(30), 4, 9])
    found = of(twice)
    assert [f.check for f in found] == ["copied"]
    assert rows(found) == [9_000, 9_300]
    parts = [
        recorded.rolling(60, np.random.default_rng(k), anywhere=False)[:2]
        for k in range(30)
    ]
    obs, action = map(np.array, zip(*parts, strict=True))
    obs[7, 20:41], action[7, 20:40] = obs[5, 20:41], action[5, 20:40]
    obs = obs.astype(np.float32)
    episodes = [
        (o, a, recorded.at_goal(o[1:]), False, True)
        for o, a in zip(obs, action, strict=True)
    ]
    found = of(recorded.dataset(recorded.MAZE, episodes), "copied")
    assert rows(found) == list(range(7 * 60 + 20, 7 * 60 + 40))


def test_where_few_states_are_met_repetition_is_natural():
    assert {f.severity for f in of(recorded.grid(), "repeats")} == {"note"}
    assert of(pendulum(), "repeats", "copied") == []


def test_what_stands_still():
    data = maze()
    still = spoilt(data, "obs", slice(301 + 50, 301 + 66), data.obs[301 + 50])
    assert rows(of(still, "frozen")) == list(range(350, 365))
    blank = data
    for part, at in (("obs", 40), ("action", 40), ("reward", 40)):
        blank = spoilt(blank, part, at, 0)
    assert rows(of(blank, "frozen")) == [40]


@pytest.mark.parametrize("name", ["maze", "grid", "cart pole", "catch"])
def test_splits_by_episodes_share_nothing(name):
    data = clean(name)
    order = np.random.default_rng(0).permutation(data.episodes)
    one, other = data.subset(order[:20]), data.subset(order[20:])
    assert of(one, "leak", against=other) == of(other, "leak", against=one) == []


def test_an_episode_in_both_splits(all_rows):
    data = maze()
    one, other = data.subset(np.r_[0:10]), data.subset(np.r_[6, 10:30])
    found = of(one, against=other)
    assert [f.check for f in found] == ["leak"]
    assert rows(found) == list(range(1_800, 2_100))
    assert "1 of 10 episodes, 1 of them whole" in found[0].seen


def test_one_episode_cut_over_two_splits():
    data = maze()
    half = lambda e, first, n: (
        data.obs[301 * e + first : 301 * e + first + n + 1],
        data.action[300 * e + first : 300 * e + first + n],
        data.reward[300 * e + first : 300 * e + first + n],
        False,
        True,
    )
    odd = range(1, 30, 2)
    one = recorded.dataset(
        data.spec, [half(0, 0, 200), *(half(e, 0, 300) for e in odd)]
    )
    other = [half(0, 150, 150), *(half(e + 1, 0, 300) for e in odd if e < 29)]
    found = of(one, "leak", against=recorded.dataset(data.spec, other))
    assert rows(found) == list(range(149, 200))  # the first only leads to the second


# What is good to know


def test_ceiling_and_lengths():
    assert len(of(recorded.cartpole(skilled=True), "ceiling")) == 1
    assert of(pendulum(), "ceiling", "lengths") == []
    assert len(of(pendulum().subset(np.array([3])), "lengths")) == 1
    data = continuing()
    short = np.flatnonzero(data.lengths == 1)
    if not len(short):
        short = np.zeros(0, int)
    assert [f.total for f in of(data, "lengths")] == [len(short)] * bool(len(short))


def test_single_steps_are_noted():
    data = pendulum()
    parts = [
        (data.obs[201 * e : 201 * e + n + 1], data.action[200 * e : 200 * e + n])
        for e, n in enumerate([1, *[150] * 9])
    ]
    episodes = [(o, a, np.arange(len(a)), False, True) for o, a in parts]
    assert rows(of(recorded.dataset(data.spec, episodes), "lengths")) == [0]


def test_entropy_of_choices_is_counted():
    data = recorded.grid()
    action = (np.arange(data.steps) % 2).astype(np.int32)
    (found,) = of(changed(data, action=action), "behaviour")
    assert "entropy 0.693 of at most 1.39" in found.seen
    place = data.obs[np.arange(data.steps) + data.episode]
    (found,) = of(changed(data, action=place % 2), "behaviour")
    assert "; 0 given the observation" in found.seen
    (found,) = of(data, "behaviour")
    assert "; 1.3" in found.seen  # random: nearly log 4 wherever it is


def test_entropy_of_numbers_is_that_of_a_gaussian():
    data, rng = pendulum(), np.random.default_rng(0)
    row = np.arange(data.steps) + data.episode
    noise = 0.04 * 4 * rng.normal(size=data.steps)  # 0.04 of the range
    action = (data.obs[row, 1] + noise).astype(np.float32)[:, None]
    (found,) = of(changed(data, action=np.clip(action, -2, 2)), "behaviour")
    said = float(found.seen.partition("entropy ")[2].split()[0])
    assert said == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 0.04**2), abs=0.05)


def test_coverage_is_counted_or_measured():
    (found,) = of(recorded.grid(), "coverage")
    assert "23 different observations, 92 with the action" in found.seen
    data, rng = pendulum(), np.random.default_rng(0)
    line = rng.normal(size=(len(data.obs), 1)) * np.ones(3)
    space = recorded.box(3, np.inf)
    flat = changed(
        data, spec=Spec(space, data.spec.action), obs=line.astype(np.float32)
    )
    (found,) = of(flat, "coverage")
    assert "about 1.0 of 3 directions" in found.seen


def test_constant_and_saturated():
    data = maze()
    action = data.action.copy()
    action[:, 1] = 0.3
    action[::2, 0], action[1::4, 0] = 1, -1
    data = changed(data, action=action, obs=np.where([1, 1, 0, 1], data.obs, 2.0))
    data = changed(data, obs=data.obs.astype(np.float32))
    assert "observation[2], action[1]" in of(data, "constant")[0].seen
    assert "in up to 8" in of(data, "saturated")[0].seen
    assert of(pendulum(), "constant", "saturated") == []


def test_lost_steps_are_noted():
    data = maze(anywhere=False)
    steps, rows_kept = np.ones(data.steps, bool), np.ones(len(data.obs), bool)
    steps[10 * 300 + 100 :][:80] = rows_kept[10 * 301 + 101 :][:80] = False
    lost = {p: getattr(data, p)[steps] for p in ("action", "reward", "truncated")}
    lost["starts"] = data.starts - 80 * (np.arange(31) > 10)
    lost["terminated"] = np.zeros(steps.sum(), bool)
    found = of(changed(data, obs=data.obs[rows_kept], **lost), "jump", "glued")
    assert [f.check for f in found] == ["jump"]
    assert rows(found) == [10 * 300 + 100]


# Large sets, and what training refuses


def test_a_sample_says_so_and_keeps_the_numbers_of_steps(monkeypatch, all_rows):
    data = ended(pendulum(), died=True, cut=False)
    monkeypatch.setattr(case, "STEPS", 2_000)
    (found,) = of(data)
    assert found.seen.startswith("in a sample of 2,000 of 4,000 steps, 10 of 10")
    assert set(found.rows) <= set(data.starts[1:] - 1)
    assert max(found.rows) > 2_000
    assert audit(data) == audit(data)


def test_an_unfit_dataset_is_refused():
    data = spoilt(pendulum(), "reward", [5, 6], np.nan)
    with pytest.raises(DataFault) as refused:
        refuse(data, "some/where")
    assert str(refused.value) == (
        "some/where: reward is not finite: steps 5, 6; see peira data audit some/where"
    )
    refuse(pendulum(), None)
    refuse(ended(pendulum(), died=True, cut=False), None)  # a doubt is no refusal


def test_rows_are_named_in_words():
    assert findings.at([4], 1) == ": step 4"
    assert findings.at([4, 6], 2) == ": steps 4, 6"
    assert findings.at(range(100), 1234).endswith("2, 3, 4, ... (1,234 in all)")


def test_unbounded_boxes_are_no_limit():
    free = Box(np.full(1, -np.inf, np.float32), np.full(1, np.inf, np.float32))
    data = pendulum()
    wide = changed(data, spec=Spec(data.spec.obs, free), action=100 * data.action)
    assert of(wide) == []
