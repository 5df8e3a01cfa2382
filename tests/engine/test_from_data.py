"""Learning from a dataset: on the device or streamed, stopped or not, alone or in
company, with a world to be evaluated in or without."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from episodes import IMAGE, made, REACH, VECTOR
from tiny import Learned, Walk, Wanderer

from peira.core import (
    Algorithm,
    BadConfig,
    Box,
    Discrete,
    NumericalFault,
    Report,
    Sample,
)
from peira.data import Dataset, Deal
from peira.data.blocks import gathered, Reading
from peira.engine import blackbox, collect, from_data
from peira.engine.from_data import beat_from, FromData
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.engine.train import train
from peira.ops import when


class Adder(Algorithm[Learned, Sample]):
    """Learns one number that every number it is dealt goes into."""

    serves: ClassVar = frozenset({Discrete, Box})
    version: ClassVar = 1

    window: int | None = None
    top: float = 1.0
    within: bool = False
    poison: int = -1

    def store(self, spec):
        came = "return" if self.within else "none"
        return Deal(4, self.window, self.top, came, self.within)

    def init(self, spec, *, key):
        return Learned(jnp.array(0.0), jnp.array(0))

    def policy(self, state):
        return Wanderer(jnp.tanh(state.drift) / 2)

    def update(self, state, batch, *, key):
        flat = [jnp.asarray(x, float).ravel() for x in jax.tree.leaves(batch)]
        # In integers, whose sum is the same in any order.
        dealt = jax.lax.bitcast_convert_type(jnp.concatenate(flat), jnp.int32)
        total = (dealt * (2 * jnp.arange(len(dealt)) + 1)).sum()
        loss = (total % 1024) / 1024
        loss = jnp.where(state.count == self.poison, jnp.nan, loss)
        new = Learned(state.drift / 2 + loss, state.count + 1)
        new = when(jnp.isfinite(loss), lambda old: new, state)
        return new, Report({"loss": loss})


@pytest.fixture(scope="module")
def walked() -> Dataset:
    """Episodes of random play in the tiny world."""
    env = Walk()

    def blocks(done):
        policy = collect.Uniform(env.spec.action)
        played = collect.episodes(policy, env, seed=0, explore=True)
        return itertools.islice(played, 20)

    with jax.debug_key_reuse(False):
        return gathered(Reading("walk", env.spec, blocks))


def begun(data, algorithm=Adder(), *, seeds=(0,), resident=2**30):
    beat = beat_from(algorithm, data, Plan(steps=60))
    return FromData(beat, data, seeds, resident=resident)


def arrays(tree):
    key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    raw = lambda x: jax.random.key_data(x) if key(x) else x
    return [np.asarray(raw(x)) for x in jax.tree.leaves(tree)]


def same(a, b):
    return all((x == y).all() for x, y in zip(arrays(a), arrays(b), strict=True))


@pytest.mark.parametrize(("window", "within"), [(None, False), (3, False), (4, True)])
@pytest.mark.parametrize("seeds", [(0,), (3, 5)])
@pytest.mark.parametrize("ahead", [1, 2**20])
def test_streamed_is_resident(window, within, seeds, ahead, monkeypatch):
    """Bit for bit, however many batches are looked up in advance; what is reported is
    summed up in other portions."""
    monkeypatch.setattr(from_data, "AHEAD", ahead)
    data = made({"a": VECTOR, "b": IMAGE}, REACH)
    adder = Adder(window=window, within=within)
    whole = begun(data, adder, seeds=seeds)
    streamed = begun(data, adder, seeds=seeds, resident=0)
    assert streamed.streams
    assert not whole.streams
    for n in (5, 7):
        for one, other in zip(whole.advance(n), streamed.advance(n), strict=True):
            assert one == pytest.approx(other, abs=1e-5)
        assert same(whole.life, streamed.life)
    assert arrays(whole.learner(0))[0] != 0


def test_only_the_best_are_dealt():
    data = made(lengths=(4, 4, 4, 4))
    some = begun(data, Adder(top=0.25))
    alone = data.subset(np.array([int(data.returns().argmax())]))
    other = begun(alone)
    assert some.advance(9) == other.advance(9)
    assert begun(data).advance(9) != other.advance(9)


@pytest.mark.parametrize("resident", [0, 2**30])
@pytest.mark.parametrize("seeds", [(0,), (3, 5)])
def test_saved_and_restored_as_never_stopped(seeds, resident):
    data = made()
    whole = begun(data, seeds=seeds, resident=resident)
    whole.advance(4)
    saved = [whole.save(i) for i in range(len(seeds))]
    saved = [(jax.tree.map(jnp.array, tree), meta) for tree, meta in saved]
    rows = whole.advance(6)
    again = begun(data, seeds=seeds, resident=resident)
    again.restore(saved)
    assert again.advance(6) == rows
    assert again.done == whole.done
    assert same(again.life, whole.life)


def test_a_seed_alone_is_as_in_company():
    data = made()
    both, alone = begun(data, seeds=(3, 5)), begun(data, seeds=(5,))
    both.advance(8)
    alone.advance(8)
    assert same(both.learner(1), alone.learner(0))
    assert not same(both.learner(0), both.learner(1))


class TestTrain:
    """From a dataset to a run on disk."""

    def run(self, path, data, *, algorithm=Adder(), env=None, resume=False, **plan):
        plan = Plan(**{"steps": 60, "episodes": 2, "checkpoint_every": 20} | plan)
        config = {
            "algorithm": "test",
            "env": None if env is None else str(env),
            "env_kwargs": {},
            "hyper": algorithm,
            "plan": plan,
        }
        run = Run.open(path) if resume else Run.create(path, config)
        train(algorithm, env, plan, run, name="test", data=data, resume=resume)
        return run

    def weights(self, run):
        return (run.path / "seed-0/policy/policy.safetensors").read_bytes()

    def test_without_a_world_nothing_is_evaluated(self, walked, tmp_path):
        run = self.run(tmp_path / "run", walked)
        assert run.done
        assert len(run.evaluations()) == 0
        rows = pq.read_table(run.path / "seed-0/metrics.parquet").to_pylist()
        assert rows[-1]["step"] == rows[-1]["updates"] == 60

    def test_a_world_evaluates_and_changes_nothing(self, walked, tmp_path):
        run = self.run(tmp_path / "run", walked, env=Walk(), evaluate_every=30)
        assert set(run.evaluations()["step"].to_pylist()) == {30, 60}
        other = self.run(tmp_path / "other", walked)
        assert self.weights(run) == self.weights(other)

    @pytest.mark.parametrize("resident", [0, 4000])
    def test_stopped_and_resumed_as_never_stopped(self, resident, walked, tmp_path):
        whole = self.run(tmp_path / "whole", walked, resident=resident)
        bad = Adder(poison=45)
        with pytest.raises(NumericalFault):
            self.run(tmp_path / "part", walked, algorithm=bad, resident=resident)
        part = self.run(tmp_path / "part", walked, resume=True, resident=resident)
        assert self.weights(part) == self.weights(whole)

    def test_the_update_that_failed_can_be_made_again(self, walked, tmp_path):
        bad = Adder(poison=7)
        with pytest.raises(NumericalFault, match="update 7 "):
            self.run(tmp_path / "run", walked, algorithm=bad)
        folder = tmp_path / "run/seed-0/faults/update-7"
        again = blackbox.replay(folder, lambda name: Adder)
        assert again["first"] == again["now"]
        assert "loss" in again["now"]

    def test_failed_updates_may_be_skipped(self, walked, tmp_path):
        bad = Adder(poison=7)
        run = self.run(tmp_path / "run", walked, algorithm=bad, on_nan="skip")
        assert run.done

    @pytest.mark.parametrize(
        "changes", [{"obs": VECTOR}, {"action": Discrete(3)}, {"masked": True}]
    )
    def test_a_world_it_was_not_collected_in(self, changes, walked, tmp_path):
        parts = {"obs": walked.spec.obs, "action": walked.spec.action} | changes
        with pytest.raises(BadConfig, match="but the environment has"):
            self.run(tmp_path / "run", made(**parts), env=Walk())

    def test_bounds_may_differ(self, walked, tmp_path):
        wide = Box(walked.spec.obs.low - 1, walked.spec.obs.high + 1)
        spec = dataclasses.replace(walked.spec, obs=wide)
        data = dataclasses.replace(walked, spec=spec)
        assert self.run(tmp_path / "run", data, env=Walk()).done


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("what", ["train", "convert", "whole"])
def test_a_dataset_larger_than_memory(what, tmp_path):
    """A process that may hold 400 MiB more than it holds with everything imported
    trains from a dataset of 1,000; one that may hold 160 converts one of 400, which it
    could not hold."""
    script = Path(__file__).parent / "large.py"
    paths = [str(Path(from_data.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(script), what, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1:] == ["too-large" if what == "whole" else "done"], (
        done.stderr
    )
