"""The two loops are one: the same blocks, the same randomness, the same numbers."""

import collections

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from episodes import made, VECTOR
from tiny import Drift, Walk

from peira.core import Discrete, Env, TimeStep
from peira.engine.compiled import Compiled
from peira.engine.from_data import beat_from, FromData
from peira.engine.hosted import HostedLoop
from peira.engine.loop import beat
from peira.engine.plan import Plan
from peira.envs import Hosted


class Mirror(Hosted):
    """A JAX world without chance, stepped from the host."""

    def __init__(self, env: Env, envs: int):
        self.name, self.envs, self.spec, self.max_steps = "mirror", envs, env.spec, None
        self.env, self.key = env, jr.key(0)
        self.lost, self.faults = np.zeros(envs, bool), []
        self._step = jax.jit(jax.vmap(lambda w, a: env.step(w, a, key=self.key)))

    def reset(self, seed: int, first: int = 0) -> TimeStep:
        self.fresh = jax.vmap(lambda _: self.env.reset(key=self.key)[:2])(
            jnp.arange(self.envs)
        )
        self.world, obs = self.fresh
        zero = np.zeros(self.envs, np.float32)
        return TimeStep(np.asarray(obs), zero, np.ones(self.envs, bool))

    def step(self, action, only=None):
        world, out = self._step(self.world, action)
        over = out.terminated | out.truncated
        self.world = jnp.where(over, self.fresh[0], world)
        obs = jnp.where(over[:, None], self.fresh[1], out.obs)
        out = jax.tree.map(np.asarray, out)
        return out, TimeStep(np.asarray(obs), out.reward, np.asarray(over))

    def snapshot(self):
        return {"lost": False}

    def restore(self, snapshot):
        return self.reset(0) if snapshot["lost"] else None

    def frame(self):
        raise NotImplementedError

    def close(self):
        """Nothing to close."""


@pytest.mark.parametrize("overlap", [False, True])
def test_both_loops_do_the_same(overlap):
    plan = Plan(steps=2000, overlap=overlap)
    counted = beat(Drift(), Walk().spec, plan, envs=4)
    ours = Compiled(counted, Walk(), (5,))
    host = HostedLoop(counted, Mirror(Walk(), 4), (5,))
    for blocks in (counted.warmup, 30):
        (a,), (b,) = ours.advance(blocks), host.advance(blocks)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-7)
    assert a["episodes"] > 0
    for x, y in zip(
        jax.tree.leaves(ours.learner(0)), jax.tree.leaves(host.learner(0)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7)


def dispatched(loop, blocks: int) -> collections.Counter:
    """How often each program of a loop is run."""
    counts = collections.Counter()

    def counting(name, program):
        def run(*args):
            counts[name] += 1
            return program(*args)

        return run

    for name, value in list(vars(loop).items()):
        if name.startswith("_") and callable(value):
            setattr(loop, name, counting(name, value))
    loop.advance(blocks)
    return counts


def test_many_blocks_are_one_dispatch_and_on_the_host_one_per_step_and_two():
    """Of each block; and one for the keys of many steps."""
    counted = beat(Drift(), Walk().spec, Plan(steps=2000, block=3), envs=4)
    compiled = Compiled(counted, Walk(), (5,))
    host = HostedLoop(counted, Mirror(Walk(), 4), (5,))
    for loop in (compiled, host):
        loop.advance(counted.warmup)
    assert dispatched(compiled, 20) == {"_chunk": 1}
    assert dispatched(host, 20) == {"_draw": 1, "_act": 60, "_add": 20, "_learn": 20}


def test_updates_from_a_dataset_are_one_dispatch():
    data = made(VECTOR, Discrete(2))
    plan = Plan(steps=100)
    loop = FromData(beat_from(Drift(), data, plan), data, (0,), resident=2**20)
    assert dispatched(loop, 50) == {"_chunk": 1}


def test_a_world_that_does_not_come_back_begins_an_episode():
    counted = beat(Drift(), Walk().spec, Plan(steps=2000), envs=4)
    host = HostedLoop(counted, Mirror(Walk(), 4), (5,))
    host.advance(1)
    (life, meta) = host.save(0)
    assert not life.t.first.any()
    host.restore([(life, meta)])
    assert not host.t.first.any()
    assert host.lengths.all()
    host.restore([(life, meta | {"world": {"lost": True}})])
    assert host.t.first.all()
    assert not host.lengths.any()
    host.advance(1)
