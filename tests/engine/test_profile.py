"""Where time goes, by a clock of the tests' own: it moves only where they say."""

import dataclasses

import jax
import pytest
from episodes import made, VECTOR
from tiny import Drift, Walk

from peira.core import Discrete
from peira.engine import profile as profiling
from peira.engine.cost import Cost
from peira.engine.plan import Plan
from peira.engine.problem import Problem
from peira.engine.profile import enough, Profile, profile
from peira.envs.bodies import Bodies


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(profiling, "time", clock)
    monkeypatch.setattr(profiling, "peak", lambda: 1.0)
    return clock


def problem(env, plan, data=None) -> Problem:
    return Problem(Drift(), env, plan, "drift", {}, data)


def config(plan: Plan) -> dict:
    said = dataclasses.asdict(plan)
    return {"algorithm": "drift", "env": None, "hyper": {}, "plan": said}


def found(env, plan, data=None) -> Profile:
    with jax.debug_key_reuse(False):
        said = profile(problem(env, plan, data), config(plan), most=1.0)
    assert said.parts.keys() <= profiling.ADVICE.keys() | {"updates"}
    return said


def test_the_largest_part_is_what_there_is_advice_for():
    cost = Cost(1.0, 1.0)
    assert Profile({"acting": 3.0, "updates": 2.0}, cost, 0.5).advice.startswith("acti")
    slow = Profile({"acting": 1.0, "updates": 2.0}, cost, 0.1).advice
    busy = Profile({"acting": 1.0, "updates": 2.0}, cost, 0.9).advice
    assert slow != busy
    assert slow.startswith("updates: ")


def test_a_measurement_is_long_enough(clock):
    def advance(blocks):
        clock.now += 0.01 * blocks

    assert enough(advance, 4.0) == 128  # 1.28 s, and 0.64 s is less than a quarter


def test_what_environments_take_is_counted_up_to_the_whole_run(monkeypatch, clock):
    step = Bodies.step

    def slow(self, *args, **kwargs):
        clock.now += 0.25
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Bodies, "step", slow)
    plan = Plan(steps=2000, envs=2, block=3, backend="gymnasium", episodes=2)
    parts = found("CartPole-v1", plan).parts
    blocks = -(-2000 // 6)
    assert parts["environment"] == pytest.approx(blocks * 3 * 0.25)
    still = {k: v for k, v in parts.items() if v and k != "environment"}
    assert still.keys() <= {"evaluation"}  # it plays, too


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_of_a_world_in_jax_playing_and_learning_are_told_apart(seeds):
    plan = Plan(steps=400, envs=2, seeds=seeds, episodes=2)
    said = found(Walk(), plan)
    names = {"playing", "updates", "evaluation", "checkpoints", "compiling"}
    assert said.parts.keys() == names
    assert all(spent >= 0 for spent in said.parts.values())
    assert said.total == sum(said.parts.values())
    assert said.update.flops > 0


def test_of_a_dataset_there_are_updates_only():
    data = made(VECTOR, Discrete(2))
    said = found(None, Plan(steps=50), data)
    assert said.parts.keys() == {"updates", "evaluation", "checkpoints", "compiling"}
