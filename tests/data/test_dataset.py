"""A dataset: whole episodes, true successors, facts that are right."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from episodes import IMAGE, made, REACH, VECTOR

from peira.core import DataFault, Discrete, MultiDiscrete
from peira.data import check
from peira.data.blocks import gathered, reading, runs


LENGTHS = (3, 1, 5, 2)


@pytest.mark.parametrize("obs", [VECTOR, IMAGE, {"a": Discrete(3), "b": (VECTOR,)}])
def test_a_step_leads_to_the_next_row_of_its_own_episode(obs):
    data = made(obs, lengths=LENGTHS)
    row = step = 0
    for n in LENGTHS:
        for i in range(n):
            one = data.gather(np.array([step]))
            for x, seen, led in zip(
                *map(jax.tree.leaves, (data.obs, one.obs, one.next_obs)), strict=True
            ):
                assert (seen == x[row + i]).all()
                assert (led == x[row + i + 1]).all()
            assert one.reward == data.reward[step]
            assert one.over.tolist() == [i == n - 1]
            step += 1
        row += n + 1


def test_masks_come_along():
    data = made(VECTOR, Discrete(4), masked=True)
    one = data.gather(np.array([2, 3]))  # ends of the first episode and the second
    assert (one.legal == data.legal[[2, 4]]).all()
    assert (one.next_legal == data.legal[[3, 5]]).all()


def test_returns_and_lengths():
    data = made(lengths=LENGTHS)
    starts = np.cumsum((0, *LENGTHS))
    own = [data.reward[a:b].sum() for a, b in itertools.pairwise(starts)]
    assert data.returns() == pytest.approx(own)
    assert data.lengths.tolist() == list(LENGTHS)
    assert data.episode.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("at_once", [1, 40, 2**24])
def test_facts_are_of_what_was_acted_in(at_once, monkeypatch):
    """The observations that only end an episode do not count; nor does it matter how
    much is looked at together."""
    monkeypatch.setattr("peira.data.dataset.CHUNK", at_once)
    data = made({"a": VECTOR, "b": IMAGE}, lengths=LENGTHS)
    facts = data.facts()
    seen = data.gather(np.arange(data.steps)).obs
    for name in ("a", "b"):
        x = seen[name].astype(np.float64)
        assert facts.mean[name] == pytest.approx(x.mean(0), abs=1e-4)
        assert facts.std[name] == pytest.approx(x.std(0), abs=1e-4)
    assert (facts.steps, facts.episodes, facts.longest) == (11, 4, 5)
    assert facts.best == pytest.approx(data.returns().max())
    assert facts.worst == pytest.approx(data.returns().min())


def test_facts_hold_far_from_zero():
    """Where the squares of the numbers would leave no digits for their spread."""
    data = made(lengths=(100,))
    far = check_with(data, obs=data.obs + np.float32(1e4))
    x = far.gather(np.arange(100)).obs.astype(np.float64)
    assert far.facts().std == pytest.approx(x.std(0), rel=1e-4)


class TestFingerprint:
    @pytest.mark.parametrize("at_once", [1, 40])
    def test_it_does_not_depend_on_portions(self, at_once, monkeypatch):
        data = made({"a": VECTOR, "b": IMAGE}, likely=True)
        whole = data.fingerprint()
        monkeypatch.setattr("peira.data.dataset.CHUNK", at_once)
        assert data.fingerprint() == whole

    @pytest.mark.parametrize(
        "part",
        ["obs", "action", "reward", "terminated", "starts", "propensity", "legal"],
    )
    def test_every_number_counts(self, part):
        data = made(VECTOR, Discrete(4), masked=True, likely=True)
        x = np.array(getattr(data, part))
        flat = x.reshape(-1)
        flat[3] = not flat[3] if x.dtype == bool else flat[3] + 1
        other = check_with(data, checked=False, **{part: x})
        assert other.fingerprint() != data.fingerprint()

    def test_meta_does_not(self):
        assert made(meta={"a": 1}).fingerprint() == made().fingerprint()


class TestSubset:
    def test_whole_episodes_in_the_order_asked_for(self):
        data = made({"a": VECTOR}, Discrete(4), masked=True, likely=True)
        some = check(data.subset(np.array([3, 0])))
        assert some.lengths.tolist() == [2, 3]
        steps = np.array([9, 10, 0, 1, 2])
        ours, theirs = some.gather(np.arange(5)), data.gather(steps)
        for x, y in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
            assert (x == y).all()
        assert (some.propensity == data.propensity[steps]).all()
        assert some.meta == data.meta

    def test_all_of_it_is_itself(self):
        data = made(likely=True)
        assert data.subset(np.arange(4)).fingerprint() == data.fingerprint()


class TestHandedOn:
    @pytest.mark.parametrize("at_once", [1, 100, 2**24])
    def test_blocks_are_the_dataset(self, at_once, monkeypatch):
        monkeypatch.setattr("peira.data.dataset.CHUNK", at_once)
        data = made({"a": VECTOR}, Discrete(4), masked=True, likely=True)
        assert gathered(reading(data)).fingerprint() == data.fingerprint()

    def test_runs_follow_each_other(self):
        lengths, which = np.array([3, 1, 5, 2]), np.array([0, 1, 3, 2])
        of = lambda most: list(runs(lengths, which, most))
        assert of(4) == [(0, 1), (2, 2), (3, 3)]
        assert of(3) == [(0, 0), (1, 1), (2, 2), (3, 3)]
        assert of(100) == [(0, 1), (2, 2), (3, 3)]
        assert list(runs(lengths, which[:0], 4)) == []


class TestCheck:
    @pytest.mark.parametrize(
        ("part", "change", "why"),
        [
            ("starts", lambda x: x[:1], "holds no step"),
            ("starts", lambda x: x * 0, "holds no step"),
            ("starts", lambda x: x + (x > 0), "reward is float32"),
            ("starts", lambda x: np.array([0, 3, 3, 9, 11]), "do not add up"),
            ("starts", lambda x: np.array([0, 4, 3, 9, 11]), "do not add up"),
            ("starts", lambda x: np.array([1, 3, 4, 9, 11]), "do not add up"),
            ("starts", lambda x: np.array([0, 2, 4, 9, 11]), "step 1 .* is an end unm"),
            ("truncated", lambda x: ~x, "step 0 of the dataset ends but its episode"),
            ("terminated", np.zeros_like, "step 2 of the dataset is an end unmarked"),
            ("obs", lambda x: x[:, :2], "observations have shape"),
            ("obs", lambda x: x.astype(np.float64), "float64, their space is float32"),
            ("obs", lambda x: {"a": x}, "observations are PyTreeDef"),
            ("action", lambda x: x + 2, r"action 0 is \[\d, \d\], which is not in"),
            ("action", lambda x: x - 1, "which is not in"),
        ],
    )
    def test_what_is_wrong_is_said(self, part, change, why):
        data = made(VECTOR, MultiDiscrete((2, 3)), lengths=LENGTHS)
        with pytest.raises(DataFault, match=why) as fault:
            check_with(data, **{part: change(getattr(data, part))})
        assert "\n" not in str(fault.value)

    @pytest.mark.parametrize("at", [0, 5, 14])
    def test_a_choice_too_many_is_found_wherever_it_is(self, at, monkeypatch):
        monkeypatch.setattr("peira.data.dataset.CHUNK", 8)
        data = made(Discrete(3), REACH)
        obs = data.obs.copy()
        obs[at] = 3
        with pytest.raises(DataFault, match=f"observation {at} is 3, which is not in"):
            check_with(data, obs=obs)

    @pytest.mark.parametrize(
        ("masked", "change"),
        [(True, lambda x: None), (False, lambda x: x), (True, lambda x: x[:, :3])],
    )
    def test_masks(self, masked, change):
        data = made(VECTOR, Discrete(4), masked=True)
        spec = made(VECTOR, Discrete(4), masked=masked).spec
        with pytest.raises(DataFault, match=r"mask|legal is bool"):
            check_with(data, spec=spec, legal=change(data.legal))


def check_with(data, *, checked=True, **changes):
    changed = dataclasses.replace(data, **changes)
    return check(changed) if checked else changed
