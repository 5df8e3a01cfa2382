"""Q-Transformer: its update in slow NumPy, the cache as if there were none, and actions
with known answers."""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import box, exact, log_softmax, made_up
from scipy.special import ndtr
from tiny_data import dataset, fit, known, shown
from updates import BOXED, CHOICES, MEAN, STD

from peira.algos.offline.q_transformer import QTransformer, read
from peira.core import BadConfig, Sample, Spec, TimeStep, Unsupported
from peira.core.protocols import check_serves


B, H, D, BINS = 3, 2, 2, 4
GAMMA, ALPHA = 0.9, 0.5
LOW, HIGH = -2.0, 3.0
SMALL = {
    "bins": BINS,
    "history": H,
    "batch": B,
    "width": 4,
    "layers": 1,
    "heads": 2,
    "gamma": GAMMA,
    "min_q_weight": ALPHA,
    "lowest": LOW,
    "highest": HIGH,
    "tau": 0.25,
}


@ft.cache
def begun(how="mse"):
    """An algorithm, a state whose values differ, and how it updates."""
    algorithm = QTransformer(**SMALL, value_loss=how)
    state = jax.jit(lambda k: algorithm.init(BOXED, key=k))(jr.key(0))
    leaves, shape = jax.tree.flatten((state.net.net, state.target))
    rng = np.random.default_rng(0)
    leaves = [x + 0.3 * rng.normal(size=x.shape).astype("f4") for x in leaves]
    net, target = jax.tree.unflatten(shape, leaves)
    state = eqx.tree_at(lambda s: (s.net.net, s.target), state, (net, target))
    return algorithm, state, jax.jit(lambda s, b, k: algorithm.update(s, b, key=k))


def windows(seed):
    rng = np.random.default_rng(seed)
    act = lambda rng, shape: rng.uniform(-1, 3, (*shape, D)).astype("f4")
    least = rng.normal(size=(B, H)).astype("f4")
    least[0] = -np.inf
    steps = made_up(seed, act, B, H, extras=jnp.asarray(least))
    return Sample(steps, jnp.ones((B, H)), jnp.zeros((B, H), int))


def slow_targets(target, steps):
    """In units of the span, entry by entry."""
    s = exact(steps)
    scaled = lambda o: jnp.asarray((o - MEAN) / (STD + 1e-3), jnp.float32)
    found, choices = np.zeros((B, D)), np.zeros((B, D), int)
    for b in range(B):
        unit = (s.action[b, -1] + 1) / 2 - 1
        choices[b] = np.round((np.clip(unit, -1, 1) + 1) / 2 * (BINS - 1))
        seen, then = scaled(s.obs[b]), scaled([s.obs[b, 1], s.next_obs[b, 1]])
        q = exact(read(target(seen, jnp.asarray(choices[b]))))
        first = exact(read(target(then, jnp.zeros(D, int))))[0]
        follows = 0 if s.terminated[b, -1] else LOW + (HIGH - LOW) * first.max()
        whole = (s.reward[b, -1] + GAMMA * follows - LOW) / (HIGH - LOW)
        least = (s.extras[b, -1] - LOW) / (HIGH - LOW)
        found[b] = max(q[1].max(), least), max(whole, least)
    return found, choices


def slow_miss(said, y, how):
    if how == "mse":
        return (said[0] - y) ** 2 / 2
    atoms = np.linspace(0, 1, 51)
    if how == "two-hot":
        aim = np.maximum(1 - abs(atoms - np.clip(y, 0, 1)) * 50, 0)
    else:
        edges = np.append(atoms - 0.01, 1.01)
        below = ndtr((edges - np.clip(y, 0, 1)) / (0.75 * 0.02))
        aim = np.diff(below) / (below[-1] - below[0])
    return -(aim * log_softmax(said)).sum()


@pytest.mark.parametrize("how", ["mse", "two-hot", "hl-gauss"])
def test_the_loss_is_the_papers(how):
    """By the networks' own answers, choice by choice."""
    _, state, update = begun(how)
    batch = windows(1)
    y, choices = slow_targets(state.target, batch.steps)
    made, rest, values = [], [], []
    for b in range(B):
        seen = jnp.asarray(
            (exact(batch.steps.obs[b]) - MEAN) / (STD + 1e-3), jnp.float32
        )
        said = exact(state.net.net(seen, jnp.asarray(choices[b])))
        for i in range(D):
            for k in range(BINS):
                if k == choices[b, i]:
                    made.append(slow_miss(said[i, k], y[b, i], how))
                else:
                    rest.append(slow_miss(said[i, k], 0.0, how))
        values.append(exact(read(jnp.asarray(said[-1, choices[b, -1]]))))
    _, report = update(state, batch, jr.key(0))
    found = report.metrics
    assert found["loss"] == pytest.approx(np.mean(made), rel=1e-4)
    assert found["conservative_loss"] == pytest.approx(np.mean(rest), rel=1e-4)
    value = LOW + (HIGH - LOW) * np.mean(values)
    assert found["value"] == pytest.approx(value, rel=1e-4)


def test_an_update_goes_down_the_sum_and_the_target_follows():
    """A step of Adam is that of the gradient's sign, the target moves a quarter."""
    algorithm, state, update = begun()
    batch = windows(2)
    new, _ = update(state, batch, jr.key(0))
    rate = algorithm.learning_rate

    def total(weight):
        net = eqx.tree_at(lambda n: n.head.bias, state.net.net, weight)
        moved = eqx.tree_at(lambda s: s.net.net, state, net)
        metrics = update(moved, batch, jr.key(0))[1].metrics
        return float(metrics["loss"] + ALPHA * metrics["conservative_loss"])

    bias = np.asarray(state.net.net.head.bias)
    slope = [
        total(bias + h) - total(bias - h)
        for h in 0.05 * np.eye(len(bias), dtype=np.float32)
    ]
    step = np.asarray(new.net.net.head.bias) - bias
    clear = np.abs(slope) > 1e-3
    assert clear.sum() >= 2
    np.testing.assert_allclose(step[clear], -rate * np.sign(slope)[clear], rtol=0.02)
    for a, b, c in zip(
        *map(jax.tree.leaves, (state.target, new.net.net, new.target)), strict=True
    ):
        np.testing.assert_allclose(c, 0.75 * a + 0.25 * b, atol=1e-6)


def test_choices_in_turn_are_those_without_a_cache():
    """And a choice hangs on those before it, not on those after."""
    _, state, _ = begun()
    net = state.net.net
    seen = jnp.asarray(np.random.default_rng(0).normal(size=(9, H, 3)), jnp.float32)
    found = jax.jit(jax.vmap(net.best))(seen)
    q = jax.jit(jax.vmap(net))(seen, found)
    assert np.array_equal(read(q).argmax(axis=-1), found)
    np.testing.assert_allclose(jax.vmap(net.first)(seen), q[:, 0], atol=1e-5)
    other = jax.vmap(net)(seen, (found + 1) % BINS)
    np.testing.assert_allclose(other[:, 0], q[:, 0], atol=1e-5)
    assert np.abs(other[:, 1] - q[:, 1]).max() > 1e-3


def test_it_remembers_what_it_saw_until_an_episode_opens():
    algorithm, state, _ = begun()
    policy = algorithm.policy(state)
    obs = np.random.default_rng(1).normal(size=(4, 3)).astype("f4")
    carry, seen = policy.begin(), []
    for i, first in enumerate([True, False, False, True]):
        t = TimeStep(jnp.asarray(obs[i]), jnp.zeros(()), jnp.array(first))
        action, carry, _ = policy(carry, t, key=jr.key(i), explore=False)
        seen.append(np.asarray(carry))
        assert np.isin((np.asarray(action) + 1) / 4 * (BINS - 1), range(BINS)).all()
    scaled = (obs - MEAN) / (STD + 1e-3)
    for found, rows in zip(seen, [(0, 0), (0, 1), (1, 2), (3, 3)], strict=True):
        np.testing.assert_allclose(found, scaled[[*rows]], atol=1e-5)


LEARNING = QTransformer(
    bins=3,
    history=1,
    width=16,
    layers=1,
    heads=2,
    batch=64,
    learning_rate=3e-3,
    tau=0.05,
    gamma=0.9,
)


def pairs():
    """Two entries that pay when both agree on -1 (0.5) or on 1 (1), and else nothing:
    each pair as often as the others, and never the middle."""
    spec = Spec(box(-1, 1, 1), box(-1, 1, 2))
    pays = {(-1, -1): 0.5, (1, 1): 1.0, (-1, 1): 0.0, (1, -1): 0.0}
    walks = [(np.ones((2, 1)), [a], [r], True) for a, r in pays.items()]
    return dataset(spec, walks * 25)


@pytest.mark.parametrize("how", ["mse", "hl-gauss"])
def test_entries_that_must_agree_do(how):
    """The best choice of one hangs on the other; what was never done is worth nothing.

    What half of the steps did is learned from them and pushed to 0 by the others, with
    half the weight (there are two more choices), which leaves 2/3 of it; the target of
    the first is what came of it, or what the second is worth where that is more.
    """
    algorithm = dataclasses.replace(LEARNING, value_loss=how)
    data = pairs()
    state = fit(algorithm, data, 300)
    assert np.array_equal(shown(algorithm, state, np.ones((1, 1))), [[1.0, 1.0]])
    seen = state.standard(jnp.ones((1, 1)))
    worth = lambda *choice: read(state.net.net(seen, jnp.array(choice)))
    first = 2 / 3 * (0.5 + 1 / 3) / 2, 0.0, 2 / 3 * (1 + 2 / 3) / 2
    np.testing.assert_allclose(worth(2, 2)[0], first, atol=0.06)
    np.testing.assert_allclose(worth(0, 0)[1], [1 / 3, 0.0, 0.0], atol=0.06)
    np.testing.assert_allclose(worth(2, 0)[1], [0.0, 0.0, 2 / 3], atol=0.06)


def test_what_is_put_together_from_two_episodes():
    """One episode goes to the middle and back, the other from the middle to the goal:
    values join them, which no clone does. The goal is worth 2/3 in the middle, where
    only half of the steps go there, and γ times that at the beginning."""
    spec = Spec(box(-1, 1, 1), box(-1, 1, 1))
    back = (np.array([[-1.0], [0.0], [-1.0]]), [[1.0], [-1.0]], [0.0, 0.0], True)
    on = (np.array([[0.0], [1.0]]), [[1.0]], [1.0], True)
    data = dataset(spec, [back] * 20 + [on] * 20)
    state = fit(LEARNING, data, 400)
    assert np.array_equal(shown(LEARNING, state, np.array([[0.0]])), [[1.0]])
    seen = state.standard(jnp.array([[-1.0]]))
    value = float(read(state.net.net.first(seen)).max())
    assert value == pytest.approx(0.9 * 2 / 3, abs=0.05)


def test_a_dataset_that_says_nothing_needs_to_be_told():
    spec = known(dataset(BOXED, [(np.zeros((2, 3)), [[0.0, 0.0]], [0.0], True)]))
    with pytest.raises(BadConfig, match="nothing lies between lowest = 0 and"):
        QTransformer().init(spec, key=jr.key(0))
    QTransformer(highest=1.0, width=8).init(spec, key=jr.key(0))


def test_it_learns_numbers_from_a_dataset_only():
    spec = dataclasses.replace(BOXED, data=None)
    with pytest.raises(BadConfig, match="QTransformer learns from a dataset only"):
        QTransformer().init(spec, key=jr.key(0))
    with pytest.raises(Unsupported):
        check_serves(QTransformer(), CHOICES)
