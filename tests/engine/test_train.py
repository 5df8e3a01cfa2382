"""Training from end to end: stopped, killed, damaged and side by side."""

import dataclasses
import functools
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import Drift, Walk

from peira.algos.online.ppo import PPO
from peira.algos.online.sac import SAC
from peira.core import BadConfig, Box, NumericalFault, PeiraError, RunFault, Spec
from peira.engine import checkpoint, pieces
from peira.engine.loop import beat
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.engine.signals import stop_signal
from peira.engine.sinks import Sink
from peira.engine.train import train
from peira.engine.trainer import pool, Schedule, schedule


class At(Sink):
    """Does something once, when a seed's log reaches a step."""

    def __init__(self, step: int, do):
        self.step, self.do = step, do

    def start(self, config, seeds, steps):
        self.steps = steps

    def log(self, seed, step, values):
        if self.step is not None and step >= self.step:
            self.step = None
            self.do()

    def evaluated(self, seed, step, returns):
        assert np.isfinite(returns).all()

    def close(self):
        self.closed = True


class Setting(NamedTuple):
    algorithm: Any
    env: Any
    plan: Plan

    def run(self, path: Path, *sinks: Sink, resume: bool = False) -> Run:
        config = {
            "algorithm": "test",
            "env": str(self.env),
            "env_kwargs": {},
            "hyper": self.algorithm,
            "plan": self.plan,
        }
        run = Run.open(path) if resume else Run.create(path, config)
        train(
            self.algorithm,
            self.env,
            self.plan,
            run,
            name="x",
            sinks=sinks,
            resume=resume,
        )
        return run


TINY = Setting(
    Drift(),
    Walk(),
    Plan(steps=200, episodes=2, evaluate_every=60, checkpoint_every=50),
)
ppo = PPO(hidden=(4,), rollout=16, epochs=1, minibatches=2)
some = Plan(steps=640, envs=4, episodes=2, evaluate_every=192)
SETTINGS = {
    "tiny": TINY,
    "ppo": Setting(ppo, "CartPole-v1", some),
    "ppo-host": Setting(
        ppo,
        "CartPole-v1",
        Plan(**vars(some) | {"backend": "gymnasium", "stochastic": True}),
    ),
    "tiny-host-overlap": Setting(
        Drift(),
        "CartPole-v1",
        Plan(**vars(TINY.plan) | {"backend": "gymnasium", "overlap": True}),
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A setting's run that nothing interrupts: made once, and not to be changed."""
    home = tmp_path_factory.mktemp("whole")
    return functools.cache(lambda name: SETTINGS[name].run(home / name))


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def same(a: Run, b: Run) -> None:
    """Every seed of `a` is equal in `b`, but for the time it took."""
    for k in a.seeds:
        one, two = a.path / f"seed-{k}", b.path / f"seed-{k}"
        for name in ("metrics.parquet", "evaluations.parquet"):
            first, second = (untimed(pq.read_table(p / name)) for p in (one, two))
            assert first.num_rows > 0
            assert first.equals(second)
        last = [list(checkpoint.steps(p / "checkpoints"))[-1] for p in (one, two)]
        assert last[0] == last[1]
        states = [p / f"checkpoints/step-{last[0]}/state.json" for p in (one, two)]
        said = [json.loads(state.read_text()) for state in states]
        for about in said:  # the configurations may have other words for one thing
            del about["owner"], about["sha256"]
        assert said[0] == said[1]
        for file in (
            f"checkpoints/step-{last[0]}/state.safetensors",
            "policy/policy.safetensors",
            "policy/policy.json",
        ):
            assert (one / file).read_bytes() == (two / file).read_bytes(), file


def untimed(table: pa.Table) -> pa.Table:
    return table.select([name for name in table.column_names if name != "seconds"])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_and_resumed_is_the_run_never_stopped(tmp_path, name, whole):
    setting = SETTINGS[name]
    assert whole(name).done
    part = tmp_path / "part"
    stop = At(setting.plan.steps * 4 // 10, interrupt)
    with pytest.raises(KeyboardInterrupt):
        setting.run(part, stop)
    assert stop.closed
    assert not Run.open(part).done
    resumed = setting.run(part, resume=True)
    assert resumed.done
    same(whole(name), resumed)
    seconds = resumed.metrics()["seconds"].to_numpy()
    assert (np.diff(seconds) > 0).all()


def test_resuming_what_is_done_changes_nothing(tmp_path, whole):
    shutil.copytree(whole("tiny").path, tmp_path / "a")
    same(whole("tiny"), TINY.run(tmp_path / "a", resume=True))


def test_a_killed_run_resumes_too(tmp_path, whole):
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]);"
        "import test_train as t; from pathlib import Path;"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL);"
        "t.TINY.run(Path(sys.argv[2]), t.At(130, kill))"
    )
    part = tmp_path / "part"
    here = str(Path(__file__).parent)
    child = subprocess.run([sys.executable, "-c", code, here, str(part)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert list(checkpoint.steps(part / "seed-0" / "checkpoints")) == [50, 100]
    same(whole("tiny"), TINY.run(part, resume=True))


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path, whole):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    part = tmp_path / "part"
    with pytest.raises(Killed):
        TINY.run(part, At(20, kill))
    same(whole("tiny"), TINY.run(part, resume=True))


@pytest.mark.usefixtures("_batched_keys")
def test_seeds_saved_at_different_moments_go_on_from_a_common_one(tmp_path):
    both = TINY._replace(plan=Plan(**vars(TINY.plan) | {"seeds": (0, 3)}))
    whole = both.run(tmp_path / "whole")
    shutil.copytree(whole.path, tmp_path / "part")
    arrays_of = tmp_path / "part/seed-3/checkpoints/step-200/state.json"
    arrays_of.unlink()  # killed between the two
    part = Run.open(tmp_path / "part")
    assert part.reached == 150
    same(whole, both.run(part.path, resume=True))


@pytest.mark.usefixtures("_batched_keys")
def test_seeds_side_by_side_are_the_single_seeds(tmp_path, whole):
    """One batched program rounds a little differently from single ones: here by at most
    3e-7 after ten updates."""
    setting = SETTINGS["ppo"]
    both = setting._replace(plan=Plan(**vars(setting.plan) | {"seeds": (1, 0)}))
    many = both.run(tmp_path / "many").metrics().to_pydict()
    one = whole("ppo").metrics().to_pydict()
    rows = [i for i, seed in enumerate(many["seed"]) if seed == 0]
    for name in ("step", "episodes", "return", "value_loss", "policy_loss"):
        np.testing.assert_allclose(
            [many[name][i] for i in rows], one[name], rtol=1e-5, atol=1e-6
        )


def hosted(env, **changes) -> Setting:
    plan = Plan(**vars(TINY.plan) | {"backend": "gymnasium"} | changes)
    return Setting(Drift(), env, plan)


def test_seeds_in_processes_are_the_single_seeds_even_when_stopped(tmp_path, whole):
    many, both = tmp_path / "many", hosted("CartPole-v1", seeds=(1, 0), overlap=True)
    with pytest.raises(KeyboardInterrupt):
        both.run(many, At(1, interrupt))
    heard = At(200, lambda: None)
    resumed = both.run(many, heard, resume=True)
    assert resumed.done
    assert heard.step is None or Run.open(many).metrics().num_rows == 200
    same(whole("tiny-host-overlap"), resumed)


def test_seeds_whose_parent_is_killed_save_and_stop(tmp_path):
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]);"
        "import test_train as t; from pathlib import Path;"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL);"
        "long = t.hosted('CartPole-v1', seeds=(0, 1), steps=100_000);"
        "long.run(Path(sys.argv[2]), t.At(1, kill))"
    )
    path, here = tmp_path / "a", str(Path(__file__).parent)
    words = [sys.executable, "-c", code, here, str(path)]
    # All of them hold the pipe: it ends with the last.
    parent = subprocess.run(words, check=False, stderr=subprocess.PIPE)
    assert parent.returncode == -signal.SIGKILL
    assert b"Traceback" not in parent.stderr
    run = Run.open(path)
    assert not run.done
    assert not run.busy
    for seed in (0, 1):
        saved = checkpoint.steps(path / f"seed-{seed}" / "checkpoints")
        assert 0 < max(saved) < 100_000


def test_no_two_processes_train_one_run(tmp_path, whole):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import test_train as t; from pathlib import Path;"
        "t.TINY.run(Path(sys.argv[2]), resume=True)"
    )
    path, here = tmp_path / "a", str(Path(__file__).parent)
    words = [sys.executable, "-c", code, here, str(path)]
    said = []

    def another():
        assert Run.open(path).busy
        said.append(subprocess.run(words, check=False, stderr=subprocess.PIPE).stderr)

    run = TINY.run(path, At(110, another))
    assert f"RunFault: {path} is being trained by another process" in str(said[0])
    assert run.done
    assert not run.busy
    same(whole("tiny"), run)


def test_a_world_that_no_other_process_can_make_is_one_line(tmp_path):
    env = lambda: gymnasium.make("CartPole-v1")
    with pytest.raises(BadConfig, match="several seeds") as caught:
        hosted(env, seeds=(0, 1)).run(tmp_path / "a")
    assert "\n" not in str(caught.value)


def elsewhere(act):
    """CartPole, but for processes other than the first, where `act` is done."""
    if multiprocessing.parent_process() is not None:
        act()
    return gymnasium.make("CartPole-v1")


def broken():
    raise OSError("no such\nfile")


def fail_in_turn(place):
    """Whoever comes first cannot make it, and whoever comes next dies."""
    try:
        place.mkdir()
    except FileExistsError:
        os._exit(7)
    broken()


def test_what_fails_in_a_process_is_said_with_its_seed(tmp_path):
    env = partial(elsewhere, partial(fail_in_turn, tmp_path / "first"))
    with pytest.raises(PeiraError, match=r"(seed \d: .*){2}") as caught:
        hosted(env, seeds=(0, 1)).run(tmp_path / "a")
    said = str(caught.value)
    assert re.search(r"seed \d: \S*[^;]*making it raised OSError: no such", said)
    assert re.search(r"seed \d: its process died.* code 7", said)
    assert {seed for seed in "01" if f"seed {seed}: " in said} == {"0", "1"}
    assert "\n" not in said


@pytest.mark.parametrize(
    ("env", "changes"),
    [(broken, {}), (partial(elsewhere, broken), {"processes": True})],
)
def test_an_environment_that_cannot_be_made_is_one_line(tmp_path, env, changes):
    with pytest.raises(PeiraError, match="making it raised OSError: no such") as caught:
        hosted(env, **changes).run(tmp_path / "a")
    assert "\n" not in str(caught.value)


def vector():
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    make = lambda: gymnasium.make("CartPole-v1")
    return gymnasium.vector.SyncVectorEnv([make] * 4, autoreset_mode=mode)


def test_a_vector_environment_brings_its_own_number(tmp_path):
    mine = vector()
    run = hosted(mine).run(tmp_path / "a")
    assert run.metrics()["step"].to_pylist()[0] == 4
    assert not mine.closed
    same(run, hosted(vector).run(tmp_path / "b"))
    with pytest.raises(BadConfig, match=r"Plan.envs = 2: .* brings 4 environments"):
        hosted(mine, envs=2).run(tmp_path / "c")


class Closing(gymnasium.Wrapper):
    """Knows whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


def test_a_plan_that_is_refused_leaves_no_environment_open(tmp_path):
    opened = []

    def make():
        opened.append(Closing(gymnasium.make("CartPole-v1")))
        return opened[-1]

    with pytest.raises(BadConfig, match="nothing would be learned"):
        hosted(make, steps=2).run(tmp_path / "a")
    assert opened
    assert all(env.closed for env in opened)


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint_intact(tmp_path):
    broken = TINY._replace(algorithm=Drift(poison=70))
    with pytest.raises(
        NumericalFault, match=r"seed 0: update 70 \(step 150\) is not finite"
    ):
        broken.run(tmp_path / "a")
    run = Run.open(tmp_path / "a")
    assert not run.done
    assert list(checkpoint.steps(run.path / "seed-0" / "checkpoints")) == [50, 100]
    assert max(run.metrics()["step"].to_pylist()) == 100


def test_a_full_disk_stops_in_one_line_and_the_run_goes_on_later(
    tmp_path, whole, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    def fill_up():
        monkeypatch.setattr(pieces, "save_file", full)

    part = tmp_path / "part"
    with pytest.raises(RunFault, match="No space left") as caught:
        TINY.run(part, At(110, fill_up))
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    same(whole("tiny"), TINY.run(part, resume=True))


def test_stop_signal_asks_first_and_insists_second():
    with stop_signal() as asked:
        assert not asked()
        interrupt()
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    before = signal.getsignal(signal.SIGTERM)
    with stop_signal() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_due_falls_on_lines_of_the_log():
    counted = beat(Drift(), Walk().spec, Plan(steps=10_000), envs=2)
    due = schedule(counted, Plan(steps=10_000, evaluate_every=130))
    assert due == Schedule(log=50, evaluate=50, checkpoint=1250)
    assert due.due(due.evaluate, 100, 5000)
    assert not due.due(due.evaluate, 130, 5000)
    assert due.due(due.evaluate, 5001, 5001)


def test_a_chunk_across_the_warm_up_is_one_line():
    a = {"episodes": 1.0, "return": 5.0, "length": 2.0}
    b = {"episodes": 3.0, "return": 1.0, "length": 6.0, "loss": 0.5}
    line = pool(a, b)
    assert line == {"episodes": 4.0, "return": 2.0, "length": 5.0, "loss": 0.5}
    assert pool({"episodes": 0.0}, {"episodes": 0.0, "loss": 1.0}) == {
        "episodes": 0.0,
        "loss": 1.0,
    }


def lasting(setting: Setting, steps: int) -> Setting:
    return setting._replace(plan=dataclasses.replace(setting.plan, steps=steps))


def test_a_run_made_longer_is_the_long_run(tmp_path, whole):
    """Where no schedule hangs on the length of a run, every number is the same."""
    lasting(TINY, 100).run(tmp_path / "a")
    run = TINY.run(tmp_path / "a", resume=True)
    for file in ("checkpoints/step-200/state", "policy/policy"):
        one, two = (r.path / f"seed-0/{file}.safetensors" for r in (whole("tiny"), run))
        assert one.read_bytes() == two.read_bytes()


def test_nothing_of_sac_hangs_on_the_length_of_a_run():
    """All that an algorithm is told of it is the number of updates in the spec."""
    box = Box(-np.ones(2, np.float32), np.ones(2, np.float32))
    init = lambda hp, n: hp.init(Spec(box, box, updates=n), key=jax.random.key(0))
    assert eqx.tree_equal(init(SAC(hidden=(4,)), 10), init(SAC(hidden=(4,)), 20))
    assert not eqx.tree_equal(init(ppo, 10), init(ppo, 20))  # it is seen where it does


def test_a_longer_run_has_a_longer_schedule(tmp_path, whole):
    """PPO's step size falls to zero over the run, and from where it stands over the
    longer run."""
    short, long = SETTINGS["ppo"], lasting(SETTINGS["ppo"], 1280)
    shutil.copytree(whole("ppo").path, tmp_path / "a")
    run = long.run(tmp_path / "a", resume=True)
    rows = run.metrics().select(["updates", "learning_rate"]).to_pylist()
    rate = {
        row["updates"]: row["learning_rate"] / short.algorithm.learning_rate
        for row in rows
    }
    assert rate[10] == pytest.approx(0.1)
    assert rate[11] == pytest.approx(0.5)
    assert rate[20] == pytest.approx(0.05)
