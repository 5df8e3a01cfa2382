"""Mazes: measured as a plain search measures them, and walls are walls."""

from collections import Counter, deque

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.envs import make
from peira.envs.mazes import chart, MEDIUM, PointMaze, RADIUS, ROOMS, Rooms, UMAZE


DRAWINGS = [UMAZE, MEDIUM, ROOMS]


def search(drawing, start):
    """Steps from a cell to every cell, by breadth first."""
    found, queue = {start: 0}, deque([start])
    while queue:
        row, column = queue.popleft()
        for cell in (
            (row - 1, column),
            (row, column + 1),
            (row + 1, column),
            (row, column - 1),
        ):
            if drawing[cell[0]][cell[1]] != "#" and cell not in found:
                found[cell] = found[row, column] + 1
                queue.append(cell)
    return found


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_distances_are_those_of_a_search(drawing):
    known = chart(drawing)
    places = [tuple(p) for p in known.place.tolist()]
    for i, start in enumerate(places):
        found = search(drawing, start)
        assert [found[p] for p in places] == known.distance[i].tolist()


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_every_step_onward_is_a_step_nearer(drawing):
    known = chart(drawing)
    n = len(known.place)
    here, there = np.divmod(np.arange(n * n), n)
    apart = here != there
    here, there = here[apart], there[apart]
    after = known.beside[here, known.onward[here, there]]
    assert (known.distance[after, there] == known.distance[here, there] - 1).all()


def test_the_four_rooms_have_104_cells_and_4_doors():
    known = chart(ROOMS)
    ways = (known.beside != np.arange(104)[:, None]).sum(axis=1)
    assert len(known.place) == 104
    assert ways.min() == 2  # no dead end
    doors = [(3, 6), (10, 6), (6, 2), (7, 9)]
    assert all(known.number[d] >= 0 for d in doors)


@pytest.mark.parametrize("drawing", [UMAZE, MEDIUM])
def test_no_push_takes_the_point_into_a_wall(drawing, key):
    env = PointMaze(drawing)
    space = env.spec.obs

    def one(state, key):
        # A push that lasts hits walls at speed.
        push = jnp.sign(jr.normal(key, (2,)))
        for _ in range(6):
            state, _ = env.step(state, push, key=jr.key(0))
        return state, state

    k_reset, k_push = jr.split(key)
    start = jax.vmap(lambda k: env.reset(key=k)[0])(jr.split(k_reset, 64))
    go = jax.vmap(lambda s, k: jax.lax.scan(one, s, jr.split(k, 100))[1])
    with jax.debug_key_reuse(False):  # a false alarm: keys just split, in a scan
        seen = np.asarray(go(start, jr.split(k_push, 64))).reshape(-1, 4)
    assert space.contains(seen).all()
    corners = np.array([(x, y) for x in (-1, 1) for y in (-1, 1)]) * (RADIUS - 1e-5)
    column, row = np.moveaxis(np.floor(seen[:, None, :2] + corners).astype(int), -1, 0)
    assert (env.chart.number[row, column] >= 0).all()
    speed = np.abs(seen[:, 2:])
    assert speed.max() > 1.5  # it does get going
    assert len(set(map(tuple, np.floor(seen[:, :2])))) > len(env.chart.place) // 2


def test_it_slides_along_a_wall(key):
    env = PointMaze(UMAZE)
    state = jnp.array([1.5, 3.7, 0.0, 0.0])  # above the lower wall
    for _ in range(8):
        state, _ = env.step(state, jnp.ones(2), key=key)
    assert state[3] == 0.0
    assert 3.7 <= state[1] < 3.8
    assert state[0] > 2.0
    assert state[2] > 0.8


def test_a_free_step_by_hand(key):
    env = PointMaze(UMAZE, dt=0.1, force=2.0, drag=1.0)
    state = jnp.array([1.5, 3.5, 0.5, 0.0])
    state, out = env.step(state, jnp.array([0.5, 3.0]), key=key)  # clipped to 1
    # v + 0.1 (2 a - v), and x + 0.1 of that
    np.testing.assert_allclose(state, [1.555, 3.52, 0.55, 0.2], rtol=1e-6)
    assert out.reward == -1
    assert not out.terminated


@pytest.mark.parametrize(("x", "ends"), [(1.98, True), (2.02, False)])
def test_the_goal_is_within_half_a_cell(x, ends, key):
    state = jnp.array([x, 1.5, 0.0, 0.0])  # the goal's centre is (1.5, 1.5)
    _, out = PointMaze(UMAZE).step(state, jnp.zeros(2), key=key)
    assert bool(out.terminated) is ends
    assert not out.truncated


@pytest.mark.parametrize("env", [PointMaze(UMAZE), Rooms(UMAZE)])
def test_episodes_begin_in_every_cell_but_the_goals(env, key):
    worlds = jax.vmap(lambda k: env.reset(key=k)[0])(jr.split(key, 600))
    cells = jax.vmap(lambda w: env.cell(w[:2]))(worlds) if worlds.ndim > 1 else worlds
    count = Counter(cells.tolist())
    assert count.keys() == set(range(len(env.chart.place))) - {env.chart.goal}
    assert min(count.values()) > 60  # of 100


def test_episodes_begin_where_they_are_told_to(key):
    env = PointMaze(MEDIUM, start=(4, 1))
    states = jax.vmap(lambda k: env.reset(key=k)[0])(jr.split(key, 200))
    np.testing.assert_array_equal(np.floor(states[:, :2]), np.tile([1, 4], (200, 1)))
    assert len(np.unique(states, axis=0)) == 200
    assert not states[:, 2:].any()


def test_walking_without_slips_is_certain():
    env = Rooms(UMAZE, slip=0.0)
    known = env.chart
    for cell in range(len(known.place)):
        for way in range(4):
            key = jr.key(cell)
            after, out = env.step(jnp.array(cell), jnp.array(way), key=key)
            assert after == out.obs == known.beside[cell, way]
            assert out.terminated == (after == known.goal)


def test_a_third_of_the_steps_go_astray_evenly(key):
    env = Rooms()
    middle = int(env.chart.number[3, 3])  # free on all four sides
    assert (env.chart.beside[middle] != middle).all()
    step = lambda k: env.step(jnp.array(middle), jnp.array(1), key=k)[0]
    after = np.asarray(jax.vmap(step)(jr.split(key, 9_000)))
    counts = [(after == cell).sum() for cell in env.chart.beside[middle]]
    expected = np.array([1_000, 6_000, 1_000, 1_000])
    assert sum(counts) == 9_000
    # Pearson's statistic with 3 degrees of freedom: 16.3 is its 99.9 % quantile.
    assert (np.square(counts - expected) / expected).sum() < 16.3


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("PointMaze-umaze", 150),
        ("PointMaze-medium", 300),
        ("PointMaze-medium-corner", 300),
        ("FourRooms", 200),
    ],
)
def test_they_are_made_by_name_and_truncate(name, limit):
    env = make(name)
    (inner, _), obs, legal = env.reset(key=jr.key(0))
    assert legal is None
    assert env.spec.obs.contains(np.asarray(obs)[None])[0]
    action = np.zeros(env.spec.action.shape, env.spec.action.dtype)
    for taken in (limit - 2, limit - 1):
        world = (inner, jnp.array(taken))
        _, out = env.step(world, jnp.asarray(action), key=jr.key(taken))
        assert bool(out.truncated) is (taken == limit - 1)
