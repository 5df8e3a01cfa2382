"""Decision Transformer: its loss and three updates in slow NumPy; what it asks for and
how that falls; an answer that only the past or the return can give."""

import dataclasses
import functools as ft
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import assert_close, box, exact, gradient, log_softmax, made_up
from tiny_data import dataset, fit, rates, shown as clones
from updates import act, BOXED, CHOICES, FACTS, MEAN, STD

from peira.algos.offline.bc import BC
from peira.algos.offline.dt import DT
from peira.core import BadConfig, Box, Discrete, Sample, Spec, TimeStep
from peira.data import Outlook


B, K, WIDTH, HEADS, LAYERS = 2, 3, 4, 2, 1
SMALL = {
    "batch": B,
    "context": K,
    "width": WIDTH,
    "layers": LAYERS,
    "heads": HEADS,
    "learning_rate": 0.01,
    "warmup": 2,
    "weight_decay": 0.1,
    "max_gradient": 0.3,
    "dropout": 0.0,
}
SCALE = 400.0  # of the facts: the best return is 400
THERE = np.array([[0, 1, 1], [1, 1, 1]], np.float32)


def windows(spec, seed, *, there=THERE):
    """A batch of windows, some of them padded."""
    rng = np.random.default_rng(seed)
    time = rng.integers(0, 7, (B, 1)) + np.arange(K)
    outlook = Outlook(
        jnp.asarray(rng.uniform(-100, 400, (B, K)), jnp.float32),
        jnp.asarray(time, jnp.int32),
    )
    steps = made_up(seed, act(spec), B, K, extras=outlook)
    return Sample(steps, jnp.asarray(there), jnp.zeros((B, K), int))


def norm(layer, x):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
    return x * layer.scale + layer.shift


def linear(layer, x):
    return x @ layer.weight + layer.bias


def predicted(net, obs, action, to_go, time, there):
    """What is said at every observation of one window, which begins with padding."""
    late = net.clock[np.minimum(time, FACTS.longest - 1)]
    kinds = [(net.asked, to_go[:, None]), (net.seen, obs), (net.done, action)]
    tokens = [linear(layer, x) + late for layer, x in kinds]
    x = norm(net.norm, np.stack(tokens, axis=1).reshape(3 * K, WIDTH))
    first, dim = 3 * int(K - there.sum()), WIDTH // HEADS
    x = x[first:]  # padding is not there at all
    later = np.where(np.tri(len(x)), 0, -np.inf)
    for block in net.body.blocks:
        looks = norm(block.before, x) @ block.looks
        found = np.zeros((len(x), WIDTH))
        for h in range(HEADS):
            span = slice(h * dim, (h + 1) * dim)
            query, key, value = (part[:, span] for part in np.split(looks, 3, axis=1))
            logits = query @ key.T / np.sqrt(dim) + later
            found[:, span] = np.exp(log_softmax(logits)) @ value
        x = x + linear(block.seen, found)
        hidden = np.maximum(linear(block.wide, norm(block.between, x)), 0)
        x = x + linear(block.narrow, hidden)
    return linear(net.head, norm(net.body.norm, x))[1::3]


def slow_loss(net, batch, spec):
    """The mean over the steps that are there."""
    s, errors = exact(batch.steps), []
    for b in range(B):
        weight = np.asarray(batch.weight[b])
        real = weight > 0
        obs = (s.obs[b] - MEAN) / (STD + 1e-3)
        if isinstance(spec.action, Box):
            action = (s.action[b] + 1) / 2 - 1
        else:
            action = np.eye(3)[s.action[b].astype(int)]
        time = np.asarray(batch.steps.extras.time[b])
        to_go = s.extras.to_go[b] / SCALE
        out = predicted(net, obs, action, to_go, time, weight)
        if isinstance(spec.action, Box):
            errors += [*np.square(np.tanh(out) - action[real]).mean(axis=1)]
        else:
            errors += [*-(log_softmax(out) * action[real]).sum(axis=1)]
    return np.mean(errors)


class AdamW:
    """Loshchilov & Hutter, 2019, after the gradient was clipped."""

    def __init__(self, tree):
        self.m = self.v = jax.tree.map(np.zeros_like, tree)
        self.t = 0

    def step(self, tree, loss):
        g = gradient(loss, tree)
        norm = np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(g)))
        g = jax.tree.map(lambda x: x * min(1.0, 0.3 / norm), g)
        self.t += 1
        self.m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, self.m, g)
        self.v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, self.v, g)
        rate = 0.01 * min(self.t / 2, 1)

        def move(w, m, v):
            m, v = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
            return w - rate * 0.1 * w - rate * m / (np.sqrt(v) + 1e-8)

        return jax.tree.map(move, tree, self.m, self.v)


def awake(state):
    """The state with larger weights in the transformer, so that all of it matters."""
    body, shape = jax.tree.flatten(state.net.net.body)
    rng = np.random.default_rng(3)
    body = [x + 0.3 * rng.normal(size=x.shape).astype("f4") for x in body]
    at = lambda s: s.net.net.body
    return eqx.tree_at(at, state, jax.tree.unflatten(shape, body))


@ft.cache
def begun():
    """An algorithm for the box, how it updates, and a state."""
    algorithm = DT(**SMALL)
    init = jax.jit(lambda k: algorithm.init(BOXED, key=k))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k))
    return algorithm, update, awake(init(jr.key(0)))


@pytest.mark.parametrize("spec", [BOXED, CHOICES], ids=["box", "discrete"])
def test_three_updates_are_the_papers(spec):
    algorithm, update, state = begun()
    if spec is CHOICES:
        state = awake(jax.jit(lambda k: algorithm.init(spec, key=k))(jr.key(0)))
    net = exact(state.net.net)
    adam = AdamW(net)
    for i in range(3):
        batch = windows(spec, i)
        wanted = slow_loss(net, batch, spec)
        net = adam.step(net, ft.partial(slow_loss, batch=batch, spec=spec))
        state, report = update(state, batch, jr.key(i))
        assert report.metrics["loss"] == pytest.approx(wanted, rel=1e-4)
    assert_close(state.net.net, net, rtol=2e-3, atol=1e-4)


def shown(algorithm, state, obs, reward):
    """What is shown in an episode that goes like this, step by step."""
    policy = algorithm.policy(state)

    def step(carry, now):
        obs, reward, first = now
        t = TimeStep(obs, reward, first)
        action, carry, _ = policy(carry, t, key=jr.key(0), explore=False)
        return carry, action

    first = np.arange(len(reward)) == 0
    run = jax.jit(lambda *episode: jax.lax.scan(step, policy.begin(), episode)[1])
    return np.asarray(run(obs, reward, first))


def test_the_last_steps_are_read_and_what_was_asked_falls_by_what_was_earned():
    """Also when an episode begins that follows another, whose last reward comes with
    its first frame, and is longer than any of the dataset."""
    algorithm, _, state = begun()
    state = asking(state, 200.0)
    net, rng, n = exact(state.net.net), np.random.default_rng(0), 7
    obs = rng.normal(size=(n, 3)).astype("f4")
    reward = rng.normal(size=n).astype("f4") * 100
    actions = np.asarray(shown(algorithm, state, obs, reward))
    to_go = (200 - np.cumsum([0, *reward[1:]])) / SCALE
    scaled = (obs - MEAN) / (STD + 1e-3)
    for t in range(n):
        now = np.arange(max(0, t - K + 1), t + 1)
        pad = lambda x, now=now: np.concatenate([x[:1]] * (K - len(now)) + [x[now]])
        there = np.arange(K) >= K - len(now)
        done = (actions + 1) / 2 - 1
        done[t] = 9  # what is done now is not known yet
        out = predicted(net, *map(pad, (scaled, done, to_go, np.arange(n))), there)
        np.testing.assert_allclose(
            (actions[t] + 1) / 2 - 1, np.tanh(out[-1]), atol=1e-4
        )


def test_padding_teaches_nothing():
    """Whatever stands there."""
    _, update, state = begun()
    batch = windows(BOXED, 0)
    odd = jax.tree.map(
        lambda x: x.at[0, 0].set(3) if x.dtype != bool else x, batch.steps
    )
    one, _ = update(state, batch, jr.key(0))
    other, _ = update(state, dataclasses.replace(batch, steps=odd), jr.key(0))
    assert_close(one.net.net, other.net.net, rtol=0, atol=0)


LEARNING = DT(
    context=6,
    learning_rate=3e-3,
    warmup=1,
    weight_decay=0.0,
    dropout=0.0,
    batch=64,
    width=32,
    layers=1,
    heads=2,
)
LOCKS, STEPS = (0, 2, 4), 6


def locked(episodes=600, *, share=0.3, seed=0):
    """A door that pays 1 in the end if all locks were opened on the way, by action 1;
    nothing but the clock is seen, and the data open each lock with some chance."""
    rng = np.random.default_rng(seed)
    spec = Spec(box(0, 1, 1), Discrete(2))
    clock = np.linspace(0, 1, STEPS + 1)[:, None]
    walks = []
    for _ in range(episodes):
        action = (rng.random(STEPS) < share).astype(int)
        pays = np.zeros(STEPS)
        pays[-1] = action[list(LOCKS)].all()
        walks.append((clock, action, pays, True))
    return dataset(spec, walks)


def test_credit_for_what_was_done_long_before():
    """Asked for 1 it opens all locks, asked for 0 it does not; a clone of the best
    tenth, few of which were lucky, does not either."""
    data = locked()
    assert 0.01 < data.returns().mean() < 0.05
    state = fit(LEARNING, data, 400)
    clock = np.linspace(0, 1, STEPS + 1, dtype="f4")[:-1, None]
    nothing = np.zeros(STEPS, "f4")
    actions = {
        asked: np.asarray(shown(LEARNING, asking(state, asked), clock, nothing))
        for asked in (0.0, 1.0)
    }
    assert actions[1.0][list(LOCKS)].all()
    assert not actions[0.0][list(LOCKS)].all()
    cloning = BC(top=0.1, hidden=(32,), learning_rate=3e-3)
    cloned = clones(cloning, fit(cloning, data, 400), clock)
    assert not cloned[list(LOCKS)].all()


def asking(state, asked):
    return eqx.tree_at(lambda s: s.target, state, jnp.float32(asked))


def earned(state, asked, obs, pay):
    """The return of an episode that shows these observations, asked for a return;
    `pay` says what an action earns at a step."""
    policy = LEARNING.policy(asking(state, asked))

    def step(now, i):
        carry, reward, first = now
        t = TimeStep(obs[i], reward, first)
        action, carry, _ = policy(carry, t, key=jr.key(0), explore=False)
        reward = jnp.float32(pay(i, action))
        return (carry, reward, jnp.array(False)), reward

    start = (policy.begin(), jnp.float32(0), jnp.array(True))
    return jax.lax.scan(step, start, jnp.arange(len(obs)))[1].sum()


def test_what_is_asked_for_is_achieved():
    """Every step of an episode does and pays the same, one of some levels."""
    data = rates((0.0, 0.25, 0.5, 0.75, 1.0), length=6)
    state = fit(LEARNING, data, 400)
    clock = jnp.linspace(0, 1, 7)[:-1, None]
    itself = lambda i, action: action[0]
    achieved = jax.jit(jax.vmap(lambda asked: earned(state, asked, clock, itself)))
    asked = np.array([0.0, 1.5, 3.0, 4.5, 6.0], "f4")
    np.testing.assert_allclose(achieved(asked), asked, atol=0.4)


def lamps(rng, n):
    """Noisy images with a lamp at the left (0) or at the right (1), and where it is."""
    side, row = rng.integers(0, 2, n), rng.integers(0, 3, n)
    seen = rng.integers(0, 60, (n, 3, 4, 1))
    seen[np.arange(n), row, 3 * side] = 255
    return seen.astype(np.uint8), side


def test_what_is_right_is_read_off_an_image_and_done_as_often_as_asked():
    """The side of the lamp pays 1, the other nothing; the data choose by chance. So
    the image alone tells what pays, and what is left of the return whether to do it."""
    rng, n = np.random.default_rng(0), 2
    dark = np.zeros((3, 4, 1), np.uint8)
    spec = Spec(Box(dark, dark + 255), Discrete(2))
    walks = []
    for _ in range(400):
        (seen, side), action = lamps(rng, n + 1), rng.integers(0, 2, n)
        walks.append((seen, action, action == side[:-1], True))
    state = fit(LEARNING, dataset(spec, walks), 300)

    @jax.jit
    @jax.vmap
    def achieved(asked, seen, side):
        return earned(state, asked, seen, lambda i, action: action == side[i])

    asked = np.arange(200, dtype="f4") % (n + 1)
    seen, side = lamps(rng, 200 * n)
    found = achieved(asked, seen.reshape(200, n, 3, 4, 1), side.reshape(200, n))
    assert (np.asarray(found) == asked).mean() > 0.95


def test_what_was_never_seen_is_warned_of():
    for target, warned in ((900.0, False), (901.0, True), (-601.0, True), (1, False)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            jax.eval_shape(
                lambda k, t=target: DT(**SMALL, target_return=t).init(BOXED, key=k),
                jr.key(0),
            )
        text = [str(w.message) for w in said]
        assert [("from -100 to 400" in x) for x in text] == [True] * warned


def test_it_learns_from_a_dataset_only():
    spec = dataclasses.replace(BOXED, data=None)
    with pytest.raises(BadConfig, match="DT learns from a dataset only"):
        DT().init(spec, key=jr.key(0))
    with pytest.raises(BadConfig, match="a multiple of 3"):
        DT(heads=3).init(BOXED, key=jr.key(0))


def test_a_window_is_no_longer_than_the_longest_episode():
    assert DT(context=20).store(BOXED).window == FACTS.longest
    assert DT(context=4).store(BOXED).window == 4
