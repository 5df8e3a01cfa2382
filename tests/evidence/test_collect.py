"""Collecting: whole episodes whose every step is known, and behaviours that say truly
how likely they were."""

import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from tiny import Walk, Wanderer

from peira.algos import get
from peira.core import (
    Box,
    Discrete,
    Spec,
    TimeStep,
    Transition,
)
from peira.data import Replay
from peira.engine.collect import Uniform
from peira.envs import make, MAZES, Pendulum, PointMaze, Rooms
from peira.envs.mazes import MEDIUM, ROOMS, UMAZE
from peira.evidence.packs.behaviours import Driver, Telling, Walker
from peira.evidence.packs.collect import collect, join, remembered


class Stairs(gymnasium.Env):
    """Observes (a number drawn at the reset, steps so far); ends after 4 steps."""

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(0, 100, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 3, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.obs = np.array([self.np_random.uniform(), 0], np.float32)
        return self.obs, {}

    def step(self, action):
        self.obs = self.obs + np.array([0, 1], np.float32)
        done = self.obs[1] >= 4
        return self.obs, float(action[0]), bool(done), False, {}


WANDERER = Wanderer(jnp.array(0.0))


def test_every_step_of_a_walk_is_there():
    data = collect(WANDERER, Walk(), steps=500, seed=0)
    last = data.lengths[-1]
    assert 500 <= data.steps < 500 + last
    steps = data.gather(np.arange(data.steps))
    moved = steps.next_obs[:, 0] - steps.obs[:, 0]
    assert (moved == 2 * steps.action - 1).all()
    assert (steps.reward == steps.next_obs[:, 0]).all()
    assert (data.obs[data.starts[:-1] + np.arange(data.episodes)] == 0).all()
    assert (np.abs(steps.next_obs[:, 0]) == 3).tolist() == data.terminated.tolist()
    assert not data.truncated.any()
    assert data.propensity is None  # nobody said
    # Gambler's ruin from the middle of seven: nine steps on average.
    assert data.lengths.mean() == pytest.approx(9, abs=2)


def same(a, b):
    assert jax.tree.structure(a.obs) == jax.tree.structure(b.obs)
    return a.fingerprint() == b.fingerprint()


def test_a_seed_is_a_set():
    one = collect(WANDERER, Walk(), steps=200, seed=3)
    assert same(one, collect(WANDERER, Walk(), steps=200, seed=3))
    assert not same(one, collect(WANDERER, Walk(), steps=200, seed=4))


def test_a_longer_set_begins_with_the_shorter():
    short, long = (collect(WANDERER, Walk(), steps=n, seed=3) for n in (100, 300))
    assert same(short, long.subset(np.arange(short.episodes)))


def test_a_world_on_the_host():
    env = make(Stairs)
    policy = Uniform(env.spec.action)
    data = collect(policy, env, steps=22, seed=0)
    env.close()
    assert data.episodes == 6
    assert (data.lengths == 4).all()
    rows = data.obs.reshape(6, 5, 2)
    assert (rows[:, :, 1] == np.arange(5)).all()
    assert (rows[:, :, 0] == rows[:, :1, 0]).all()
    assert len(set(rows[:, 0, 0].tolist())) == 6  # every episode has its own seed
    assert (data.reward == data.action[:, 0]).all()
    assert (np.abs(data.action - 1) <= 2).all()
    assert data.action.std() > 0.5
    assert data.propensity == pytest.approx(np.full(24, 0.25))
    again = make(Stairs)
    assert same(data, collect(policy, again, steps=22, seed=0))
    again.close()


def ring_of(lengths, ends, cut):
    """A replay of one environment after episodes of these lengths, the last one cut."""
    total = sum(lengths) - cut
    begins = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)[:total]
    at = np.arange(total) - begins
    length = np.repeat(lengths, lengths)[:total]
    over, kind = at == length - 1, np.repeat(ends, lengths)[:total]
    number = np.repeat(np.arange(len(lengths)), lengths)[:total]
    obs = np.stack([number, at], axis=1).astype(np.float32)
    steps = Transition(
        obs[:, None],
        np.arange(total, dtype=np.int32)[:, None],
        at.astype(np.float32)[:, None],
        (over & (kind == 1))[:, None],
        (over & (kind == 0))[:, None],
        (obs + np.float32([0, 1]))[:, None],
    )
    store = Replay(capacity=64, warmup=1)
    one = jax.tree.map(lambda x: jnp.asarray(x[0, 0]), steps)
    kept = store.init(one, envs=1)
    for i in range(total):
        row = jax.tree.map(lambda x, i=i: jnp.asarray(x[i : i + 1]), steps)
        kept = store.add(kept, row)
    return kept


TABLE = Spec(Box(np.zeros(2, np.float32), np.full(2, 99, np.float32)), Discrete(99))


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_what_a_replay_remembers(cut):
    """Terminations and time limits as they were; the one under way is truncated."""
    data = remembered(TABLE, ring_of([3, 1, 5], [1, 0, 1], cut))
    assert data.steps == 9 - cut
    assert data.starts.tolist() == [0, 3, 4, 9 - cut]
    assert data.action.tolist() == list(range(9 - cut))
    assert np.flatnonzero(data.terminated).tolist() == ([2, 8] if cut == 0 else [2])
    assert np.flatnonzero(data.truncated).tolist() == (
        [3] if cut == 0 else [3, 8 - cut]
    )
    steps = data.gather(np.arange(data.steps))
    assert (steps.next_obs - steps.obs == [0, 1]).all()


def test_sets_are_joined_end_to_end():
    parts = [collect(WANDERER, Walk(), steps=50, seed=s) for s in (1, 2)]
    both = join(parts)
    first = parts[0].episodes
    assert both.steps == sum(p.steps for p in parts)
    assert same(both.subset(np.arange(first)), parts[0])
    assert same(both.subset(np.arange(first, both.episodes)), parts[1])


def test_propensities_are_joined_where_both_have_them():
    told = collect(Uniform(Discrete(2)), Walk(), steps=50, seed=1)
    silent = collect(WANDERER, Walk(), steps=50, seed=2)
    assert join([told, told]).propensity.tolist() == [0.5] * 2 * told.steps
    assert join([told, silent]).propensity is None


def acts(policy, obs, key, n):
    """What n actors do here, and how likely they say it was."""
    t = TimeStep(obs, jnp.array(0.0), jnp.array(True))
    one = lambda k: policy(policy.begin(), t, key=k, explore=True)
    action, _, extras = jax.vmap(one)(jr.split(key, n))
    return np.asarray(action), np.exp(extras.log_prob)


def test_random_actions_are_uniform(key):
    box = Box(np.array([-3, 0], np.float32), np.array([1, 0.5], np.float32))
    action, density = acts(Uniform(box), jnp.zeros(1), key, 2_000)
    assert (density == 0.5).all()
    for i, (low, high) in enumerate([(-3, 1), (0, 0.5)]):
        even = scipy.stats.uniform(low, high - low).cdf
        assert scipy.stats.kstest(action[:, i], even).pvalue > 1e-3
    assert abs(np.corrcoef(action.T)[0, 1]) < 0.1


def test_random_choices_are_even(key):
    action, chance = acts(Uniform(Discrete(5)), jnp.zeros(1), key, 2_000)
    assert chance == pytest.approx(np.full(2_000, 0.2))
    assert scipy.stats.chisquare(np.bincount(action, minlength=5)).pvalue > 1e-3


def test_a_learned_density_is_one_over_the_box(key):
    """Over the draws, the mean of 1/p is the size of what they can reach."""
    spec = Pendulum().spec  # actions in [-2, 2]
    sac = get("sac")(hidden=(4,))
    policy = Telling(sac.policy(sac.init(spec, key=key)))
    action, density = acts(policy, jnp.ones(3), jr.key(1), 4_000)
    action = action[:, 0]
    assert np.abs(action).max() <= 2
    assert (1 / density).mean() == pytest.approx(4, rel=0.1)
    share, edges = np.histogram(action, 8, (-2, 2), density=True)
    bins = [density[(action >= a) & (action < a + 0.5)] for a in edges[:-1]]
    often = [i for i, x in enumerate(bins) if len(x) > 200]
    assert len(often) > 3
    for i in often:
        assert share[i] == pytest.approx(bins[i].mean(), rel=0.2)


def test_a_greedy_chance_is_its_frequency(key):
    spec = MAZES["FourRooms"].spec
    dqn = get("dqn")(hidden=(4,))
    state = dqn.init(spec, key=key)
    state = type(state)(
        state.net, state.target, jnp.array(0.4), state.step, state.horizon
    )
    policy = Telling(dqn.policy(state))
    action, chance = acts(policy, jnp.array(5), jr.key(1), 4_000)
    by_action = {int(a): float(chance[action == a][0]) for a in set(action.tolist())}
    assert sorted(by_action.values()) == pytest.approx([0.1, 0.1, 0.1, 0.7])
    for a, p in by_action.items():
        assert (action == a).mean() == pytest.approx(p, abs=0.03)


@pytest.mark.parametrize("drawing", [UMAZE, MEDIUM])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_driver_solves_the_maze_from_every_cell(drawing, noise):
    env = PointMaze(drawing)
    known, policy = env.chart, Driver(env, noise)
    far = known.distance[:, known.goal]

    def drive(cell, key):
        state = jnp.concatenate([env.centre(cell), jnp.zeros(2)])

        def one(now, k):
            t = TimeStep(now, jnp.array(0.0), jnp.array(False))
            action, _, _ = policy(policy.begin(), t, key=k, explore=True)
            after, out = env.step(now, action, key=k)
            return after, out.terminated

        return jax.lax.scan(one, state, jr.split(key, 300))[1]

    cells = jnp.arange(len(far))
    with jax.debug_key_reuse(False):
        over = np.asarray(jax.vmap(drive)(cells, jr.split(jr.key(0), len(far))))
    steps = over.argmax(axis=1) + 1
    away = far > 0
    assert over.any(axis=1).all()
    # At most 2 cells a second, and half a cell counts as there.
    assert (steps >= (far - 0.5) / 0.2)[away].all()
    assert (steps <= 10 * far + 15 + noise * 40)[away].all()


def test_who_roams_goes_elsewhere():
    env = PointMaze(MEDIUM)
    data = collect(
        Driver(env, 0.0, True), MAZES["PointMaze-medium"], steps=3_000, seed=0
    )
    straight = collect(Driver(env, 0.0), MAZES["PointMaze-medium"], steps=3_000, seed=0)
    cells = lambda d: set(map(tuple, np.floor(d.obs[:, :2]).astype(int).tolist()))
    assert len(cells(data)) > len(env.chart.place) - 3
    assert data.returns().mean() < 2 * straight.returns().mean()
    assert data.truncated.any()


def test_the_walker_takes_a_shortest_path():
    env = Rooms(ROOMS, slip=0.0)
    data = collect(Walker(env, 0.0), env, steps=500, seed=0)
    first = data.obs[data.starts[:-1] + np.arange(data.episodes)]
    assert (data.lengths == env.chart.distance[first, env.chart.goal]).all()
    assert (data.propensity == 1).all()


def test_a_disturbed_walker_says_how_likely_it_was():
    env = MAZES["FourRooms"]
    data = collect(Walker(env.env, 0.5), env, steps=4_000, seed=0)
    known = env.env.chart
    best = known.onward[data.gather(np.arange(data.steps)).obs, known.goal]
    kept = data.action == best
    assert data.propensity == pytest.approx(np.where(kept, 0.625, 0.125))
    assert kept.mean() == pytest.approx(0.625, abs=0.03)
