"""Standard sets: the protocol that they follow, and the record they are held to."""

import dataclasses
import importlib.metadata

import jax
import numpy as np
import pytest
import scipy.stats

from peira.core import BadConfig, DataFault
from peira.data import read
from peira.engine.provenance import version
from peira.engine.run import Run
from peira.evidence.packs import (
    build,
    making,
    normalised,
    openbandit,
    RECIPES,
    recorded,
    training,
)
from peira.evidence.packs.recipes import Both, Learned, learned, Logged, Replay
from peira.evidence.packs.training import chosen, Training


TINY = Training(
    "Pendulum-v1",
    "sac",
    4_000,
    500,
    {"hidden": (32, 32), "batch": 64, "learning_rate": 2e-3, "warmup": 500},
)
KINDS = ("random", "medium", "medium-replay", "medium-expert", "expert")


def whole_runs(test):
    """JAX's check for keys used twice gives false alarms where a run is scanned."""
    return jax.debug_key_reuse(False)(test)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """All kinds of a small Pendulum, trained once."""
    out = tmp_path_factory.mktemp("sets")
    trained = []
    with pytest.MonkeyPatch.context() as patch, jax.debug_key_reuse(False):
        own = learned("tiny", TINY, 2_000, "jax")
        patch.setattr(making, "RECIPES", own)
        real = training.train
        counted = lambda *a, **k: (trained.append(1), real(*a, **k))
        patch.setattr(training, "train", counted)
        for kind in KINDS:
            build(f"tiny-{kind}", out)
    assert trained == [1]
    return {kind: read(out / f"tiny-{kind}") for kind in KINDS}


def test_the_better_the_behaviour_the_better_the_returns(tiny):
    mean = {kind: data.returns().mean() for kind, data in tiny.items()}
    assert mean["expert"] > mean["medium"] + 200
    assert mean["medium"] > mean["random"] + 200
    assert mean["expert"] > -400  # a pendulum that stands


def test_steps_are_as_many_as_asked_for(tiny):
    for kind in ("random", "medium", "expert"):
        assert tiny[kind].steps == 2_000
        assert (tiny[kind].lengths == 200).all()
        assert tiny[kind].truncated.sum() == 10


def test_the_replay_holds_exactly_the_steps_up_to_medium(tiny):
    data = tiny["medium-replay"]
    medium = data.meta["milestones"]["medium"]
    assert data.steps == medium
    assert 500 < medium < data.meta["milestones"]["expert"]
    assert (data.lengths[:-1] == 200).all()
    assert data.truncated.sum() == data.episodes
    assert data.propensity is None
    # The first steps of soft actor-critic are random, the later ones are not.
    uniform = scipy.stats.uniform(-2, 4).cdf
    warm, later = data.action[:480, 0], data.action[-480:, 0]
    assert scipy.stats.kstest(warm, uniform).pvalue > 1e-3
    assert scipy.stats.kstest(later, uniform).pvalue < 1e-3


def test_random_actions_are_uniform(tiny):
    action = tiny["random"].action[:, 0]
    assert scipy.stats.kstest(action, scipy.stats.uniform(-2, 4).cdf).pvalue > 1e-3
    assert tiny["random"].propensity == pytest.approx(np.full(2_000, 0.25))


def test_half_and_half(tiny):
    both, medium, expert = (tiny[k] for k in ("medium-expert", "medium", "expert"))
    half = both.episodes // 2
    first, second = (both.subset(np.arange(half) + i) for i in (0, half))
    assert first.fingerprint() == medium.fingerprint()
    assert second.fingerprint() == expert.fingerprint()


def test_scores_are_those_of_random_play_and_the_greedy_expert(tiny):
    for kind in KINDS[1:]:
        scores = tiny[kind].meta["scores"]["peira"]
        assert scores == tiny["expert"].meta["scores"]["peira"]
        assert scores["expert"] > -400
        assert scores["random"] == pytest.approx(-1220, abs=120)
    came_to = tiny["medium"].meta["milestones"]["returns"]
    assert came_to["random"] < came_to["medium"] < came_to["expert"]


def test_a_set_says_where_it_comes_from(tiny):
    meta = tiny["medium"].meta
    assert meta["env"] == "Pendulum-v1"
    assert meta["versions"]["jax"] == jax.__version__
    said = meta["recipe"]
    assert said["name"] == "tiny-medium"
    assert said["behaviour"]["kind"] == "learned"
    assert said["behaviour"]["training"]["steps"] == 4_000
    assert said["behaviour"]["training"]["hyper"]["hidden"] == [32, 32]


def test_the_medium_policy_is_the_first_a_third_of_the_way():
    assert chosen({1: -90.0, 2: -70.0, 3: -60.0, 4: -5.0, 5: -10.0}, -100.0) == (3, 4)
    assert chosen({1: -100.0, 2: -68.0, 3: -4.0}, -100.0) == (2, 3)
    assert chosen({1: 7.0}, 0.0) == (1, 1)


def test_a_training_that_learned_nothing_has_no_expert():
    with pytest.raises(DataFault, match="never came above random play"):
        chosen({1: -5.0, 2: -4.0}, -4.0)


SMALL = Training(
    "probe:reach",
    "sac",
    60,
    20,
    {"hidden": (4,), "batch": 4, "warmup": 10},
)


@whole_runs
def test_another_recipes_training_is_refused(tmp_path):
    run = training.run_of(SMALL, tmp_path / "run")
    assert run.done
    others = [
        dataclasses.replace(SMALL, **{name: value})
        for name, value in {
            "seed": 1,
            "env": "probe:match",
            "algorithm": "td3",
            "hyper": {**SMALL.hyper, "batch": 5},
        }.items()
    ]
    for other in others:
        with pytest.raises(DataFault, match="another recipe: choose another --out"):
            training.run_of(other, tmp_path / "run")


def test_a_training_from_before_a_field_was_known_still_counts(tmp_path):
    config = {**SMALL.config, "plan": dict(SMALL.config["plan"])}
    config["plan"].pop("resident")
    run = Run.create(tmp_path / "run", config)
    assert training.of(SMALL, run)
    config["plan"]["steps"] += 1
    assert not training.of(SMALL, Run.create(tmp_path / "other", config))


@whole_runs
def test_a_training_that_was_stopped_goes_on(tmp_path, monkeypatch):
    def half(algorithm, env, plan, run, **rest):
        train(algorithm, env, dataclasses.replace(plan, steps=20), run, **rest)
        raise KeyboardInterrupt

    train = training.train
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", half)
        with pytest.raises(KeyboardInterrupt):
            training.run_of(SMALL, tmp_path / "cut")
    cut = training.run_of(SMALL, tmp_path / "cut")
    whole = training.run_of(SMALL, tmp_path / "whole")
    assert training.means(cut) == training.means(whole)
    a, b = (training.moments(SMALL, run, 40, 60) for run in (cut, whole))
    assert int(a[0].ring.filled) == 40
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_same_recipe_twice_is_the_same_set(tmp_path):
    one, two = (build("fourrooms-medium", tmp_path / k) for k in "ab")
    assert one.fingerprint == two.fingerprint == read(one.path).fingerprint()
    assert one.data.meta == two.data.meta
    assert one.data.steps >= 20_000


def test_an_unknown_name_has_a_neighbour(tmp_path):
    with pytest.raises(BadConfig, match="did you mean hopper-medium"):
        build("hoper-medium", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_there_stays(tmp_path):
    place = tmp_path / "pendulum-medium"
    place.mkdir()
    with pytest.raises(DataFault, match="exists: remove it, or choose another --out"):
        build("pendulum-medium", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [place.name]


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ({"jax": "0.1"}, f"made with jax 0.1 \\(here {jax.__version__}\\)"),
        ({"jax": jax.__version__}, "the same versions, elsewhere or before a change"),
    ],
)
def test_a_difference_from_the_record_is_a_warning(tmp_path, monkeypatch, then, words):
    row = {"env": None, "scores": {}, "fingerprint": "0" * 64, "versions": then}
    monkeypatch.setattr(making, "recorded", lambda: {"fourrooms-expert": row})
    with pytest.warns(RuntimeWarning, match=words):
        built = build("fourrooms-expert", tmp_path)
    assert not built.same
    assert read(built.path).steps == built.data.steps


def test_recorded_scales_go_before_measured_ones(tmp_path, monkeypatch):
    scores = {"random": -1.0, "expert": 1.0}
    row = {"env": "FourRooms", "scores": scores, "fingerprint": "", "versions": {}}
    monkeypatch.setattr(making, "recorded", lambda: {"fourrooms-random": row})
    built = build("fourrooms-expert", tmp_path)
    assert built.data.meta["scores"] == {"peira": scores}


def test_d4rls_scales_are_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "recorded", dict)
    data = read(build("fourrooms-expert", tmp_path).path)
    said = making.Builder(tmp_path, ()).scores(RECIPES["hopper-random"], data)
    assert said["scores"]["d4rl"] == {"random": -20.272305, "expert": 3234.3}
    assert said["scores"]["peira"] == {"random": pytest.approx(data.returns().mean())}


def test_scores_are_zero_for_random_play_and_a_hundred_for_the_expert():
    scale = {"random": -20.0, "expert": 180.0}
    scores = normalised(np.array([-20.0, 80, 180, 280]), scale)
    assert scores.tolist() == [0, 50, 100, 150]


def test_every_recipe_makes_sense():
    for name, recipe in RECIPES.items():
        match recipe.behaviour:
            case Both(names):
                assert {RECIPES[n].env for n in names} == {recipe.env}
            case Learned(kept) | Replay(kept):
                assert kept.env == recipe.env
                assert kept.steps % kept.every == 0
                line = kept.steps // 100  # of the log: evaluations come at such
                assert kept.every % line == 0, name
            case Logged():
                assert recipe.env is None
        collected = not isinstance(recipe.behaviour, Both | Replay | Logged)
        assert (recipe.steps is not None) == collected, name
        assert recipe.seed == 0 or collected


def test_no_two_sets_of_an_environment_share_a_seed():
    for env in {r.env for r in RECIPES.values()} - {None}:
        seeds = [r.seed for r in RECIPES.values() if r.env == env and r.steps]
        assert len(set(seeds)) == len(seeds)


def test_the_record_is_of_our_sets():
    rows = recorded()
    assert rows
    assert rows.keys() <= RECIPES.keys()
    for name, row in rows.items():
        assert row["env"] == RECIPES[name].env
        assert len(row["fingerprint"]) == 64
        assert row["steps"] >= (RECIPES[name].steps or 0)
    assert len({row["fingerprint"] for row in rows.values()}) == len(rows)


def test_a_set_of_whole_numbers_is_as_recorded(tmp_path):
    """Where the random bits are the same, nothing is left to round."""
    row = recorded()["fourrooms-expert"]
    if row["versions"]["jax"] != version("jax"):
        pytest.skip("recorded with another JAX")
    assert build("fourrooms-expert", tmp_path).same


HEAD = ["", "timestamp", "item_id", "position", "click", "propensity_score"]
HEAD += ["user_feature_0", "user_feature_1", "user-item_affinity_0"]
HEAD += ["user-item_affinity_1"]
LOGS = {
    "random": [
        [0, "2019-11-24 00:00:02+00:00", 1, 3, 0, 0.5, "b", "x", 0.0, 2.0],
        [1, "2019-11-24 00:00:01+00:00", 0, 1, 1, 0.5, "a", "x", 1.0, 0.0],
    ],
    "bts": [[0, "2019-11-24 00:00:03+00:00", 1, 2, 1, 0.9, "c", "x", 0.0, 0.0]],
}


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A package that brings two small logs, and whose code does not run."""
    folder = tmp_path / "site/obp/dataset/obd"
    for logger, rows in LOGS.items():
        place = folder / logger / "men"
        place.mkdir(parents=True)
        lines = [",".join(map(str, row)) for row in [HEAD, *rows]]
        (place / "men.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "site/obp/__init__.py").write_text("raise RuntimeError('imported')\n")
    about = tmp_path / "site/obp-9.9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: obp\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_a_log_is_read_as_episodes_of_one_step(logs, tmp_path, monkeypatch):
    """In the order of time, and both logs in one language."""
    monkeypatch.setattr(making, "recorded", dict)
    built = {who: build(f"openbandit-men-{who}", tmp_path / "out") for who in LOGS}
    data, other = (built[who].data for who in ("random", "bts"))
    assert data.meta["columns"] == [
        *("position=1", "position=2", "position=3"),
        *("user_feature_0=a", "user_feature_0=b", "user_feature_0=c"),
        "user_feature_1=x",
        *("user-item_affinity_0", "user-item_affinity_1"),
    ]
    steps = data.gather(np.arange(2))
    assert steps.obs.tolist() == [
        [1, 0, 0, 1, 0, 0, 1, 1, 0],
        [0, 0, 1, 0, 1, 0, 1, 0, 2],
    ]
    assert other.gather(np.arange(1)).obs.tolist() == [[0, 1, 0, 0, 0, 1, 1, 0, 0]]
    assert data.spec == other.spec
    assert steps.action.tolist() == [0, 1]
    assert steps.reward.tolist() == [1, 0]
    assert steps.terminated.all()
    assert data.propensity.tolist() == [0.5, 0.5]
    assert data.meta["versions"]["obp"] == "9.9"
    assert "env" not in data.meta
    assert "scores" not in data.meta


def test_a_log_that_is_not_installed(tmp_path, monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(openbandit.importlib.metadata, "distribution", missing)
    with pytest.raises(BadConfig, match="pip install --no-deps obp"):
        build("openbandit-men-bts", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ("a,b\n1,2,3\n", "cannot be read"),
        ("timestamp,item_id,click\n1,2,3\n", "no column position, propensity_score"),
    ],
)
def test_a_damaged_log_is_refused(logs, tmp_path, text, fault):
    file = logs / "bts/men/men.csv"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(DataFault, match=fault):
        build("openbandit-men-random", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("logger", ["random", "bts"])
@pytest.mark.parametrize(
    ("campaign", "items"), [("all", 80), ("men", 34), ("women", 46)]
)
def test_the_real_logs(tmp_path, campaign, items, logger):
    """Counted in the files themselves; the random policy chose each item alike."""
    try:
        folder = openbandit.installed().folder
    except BadConfig:
        pytest.skip("the package that brings them is not installed")
    built = build(f"openbandit-{campaign}-{logger}", tmp_path)
    data = built.data
    assert built.same
    file = folder / logger / campaign / f"{campaign}.csv"
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    assert data.steps == data.episodes == len(rows) == 10_000
    assert data.reward.sum() == sum(row[4] == "1" for row in rows)
    chosen = np.bincount([int(row[2]) for row in rows], minlength=items)
    assert np.bincount(data.action, minlength=items).tolist() == chosen.tolist()
    assert data.spec.action.n == items
    assert data.propensity.min() > 0
    assert data.propensity.max() <= 1
    seen = data.gather(np.arange(data.steps)).obs
    at = [sum(row[3] == str(i) for row in rows) for i in (1, 2, 3)]
    assert seen[:, :3].sum(axis=0).tolist() == at
    if logger == "random":
        assert data.propensity == pytest.approx(np.full(10_000, 1 / items))
