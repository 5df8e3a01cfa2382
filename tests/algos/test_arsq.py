"""ARSQ: its update in slow NumPy, what holds of soft advantages whatever the networks
say, and actions with known answers."""

import functools as ft
import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, strategies as st
from reference import Adam, assert_close, exact, log_softmax, mlp, polyak
from tiny_data import box, dataset, fit, lever, shown
from updates import B, begin, BOXED, GAMMA, learn, numbers, RATE, SMALL, TAU

from peira.algos.online.arsq import ARSQ, digits, middles, Soft
from peira.core import Spec, TimeStep


LEVELS, BINS = 2, 3


@ft.cache
def wild(told=True):
    """An algorithm, and networks whose answers differ much."""
    algorithm = ARSQ(**SMALL, levels=LEVELS, bins=BINS, autoregressive=told)
    nets = begin(algorithm, BOXED).nets.net
    leaves, shape = jax.tree.flatten(nets)
    rng = np.random.default_rng(0)
    leaves = [x + rng.normal(size=x.shape).astype("f4") for x in leaves]
    return algorithm, jax.tree.unflatten(shape, leaves)


def every_action():
    """All choices that there are."""
    shape = (LEVELS, BOXED.action.size)
    rows = itertools.product(range(BINS), repeat=LEVELS * BOXED.action.size)
    return jnp.asarray(np.reshape(list(rows), (-1, *shape)), jnp.int32)


def chances(choices, obs, made):
    """The log-probability of every row of choices."""
    log_prob = jax.vmap(lambda d: choices(obs, d))(made)
    taken = jax.nn.one_hot(made, BINS, dtype=bool)
    return np.where(taken, log_prob, 0).sum(axis=(1, 2, 3), dtype=np.float64)


@pytest.mark.parametrize("told", [True, False])
def test_the_value_is_the_soft_maximum_of_all_actions(told):
    """And the policy's probabilities are those of the advantages, which sum to one."""
    _, nets = wild(told)
    obs, alpha = jnp.array([0.3, -0.5, 0.1]), 0.7
    q = float(nets.worth(obs)) + alpha * chances(nets.choices, obs, every_action())
    soft = alpha * np.log(np.exp((q - q.max()) / alpha).sum()) + q.max()
    assert soft == pytest.approx(float(nets.worth(obs)), abs=1e-5)


@pytest.mark.parametrize("told", [True, False])
def test_actions_are_chosen_as_they_are_valued(told):
    """In turn as all at once: the likeliest choice after those that were made; and
    what is sampled comes as often as its probability says."""
    _, nets = wild(told)
    t = TimeStep(jnp.array([0.3, -0.5, 0.1]), jnp.zeros(()), jnp.array(True))
    policy = Soft(nets.choices)
    choose = lambda k, explore: policy((), t, key=k, explore=explore)[0]
    act = jax.jit(choose, static_argnums=1)
    shown = nets.choices.digits(act(jr.key(0), False))
    best = nets.choices(t.obs, shown).argmax(axis=-1)
    np.testing.assert_array_equal(best, shown)
    n = 4000
    drawn = jax.vmap(lambda k: act(k, True))(jr.split(jr.key(1), n))
    found = jax.vmap(nets.choices.digits)(drawn)
    rows = every_action()
    chance = np.exp(chances(nets.choices, t.obs, rows))
    for i in np.argsort(-chance)[:4]:
        seen = (found == rows[i][None]).all(axis=(1, 2)).mean()
        assert seen == pytest.approx(chance[i], abs=4 * np.sqrt(chance[i] / n))


def test_choices_are_told_those_before_them_only():
    _, nets = wild()
    obs, rng = jnp.array([0.3, -0.5, 0.1]), np.random.default_rng(1)
    base = jnp.asarray(rng.integers(0, BINS, (LEVELS, 2)), jnp.int32)
    told = nets.choices(obs, base)
    _, alone = wild(told=False)
    places = list(np.ndindex(LEVELS, 2))
    for i, place in enumerate(places):
        other = base.at[place].set((base[place] + 1) % BINS)
        moved = np.abs(nets.choices(obs, other) - told).max(axis=-1) > 1e-6
        later = places[i + 1 :]
        assert [p for p in places if moved[p]] == later
        apart = alone.choices(obs, other) - alone.choices(obs, base)
        coarser = [p for p in later if p[0] > place[0]]
        assert [p for p in places if np.abs(apart[p]).max() > 1e-6] == coarser


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=3))
def test_bins_in_bins_hold_what_lies_in_them(unit):
    unit, cells = jnp.asarray(unit, jnp.float32), BINS**3
    found = digits(unit, 3, BINS)
    middle = middles(found, BINS)
    assert middle.shape == (4, len(unit))
    for level, row in enumerate(np.asarray(middle)):
        assert (np.abs(row - unit) <= float(BINS) ** -level + 1e-6).all()
    cell = (np.asarray(middle[-1]) + 1) / 2 * cells - 0.5
    np.testing.assert_allclose(cell, np.round(cell), atol=1e-4)
    np.testing.assert_array_equal(digits(middle[-1], 3, BINS), found)


def slow_chance(choices, obs, unit):
    """Of each action, and the mean entropy of its choices."""
    total, entropies = np.zeros(B), []
    for b in range(B):
        low, high = -np.ones(2), np.ones(2)
        for level, d in np.ndindex(LEVELS, 2):
            place = np.eye(LEVELS * 2)[2 * level + d]
            x = np.concatenate([obs[b], (low + high) / 2, place])
            log_prob = log_softmax(mlp(choices.body, x[None])[0])
            width = (high[d] - low[d]) / BINS
            k = min(int((unit[b, d] - low[d]) / width), BINS - 1)
            low[d], high[d] = low[d] + k * width, low[d] + (k + 1) * width
            total[b] += log_prob[k]
            entropies.append(-(np.exp(log_prob) * log_prob).sum())
    return total, np.mean(entropies)


def test_is_the_paper():
    """Three updates, and the temperature's."""
    algorithm = ARSQ(**SMALL, levels=LEVELS, bins=BINS, alpha=0.5)
    states, batches = learn(algorithm, BOXED)
    nets, target = exact(states[0].nets.net), exact(states[0].target)
    log_alpha = np.log(0.5)
    adams = [Adam(x, rate=RATE) for x in (nets, log_alpha)]
    for batch, _ in batches:
        obs, unit, reward, terminated, next_obs, weight = numbers(batch)
        later = mlp(target.body, next_obs)[:, 0]
        y = reward + GAMMA * (1 - terminated) * later
        alpha = np.exp(log_alpha)
        _, entropy = slow_chance(nets.choices, obs, unit)

        def loss(n, x=(obs, unit, y, weight, alpha)):
            obs, unit, y, weight, alpha = x
            q = (
                mlp(n.worth.body, obs)[:, 0]
                + alpha * slow_chance(n.choices, obs, unit)[0]
            )
            return (weight * (q - y) ** 2).mean() / 2

        nets = adams[0].step(nets, loss)
        spare = entropy - 0.5 * np.log(BINS)
        log_alpha = adams[1].step(log_alpha, lambda x, spare=spare: float(x) * spare)
        target = polyak(target, nets.worth, TAU)
    found = states[-1]
    assert_close(found.nets.net, nets)
    assert_close(found.target, target)
    assert float(found.log_alpha.net) == pytest.approx(float(log_alpha), abs=1e-5)


def test_a_bandit_has_its_soft_value():
    """Of 9 cells, each paying by its place; and the best of them is shown."""
    levers = (2 * np.arange(9) + 1) / 9 - 1
    pays = -((levers - 0.4) ** 2)
    algorithm = ARSQ(
        levels=2,
        bins=3,
        alpha=0.2,
        automatic=False,
        batch=9,
        hidden=(32, 32),
        learning_rate=0.01,
    )
    data = lever(levers, pays)
    state = fit(algorithm, data, 500)
    here = jnp.ones(1)
    soft = 0.2 * np.log(np.exp(pays / 0.2).sum())
    assert float(state.nets.net.worth(here)) == pytest.approx(soft, abs=0.02)
    assert shown(algorithm, state, here[None])[0] == pytest.approx(4 / 9, abs=1e-5)


def modes():
    """Two entries that must agree: one good pair that is rare, one fair one, and what
    is worst in most of the data."""
    pairs = {(1, 1): (1.0, 1), (1, -1): (-1.0, 5), (-1, -1): (0.5, 3), (-1, 1): (-1, 1)}
    rows = [(a, pay) for a, (pay, n) in pairs.items() for _ in range(n)]
    spec = Spec(box(-1, 1, 1), box(-1, 1, 2))
    here = np.ones((2, 1))
    return dataset(spec, [(here, [a], [pay], True) for a, pay in rows])


@pytest.mark.parametrize("told", [True, False])
def test_entries_that_hang_on_each_other_need_to_be_told(told):
    """Told, the best pair is found though it is rare; untold, entries are judged by
    what others did with them, and a pair comes out that pays -1."""
    algorithm = ARSQ(
        levels=1,
        bins=2,
        alpha=0.05,
        automatic=False,
        autoregressive=told,
        batch=64,
        hidden=(32, 32),
        learning_rate=3e-3,
    )
    state = fit(algorithm, modes(), 500)
    found = shown(algorithm, state, jnp.ones((1, 1)))[0]
    np.testing.assert_allclose(found, [0.5, 0.5] if told else [-0.5, 0.5])
