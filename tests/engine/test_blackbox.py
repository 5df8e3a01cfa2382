"""An update that fails is refused, found, written down and made again."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import Walk, Wanderer

from peira.core import (
    Algorithm,
    Discrete,
    Env,
    NumericalFault,
    Outcome,
    Report,
    RunFault,
    Transition,
)
from peira.data import Rollout
from peira.engine import blackbox
from peira.engine.compiled import Compiled
from peira.engine.loop import beat
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.engine.train import train
from peira.ops import descend, Trainable, trainable


class Pit(Env):
    """A walk whose reward at the left end is no number."""

    walk: Walk = eqx.field(default_factory=Walk)

    @property
    def spec(self):
        return self.walk.spec

    def reset(self, *, key):
        return self.walk.reset(key=key)

    def step(self, world, action, *, key):
        world, out = self.walk.step(world, action, key=key)
        reward = jnp.where(out.reward == -3, jnp.nan, out.reward)
        return world, Outcome(out.obs, reward, out.terminated, out.truncated)


class Follower(Algorithm[Trainable, Transition]):
    """Its number follows the rewards; it plays by chance."""

    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    actors: ClassVar[int] = 2

    worst: int = 1000
    """The reward whose root is taken and is no number."""

    def store(self, spec):
        return Rollout(length=2)

    def init(self, spec, *, key):
        return trainable(jnp.zeros(()), optax.identity())

    def policy(self, state):
        return Wanderer(0.0 * state.net)

    def update(self, state, batch, *, key):
        def loss(w):
            miss = jnp.square(w - batch.reward).mean()
            return miss + 0 * jnp.sqrt(self.worst + batch.reward.min()), miss

        state, miss = descend(optax.identity(), state, loss, rate=0.1)
        return state, Report({"loss": miss})


def lookup(name: str) -> type[Algorithm]:
    return Follower


def run_of(path, algorithm, env, plan) -> Run:
    config = {"algorithm": "x", "env": "x", "hyper": algorithm, "plan": plan}
    return Run.create(path, config | {"env_kwargs": {}})


def failing(path, algorithm, env, **plan):
    planned = Plan(steps=400, episodes=1, **plan)
    run = run_of(path, algorithm, env, planned)
    with pytest.raises(NumericalFault) as caught:
        train(algorithm, env, planned, run, name="x")
    (folder,) = path.glob("seed-*/faults/update-*")
    return str(caught.value), folder


def test_a_reward_that_is_no_number_is_named_and_the_update_can_be_made_again(tmp_path):
    said, folder = failing(tmp_path / "a", Follower(), Pit())
    assert "first in batch.reward; " in said
    again = blackbox.replay(folder, lookup)
    assert again["first"] == again["now"] == "batch.reward"
    assert said.startswith(f"seed 0: update {again['meta']['update']} ")


def test_the_update_is_the_first_whose_batch_is_bad_and_nothing_follows_it(tmp_path):
    """Beside a run that never learns: what every block holds is known."""
    quiet = beat(Follower(), Pit().spec, Plan(steps=400, on_nan="skip"), envs=2)
    loop, rewards = Compiled(quiet, Pit(), (0,)), []
    for _ in range(quiet.blocks):
        loop.advance(1)
        rewards.append(np.asarray(loop.stored(0).reward))
    bad = [i for i, r in enumerate(rewards) if not np.isfinite(r).all()]
    _, folder = failing(tmp_path / "a", Follower(), Pit())
    about = blackbox.replay(folder, lookup)["meta"]
    assert about == {"seed": 0, "update": bad[0], "step": 4 * (bad[0] + 1)}
    like = jax.eval_shape(lambda: blackbox.outline(Follower(), Pit().spec, 2))
    said = blackbox.arrays.read_about(folder, "update")
    tree = blackbox.arrays.read(folder, "update", like, said)
    np.testing.assert_array_equal(tree["batch"].reward, rewards[bad[0]])
    w = 0.0
    for r in rewards[: bad[0]]:
        w -= 0.1 * 2 * (w - r).mean()
    np.testing.assert_allclose(tree["learner"].net, w, rtol=1e-5)
    assert tree["learner"].refused == 1


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_skipped_updates_are_counted_and_leave_no_trace(tmp_path, seeds):
    plan = Plan(steps=400, episodes=1, on_nan="skip", seeds=seeds)
    run = run_of(tmp_path / "a", Follower(), Pit(), plan)
    counted = beat(Follower(), Pit().spec, plan, envs=2)
    loop = Compiled(counted, Pit(), seeds)
    (first, *_) = loop.advance(counted.blocks)
    assert 0 < first["failed_updates"] < counted.blocks
    assert np.isfinite(first["loss"])
    w, failed, again = 0.0, 0, Compiled(counted, Pit(), seeds[:1])
    for _ in range(counted.blocks):
        again.advance(1)
        r = np.asarray(again.stored(0).reward)
        if np.isfinite(r).all():
            w -= 0.1 * 2 * (w - r).mean()
        else:
            failed += 1
    assert first["failed_updates"] == failed
    np.testing.assert_allclose(loop.learner(0).net, w, rtol=1e-4)
    if len(seeds) == 1:
        with pytest.raises(NumericalFault, match="return of seed 0 became nan"):
            train(Follower(), Pit(), plan, run, name="x")


def test_one_seed_that_fails_stops_all_at_the_same_block(tmp_path):
    seeds = tuple(range(4))
    counted = beat(Follower(), Pit().spec, Plan(steps=400, seeds=seeds), envs=2)
    loop = Compiled(counted, Pit(), seeds)
    loop.advance(counted.blocks)
    first = min(x for x in loop.failed if x >= 0)
    assert all(x in (-1, first) for x in loop.failed)
    assert -1 in loop.failed  # chosen so that not all fail in one block
    assert int(loop.life.step.max()) == int(loop.life.step.min()) == 2 * (first + 1)


def test_a_number_that_goes_wrong_inside_is_found_by_its_line(tmp_path):
    said, folder = failing(tmp_path / "a", Follower(worst=1), Walk())
    assert "test_blackbox.py:" in said
    assert "return miss + 0 * jnp.sqrt(self.worst + batch.reward.min()), miss" in said
    assert "jnp.sqrt" in blackbox.replay(folder, lookup)["now"]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "update.json").unlink(), "there is no update.json"),
        (lambda f: (f / "update.json").write_text("{}"), "cannot be read"),
        (
            lambda f: (f / "update.safetensors").write_bytes(b"x"),
            "its checksum does not hold",
        ),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path, harm, said):
    _, folder = failing(tmp_path / "a", Follower(), Pit())
    harm(folder)
    with pytest.raises(RunFault, match=said) as caught:
        blackbox.replay(folder, lookup)
    assert "\n" not in str(caught.value)
