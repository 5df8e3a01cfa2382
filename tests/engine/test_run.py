"""The run's folder: what is written is what is read, and nothing is half written."""

import dataclasses
import json
import math
import tomllib

import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira import algos
from peira.core import BadConfig, RunFault
from peira.engine import checkpoint, files
from peira.engine.fields import plain, rebuild
from peira.engine.plan import Plan
from peira.engine.run import Run, spell, unspell


def config(plan: Plan = Plan(steps=100, seeds=(3, 5)), name: str = "sac"):
    return {
        "algorithm": name,
        "env": "Pendulum-v1",
        "env_kwargs": {"g": 9.8, "render_mode": None, "sizes": [1, None]},
        "hyper": plain(algos.get(name)()),
        "plan": plan,
    }


@pytest.mark.parametrize("name", algos.catalogue)
def test_the_configuration_comes_back_whole(tmp_path, name):
    run = Run.create(tmp_path / "a", config(name=name))
    again = Run.open(tmp_path / "a")
    assert again.config == run.config
    algorithm = rebuild(algos.get(name), again.config["hyper"])
    assert algorithm == algos.get(name)()
    for field in dataclasses.fields(algorithm):
        left, right = (getattr(x, field.name) for x in (algorithm, algos.get(name)()))
        assert type(left) is type(right)
    assert rebuild(Plan, again.config["plan"]) == Plan(steps=100, seeds=(3, 5))
    assert again.seeds == (3, 5)
    written = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert written["hyper"].keys() == plain(algorithm).keys()


distinct = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True)
plans = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 10**9),
        "seeds": distinct.map(tuple),
        "envs": st.none() | st.integers(1, 100),
        "overlap": st.booleans(),
        "evaluate_every": st.none() | st.integers(1, 10**9),
        "backend": st.sampled_from(["auto", "jax", "gymnasium"]),
    }
)


@given(plans)
def test_every_plan_comes_back(fields):
    plan = Plan(**fields)
    assert rebuild(Plan, unspell(spell(plain(plan)))) == plan
    assert rebuild(Plan, json.loads(json.dumps(plain(plan)))) == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stepz": 1}, "unknown field of Plan 'stepz'; did you mean steps"),
        ({"steps": "many"}, "Plan.steps = 'many': must be int"),
        ({"steps": True}, "must be int"),
        ({"steps": 0}, "must lie in"),
        ({"seeds": [0, "1"]}, "Plan.seeds"),
        ({"backend": "torch"}, "Plan.backend"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_field(change, said):
    with pytest.raises(BadConfig, match=said):
        rebuild(Plan, change)


def test_what_has_no_plain_form_is_refused():
    with pytest.raises(BadConfig, match="cannot be written"):
        plain({"f": print})


def test_provenance_says_what_made_the_run(tmp_path):
    run = Run.create(tmp_path / "a", config())
    run.finish(1.5)
    run.finish(2.0)
    born = json.loads((tmp_path / "a" / "provenance.json").read_text())
    assert born["seeds"] == [3, 5]
    assert born["versions"]["jax"]
    assert born["devices"]
    assert born["started"]
    assert born["finished"] is None  # it was stopped
    assert born["seconds"] == 3.5


def test_an_existing_folder_is_never_written_over(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(RunFault, match=r"exists: resume it .*--name"):
        Run.create(tmp_path / "a", config())
    assert list((tmp_path / "a").iterdir()) == []


def test_a_place_that_cannot_be_written_is_known_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFault, match="cannot write a run to"):
        Run.create(tmp_path / "file" / "a", config())


def test_a_disk_without_room_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(RunFault, match="No space left"):
        Run.create(tmp_path / "a", config())
    monkeypatch.undo()
    assert not (tmp_path / "a").exists()
    Run.create(tmp_path / "a", config())


@pytest.mark.parametrize("harm", ["config.toml", "provenance.json", "folder", "words"])
def test_what_is_not_a_run_is_one_line(tmp_path, harm):
    run = Run.create(tmp_path / "a", config())
    if harm == "folder":
        run.path = tmp_path / "b"
    elif harm == "words":
        (run.path / "config.toml").write_text("algorithm = [\n")
    else:
        (run.path / harm).unlink()
    with pytest.raises(RunFault, match=r"is not a run|does not exist") as caught:
        Run.open(run.path)
    assert "\n" not in str(caught.value)


def fill(log, steps, since: int = 0):
    """A log with a line and an evaluation at each step, one step a second."""
    for step in steps:
        values = {"episodes": 1.0} if step < 20 else {"loss": step / 8, "episodes": 2.0}
        log.log(step, step // 2, values, float(step - since))
        log.evaluated(step, "greedy", np.array([step, -1.0]), np.array([4, 5]), 77)
    return log


def test_tables_hold_every_row_with_its_seed(tmp_path):
    run = Run.create(tmp_path / "a", config())
    assert run.metrics().num_rows == run.evaluations().num_rows == 0
    fill(run.seed(3), (10, 20)).flush()
    fill(run.seed(5), (10,)).flush()
    metrics = run.metrics().to_pydict()
    assert metrics == {
        "seed": [3, 3, 5],
        "step": [10, 20, 10],
        "updates": [5, 10, 5],
        "seconds": [10.0, 20.0, 10.0],
        "episodes": [1.0, 2.0, 1.0],
        "loss": [None, 2.5, None],
    }
    episodes = run.evaluations().to_pydict()
    assert episodes["seed"] == [3, 3, 3, 3, 5, 5]
    assert episodes["episode"] == [0, 1, 0, 1, 0, 1]
    assert episodes["return"] == [10.0, -1.0, 20.0, -1.0, 10.0, -1.0]
    assert episodes["length"] == [4, 5] * 3
    assert set(episodes["evaluation_seed"]) == {77}


@given(
    steps=st.lists(st.integers(1, 40), unique=True, max_size=8).map(sorted),
    back=st.integers(0, 40),
)
def test_a_log_wound_back_and_written_again_is_the_same_log(
    tmp_path_factory, steps, back
):
    run = Run.create(tmp_path_factory.mktemp("log") / "a", config())
    fill(run.seed(3), steps).flush()
    whole = (run.metrics(), run.evaluations())
    log = run.seed(3)
    log.rewind(back)
    log.flush()
    kept = [s for s in steps if s <= back]
    assert run.metrics()["step"].to_pylist() == kept
    fill(log, steps[len(kept) :], since=max(kept, default=0)).flush()
    assert (run.metrics(), run.evaluations()) == whole


def test_time_goes_on_after_a_rewind(tmp_path):
    run = Run.create(tmp_path / "a", config())
    fill(run.seed(3), (10, 20)).flush()
    log = run.seed(3)
    log.rewind(10)
    log.log(20, 10, {}, 0.5)
    log.flush()
    assert run.metrics()["seconds"].to_pylist() == [10.0, 10.5]


def test_a_full_disk_leaves_the_tables_as_they_were(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "a", config())
    fill(run.seed(3), (10,)).flush()
    before = run.metrics()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(RunFault, match="No space left"):
        fill(run.seed(3), (10, 20)).flush()
    assert run.metrics() == before
    assert not list((tmp_path / "a" / "seed-3").glob("*.tmp"))


def test_a_damaged_table_is_one_line(tmp_path):
    run = Run.create(tmp_path / "a", config())
    fill(run.seed(3), (10,)).flush()
    (run.path / "seed-3" / "metrics.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunFault, match="cannot be read") as caught:
        run.metrics()
    assert "\n" not in str(caught.value)


def test_done_when_every_seed_has_saved_the_last_step(tmp_path):
    run = Run.create(tmp_path / "a", config())
    for seed, step, done in ((3, 100, False), (5, 99, False), (5, 100, True)):
        folder = run.path / f"seed-{seed}" / "checkpoints"
        checkpoint.save(folder, {"x": np.zeros(1)}, meta={"step": step})
        assert run.done is done


def test_numbers_survive_the_words():
    odd = {"a": math.inf, "b": -0.0, "c": 1e-300, "d": 2**53, "e": None, "f": [None]}
    assert unspell(spell(odd)) == odd
