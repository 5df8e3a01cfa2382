"""Trajectory Transformer: its loss in slow NumPy, the cache as if there were none, beam
search as enumeration, and plans with known answers."""

import dataclasses
import functools as ft
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import box, exact, log_softmax
from tiny_data import dataset, fit, informed, lever, shown
from updates import BOXED

from peira.algos.offline.bc import BC, loss as cloned
from peira.algos.offline.beams import appended, planned
from peira.algos.offline.sentences import words
from peira.algos.offline.tt import loss, matrices, paced, TT
from peira.core import BadConfig, Box, Spec, TimeStep
from peira.data import dealt


WIDTH, HEADS, BINS, K = 4, 2, 2, 3
SMALL = {
    "bins": BINS,
    "context": K,
    "history": 2,
    "planned": 2,
    "width": WIDTH,
    "heads": HEADS,
    "layers": 1,
    "batch": 4,
    "warmup": 1,
    "dropout": 0.0,
    "max_gradient": 10.0,
    "beam": 8,
}
PLAIN = Spec(box(-1, 1, 1), box(-1, 1, 1))


def awake(state, size=0.5):
    """The state with larger weights, so that all of them matter."""
    leaves, shape = jax.tree.flatten(state.net.net)
    rng = np.random.default_rng(3)
    leaves = [x + size * rng.normal(size=x.shape).astype("f4") for x in leaves]
    return eqx.tree_at(lambda s: s.net.net, state, jax.tree.unflatten(shape, leaves))


def ragged(*, dead=True):
    """Three episodes of chance, of 1, 2 and 4 steps."""
    rng = np.random.default_rng(0)
    draw = lambda n: rng.uniform(-1, 1, (n, 1))
    walks = [(draw(n + 1), draw(n), draw(n)[:, 0], dead) for n in (1, 2, 4)]
    return dataset(PLAIN, walks)


@ft.cache
def begun(goal=False):
    given = {"search": "goal", "goal": (0.3,)} if goal else {}
    algorithm = TT(**SMALL, **given)
    spec = informed(algorithm, ragged())
    state = jax.jit(lambda k: algorithm.init(spec, key=k))(jr.key(0))
    return algorithm, awake(state)


def norm(layer, x):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
    return x * layer.scale + layer.shift


def linear(layer, x):
    return x @ layer.weight + layer.bias


def said(net, tokens, goal=None):
    """The log-probabilities of what follows each token, in float64."""
    erf = np.vectorize(math.erf)
    size = net.layout.size
    x = []
    if goal is not None:
        x += [net.goals[j * BINS + g] for j, g in enumerate(goal)]
    before = len(x)
    for i, token in enumerate(tokens):
        word = -1 if token == BINS else i % size * BINS + token
        x.append(net.words[word] + net.places[i])
    x, dim = np.array(x), WIDTH // HEADS
    hidden = net.layout.valued * [size - 1]  # a value is seen by nobody
    seen = [j < before or (j - before) % size not in hidden for j in range(len(x))]
    for block in net.body.blocks:
        looks = norm(block.before, x) @ block.looks
        found = np.zeros_like(x)
        for h in range(HEADS):
            span = slice(h * dim, (h + 1) * dim)
            query, key, value = (part[:, span] for part in np.split(looks, 3, axis=1))
            for i in range(len(x)):
                at = [j for j in range(i + 1) if seen[j]]
                logits = query[i] @ key[at].T / np.sqrt(dim)
                found[i, span] = np.exp(log_softmax(logits)) @ value[at]
        x = x + linear(block.seen, found)
        wide = linear(block.wide, norm(block.between, x))
        wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
        x = x + linear(block.narrow, wide)
    x = norm(net.body.norm, x)[before:]
    heads = [net.heads[(i + 1) % size] for i in range(len(x))]
    return np.array([log_softmax(a @ h) for a, h in zip(x, heads, strict=True)])


def dealt_by_hand(algorithm, data, goal):
    """Every window of a dataset: tokens, weights, and the token of its end."""
    edges = np.sort(table(data, algorithm.gamma), axis=0)
    at = np.linspace(0, data.steps - 1, BINS + 1).astype(int)
    inner = edges[at[1:-1]]
    token = (table(data, algorithm.gamma)[:, None] >= inner[None]).sum(axis=1)
    size = 2 if goal else 4
    kinds = [1, algorithm.action_weight, algorithm.reward_weight]
    kinds = np.array([*kinds, algorithm.value_weight][:size])
    for first in range(data.steps):
        episode = data.episode[first]
        stop = data.starts[episode + 1]
        steps, weight = [], []
        for t in range(first, first + K):
            there = t < stop
            steps.append(token[t, :size] if there else np.full(size, BINS))
            weight.append(kinds * (there or data.terminated[stop - 1]))
        last = data.obs[stop + episode]
        yield np.ravel(steps), np.ravel(weight), (last >= inner[0, :1]).astype(int)


def table(data, gamma):
    """Observation, action, reward and what came after, of every step."""
    row, rest = np.arange(data.steps) + data.episode, np.zeros(data.steps)
    for t in range(data.steps):
        later = data.reward[t + 1 : data.starts[data.episode[t] + 1]]
        rest[t] = (later * gamma ** np.arange(1, len(later) + 1)).sum()
    return np.column_stack([data.obs[row], data.action, data.reward, rest])


def all_windows(algorithm, data):
    deal = dealt(algorithm.store(informed(algorithm, data)))
    kept = jax.tree.map(jnp.asarray, deal.shelve(data))
    step = jnp.asarray(np.arange(kept.steps)[:, None] + np.arange(algorithm.context))
    drawn = jax.jit(lambda: deal.draw(kept.steps, key=jr.key(0)))()
    look = jax.jit(lambda kept, drawn: deal.lookup(kept, drawn))
    return look(kept, dataclasses.replace(drawn, step=step))


@pytest.mark.parametrize("goal", [False, True], ids=["reward", "goal"])
@pytest.mark.parametrize("dead", [True, False], ids=["dead", "cut"])
def test_the_loss_is_the_papers(goal, dead):
    """Words, weights and likelihoods, of every window; also what follows a death."""
    algorithm, state = begun(goal)
    data = ragged(dead=dead)
    net, errors = exact(state.net.net), []
    for tokens, weight, end in dealt_by_hand(algorithm, data, goal):
        likely = said(net, tokens[:-1], end if goal else None)
        chosen = likely[np.arange(len(likely)), tokens[1:]]
        errors.append(-weight[1:] * chosen)
    batch = all_windows(algorithm, data)
    update = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(0)))
    new, report = update(state, batch)
    assert report.metrics["loss"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert update(new, batch)[1].metrics["loss"] < report.metrics["loss"]


def full(net, rows, goal=None):
    """The log-probabilities of all words of some rows but the first observation's."""
    tokens = rows.reshape(len(rows), -1)
    goal = jnp.zeros(net.layout.obs, jnp.int32) if goal is None else goal
    one = lambda t: jnp.take_along_axis(
        jax.nn.log_softmax(net(t[:-1], goal)), t[1:, None], axis=1
    ).sum()
    return jax.jit(jax.vmap(one))(tokens)


def sentences(net, start, n):
    """All ways to go on by so many words."""
    vocabulary = range(net.end + 1)
    every = np.array(list(itertools.product(vocabulary, repeat=n)), np.int32)
    return jnp.asarray(np.c_[np.tile(start, (len(every), 1)), every])


@pytest.mark.parametrize("goal", [False, True], ids=["valued", "goal"])
@pytest.mark.parametrize("count", [0, 1])
def test_a_wide_beam_finds_the_likeliest_sentence(goal, count):
    """As enumeration does, without a cache; a beam of one finds a worse."""
    algorithm, state = begun(goal)
    size, plan = (2, 3 - count) if goal else (4, 2 - count)
    algorithm = dataclasses.replace(
        algorithm, search="goal" if goal else "likelihood", planned=plan, history=3
    )
    policy, net = algorithm.policy(state), state.net.net
    past = jnp.array([[1, 0, 1, 0], [0, 0, 0, 0]], jnp.int32)[:, :size]
    start = [*np.ravel(past[:count]), 1]
    every = sentences(net, start, size * plan - 1)
    scores = full(net, every, state.goal)
    if count:  # what was there before is given
        scores = scores - full(net, every[:1, : len(start)], state.goal)
    scores = np.asarray(scores)
    best = scores.argmax()

    def found(beam):
        search = dataclasses.replace(policy.search, beam=beam)
        run = jax.jit(
            lambda key: planned(
                net, search, past, jnp.array(count), jnp.array([1]), state.goal, key=key
            )
        )
        return run(jr.key(0))

    action, score = found(3 ** min(size * plan - 1, 5))
    assert score == pytest.approx(scores[best], rel=1e-4)
    assert action.tolist() == [every[best, len(start)]]
    greedy = found(1)[1]
    assert greedy <= score + 1e-5
    assert np.isclose(scores, greedy, rtol=1e-4).any()


def test_what_is_read_anew_without_the_oldest_is_as_if_it_never_was():
    past, count = jnp.array([[1, 2], [3, 4]]), jnp.array(1)
    past, count = appended(past, count, jnp.array([5, 6]))
    assert (past.tolist(), int(count)) == ([[1, 2], [5, 6]], 2)
    past, count = appended(past, count, jnp.array([7, 8]))
    assert (past.tolist(), int(count)) == ([[5, 6], [7, 8]], 2)


def test_a_sentence_of_an_action_alone_is_autoregressive_cloning():
    """Of a state and an action of two entries, with weight on those only: as likely to
    it as to the clone with bins, and to the data."""
    counts = {(-1, -1): 8, (-1, 1): 1, (1, -1): 2, (1, 1): 5}
    spec, here = Spec(box(-1, 1, 1), box(-1, 1, 2)), np.ones((2, 1))
    pairs = [a for a, n in counts.items() for _ in range(n)]
    data = dataset(spec, [(here, [a], [0.0], True) for a in pairs])
    share = np.array([*counts.values()]) / 16
    entropy = -(share * np.log(share)).sum()
    shared = {"learning_rate": 0.03, "batch": 128}
    cloning = BC(head="binned", bins=2, hidden=(8,), standardise=False, **shared)
    clone = fit(cloning, data, 100)
    algorithm = TT(
        **{**SMALL, **shared, "context": 2, "history": 2, "width": 8},
        discretise="uniform",
        action_weight=1.0,
        reward_weight=0.0,
        value_weight=0.0,
        weight_decay=0.0,
    )
    state = fit(algorithm, data, 100)
    batch = all_windows(algorithm, data)
    tokens, _ = words(state.bins, state.net.net.layout, batch)
    tokens = tokens[:, 0].reshape(16, -1)
    weight = jnp.tile(jnp.array([0, 1.0, 1.0, 0, 0]), (16, 1))
    nothing = jnp.zeros((16, 1), jnp.int32)
    told = jax.jit(lambda n: loss(n, tokens, nothing, weight, rate=0.0, key=jr.key(0)))
    ours = 4 * told(state.net.net)
    steps = jax.tree.map(lambda x: x[:, 0], batch.steps)
    theirs = jax.jit(lambda n: cloned(n, steps, jnp.ones(16)))(clone.net.net)
    assert theirs == pytest.approx(entropy, abs=0.01)
    assert ours == pytest.approx(float(theirs), abs=0.02)


LEARNING = {
    **SMALL,
    "width": 16,
    "batch": 32,
    "learning_rate": 0.02,
    "weight_decay": 0.0,
    "beam": 16,
    "cdf_actions": 0.0,
    "discretise": "uniform",
    "max_gradient": 1.0,
}


def test_the_return_is_sought_and_not_what_is_usual():
    """Of five who pulled a lever four earned nothing, and one did the other thing."""
    data = lever([-1.0] * 80 + [1.0] * 20, [0.0] * 80 + [1.0] * 20)
    algorithm = TT(**{**LEARNING, "planned": 1})
    state = fit(algorithm, data, 60)
    usual = dataclasses.replace(algorithm, search="likelihood")
    assert shown(algorithm, state, np.ones((1, 1))).item() > 0
    assert shown(usual, state, np.ones((1, 1))).item() < 0


def corridor(*, pays, episodes=150, length=6, seed=0):
    """Random walks by ±1 between -2 and 2; the right end may pay."""
    rng = np.random.default_rng(seed)
    spec = Spec(box(-2, 2, 1), box(-1, 1, 1))
    walks = []
    for _ in range(episodes):
        way = rng.choice([-1, 1], length)
        place = [rng.integers(-2, 3)]
        for step in way:
            place.append(int(np.clip(place[-1] + step, -2, 2)))
        place = np.array(place, "f4")
        reward = pays * (place[1:] == 2).astype("f4")
        walks.append((place[:, None], way[:, None], reward, False))
    return dataset(spec, walks)


PLACES = np.array([[-1.0], [0.0], [1.0]], "f4")


def test_it_plans_towards_what_pays():
    """Three steps away, in random walks that go nowhere."""
    given = {"bins": 5, "context": 5, "planned": 4}
    algorithm = TT(**{**LEARNING, **given})
    state = fit(algorithm, corridor(pays=1.0), 120)
    assert (shown(algorithm, state, PLACES) > 0).all()


@pytest.mark.parametrize("goal", [-2.0, 2.0])
def test_it_goes_to_a_goal(goal):
    given = {"bins": 5, "context": 6, "planned": 5}
    algorithm = TT(**{**LEARNING, **given}, search="goal", goal=(goal,))
    data = corridor(pays=0.0)
    state = goal_state(given)
    spec = informed(algorithm, data)
    own = jax.jit(lambda k: algorithm.init(spec, key=k).goal)(jr.key(0))
    state = eqx.tree_at(lambda s: s.goal, state, own)
    done = shown(algorithm, state, np.sign(goal) * np.array([[1.0]], "f4"))
    assert (done * goal > 0).all()


@ft.cache
def goal_state_of(given):
    algorithm = TT(**{**LEARNING, **dict(given)}, search="goal", goal=(0.0,))
    return fit(algorithm, corridor(pays=0.0), 150)


def goal_state(given):
    return goal_state_of(tuple(sorted(given.items())))


def test_an_episode_is_remembered_and_the_next_begins_anew():
    algorithm, state = begun()
    algorithm = dataclasses.replace(algorithm, history=3)
    policy = algorithm.policy(state)
    act = jax.jit(lambda c, t: policy(c, t, key=jr.key(0), explore=False)[:2])
    carry, done, rewards = policy.begin(), [], [9.0, 0.5, -0.5, 0.1]
    obs = np.array([[0.3], [-0.2], [0.9], [0.0]], "f4")
    for i, r in enumerate(rewards):
        t = TimeStep(obs[i], jnp.float32(r), jnp.array(i in (0, 3)))
        action, carry = act(carry, t)
        done.append(action)
        if i == 2:
            x = [np.concatenate([obs[j], done[j], [rewards[j + 1]]]) for j in (0, 1)]
            rows = jax.vmap(state.bins.of(slice(3)).encode)(jnp.array(x))
            np.testing.assert_array_equal(carry.past[:, :3], rows)
            assert int(carry.count) == 2
    assert int(carry.count) == 0
    fresh = act(policy.begin(), TimeStep(obs[3], jnp.float32(0), jnp.array(True)))
    np.testing.assert_array_equal(fresh[0], done[3])


def test_only_matrices_lose_weight():
    _, state = begun(goal=True)
    mask, net = matrices(state.net.net), state.net.net
    assert not any((mask.words, mask.places, mask.goals))
    assert mask.heads
    for lost, x in zip(*map(jax.tree.leaves, (mask.body, net.body)), strict=True):
        assert lost == (x.ndim == 2)


def test_the_step_size_rises_falls_and_stays():
    pace = [float(paced(jnp.array(n), 10, 110)) for n in (5, 10, 60, 110, 500)]
    np.testing.assert_allclose(pace, [0.5, 1.0, 0.5, 0.1, 0.1], rtol=1e-5)


def test_what_it_cannot_read_or_was_not_told_is_refused():
    make = lambda spec, **given: TT(**{**SMALL, **given}).init(spec, key=jr.key(0))
    image = dataclasses.replace(BOXED, obs=Box(*np.zeros((2, 5, 5), "f4")))
    with pytest.raises(BadConfig, match=r"TT reads observations number by number"):
        TT().store(image)
    with pytest.raises(BadConfig, match=r"TT.history = 4: nothing longer"):
        make(BOXED, history=4)
    with pytest.raises(BadConfig, match=r"TT.goal = \(1.0,\): say the 3 numbers"):
        make(BOXED, search="goal", goal=(1.0,))
    with pytest.raises(BadConfig, match="TT learns from a dataset only"):
        make(dataclasses.replace(BOXED, data=None))
