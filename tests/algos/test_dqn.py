"""DQN and what Rainbow added, against the papers in float64 NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import (
    Adam,
    assert_close,
    box,
    chain,
    exact,
    histogram,
    log_softmax,
    made_up,
    mlp,
)

from peira.algos.online.dqn import DQN, EpsilonGreedy, target
from peira.core import BadConfig, Discrete, Sample, Spec, TimeStep


B, ACTIONS, GAMMA = 4, 3, 0.9
SPEC = Spec(box(-2, 2, 3), Discrete(ACTIONS), updates=10)
SWITCHES = [
    {},
    {"double": True},
    {"dueling": True},
    {"n": 3},
    {"double": True, "dueling": True, "n": 2},
]


def sample(seed, n):
    rng = np.random.default_rng(seed)
    steps = made_up(seed, lambda r, s: r.integers(0, 3, s).astype(np.int32), B, n)
    weight = jnp.asarray(rng.uniform(0.2, 1, B), jnp.float32)
    return Sample(steps, weight, jnp.arange(B))


def values(net, obs):
    q = mlp(net.value, obs)
    if net.advantage is None:
        return q
    a = mlp(net.advantage, obs)
    return q + a - a.mean(axis=-1, keepdims=True)


def huber(x):
    return np.where(np.abs(x) <= 1, 0.5 * x**2, np.abs(x) - 0.5)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_update(switches):
    """Four updates, the target network copied after the second."""
    n = switches.get("n", 1)
    algorithm = DQN(
        **switches,
        gamma=GAMMA,
        hidden=(4,),
        learning_rate=0.05,
        target_every=2,
        max_gradient=0.3,
    )
    state = algorithm.init(SPEC, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k))
    net = old = exact(state.net.net)
    adam = Adam(net, rate=0.05, max_norm=0.3)
    for count in range(1, 5):
        batch = sample(count, n)
        state, report = update(state, batch, jr.key(count))
        s, weight = exact(batch.steps), exact(batch.weight)
        y = np.zeros(B)
        for b in range(B):
            for k in range(n):
                y[b] += GAMMA**k * s.reward[b, k]
                over = s.terminated[b, k] or s.truncated[b, k]
                if (over or k == n - 1) and not s.terminated[b, k]:
                    q = values(old, s.next_obs[b, k][None])[0]
                    chooser = values(net, s.next_obs[b, k][None])[0]
                    best = chooser.argmax() if algorithm.double else q.argmax()
                    y[b] += GAMMA ** (k + 1) * q[best]
                if over:
                    break
        action = s.action[:, 0].astype(int)

        def error(w, s=s, action=action, y=y):
            return values(w, s.obs[:, 0])[np.arange(B), action] - y

        np.testing.assert_allclose(report.surprise, np.abs(error(net)), rtol=1e-3)
        net = adam.step(net, lambda w, e=error, u=weight: (u * huber(e(w))).mean())
        old = net if count % 2 == 0 else old
    assert_close(state.net.net, net)
    assert_close(state.target, old)


LOW, HIGH, BINS = -3.0, 4.0, 8
ATOMS = np.linspace(LOW, HIGH, BINS)


def softmax(x):
    return np.exp(log_softmax(x))


def chances(net, obs):
    """Of every atom, for every action."""
    out = mlp(net.value, obs).reshape(len(obs), -1, BINS)
    if net.advantage is not None:
        a = mlp(net.advantage, obs).reshape(len(obs), ACTIONS, BINS)
        out = out + a - a.mean(axis=1, keepdims=True)
    return softmax(out)


def on_atoms(value_loss, total, follows, p):
    """The distribution to learn, of what follows with chances p."""
    if value_loss != "c51":
        return histogram(value_loss, total + follows * (p @ ATOMS), ATOMS, sigma=0.6)
    spread = [
        histogram("two-hot", total + follows * z, ATOMS, sigma=0.6) for z in ATOMS
    ]
    return p @ np.array(spread)


@pytest.mark.parametrize("switches", [{}, {"dueling": True, "double": True}], ids=str)
@pytest.mark.parametrize("value_loss", ["mse", "two-hot", "hl-gauss", "c51"])
def test_value_losses(value_loss, switches):
    """Three updates on windows of two steps, the target network copied after the
    second."""
    algorithm = DQN(
        **switches,
        value_loss=value_loss,
        value_low=LOW,
        value_high=HIGH,
        bins=BINS,
        sigma=0.6,
        n=2,
        gamma=GAMMA,
        hidden=(3,),
        learning_rate=0.05,
        target_every=2,
        max_gradient=0.3,
    )
    state = algorithm.init(SPEC, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k))
    net = old = exact(state.net.net)
    adam = Adam(net, rate=0.05, max_norm=0.3)
    plain = value_loss == "mse"
    ask = values if plain else lambda w, obs: chances(w, obs) @ ATOMS
    for count in range(1, 4):
        batch = sample(count, 2)
        state, report = update(state, batch, jr.key(count))
        s, weight = exact(batch.steps), exact(batch.weight)
        aim, y = [], []
        for b in range(B):
            k = 0 if s.terminated[b, 0] or s.truncated[b, 0] else 1
            total = s.reward[b, 0] + k * GAMMA * s.reward[b, 1]
            follows = 0.0 if s.terminated[b, k] else GAMMA ** (k + 1)
            after = s.next_obs[b, k][None]
            best = ask(net if algorithm.double else old, after)[0].argmax()
            y.append(total + follows * ask(old, after)[0, best])
            if not plain:
                p = chances(old, after)[0, best]
                aim.append(on_atoms(value_loss, total, follows, p))
        rows, action = np.arange(B), s.action[:, 0].astype(int)
        error = ask(net, s.obs[:, 0])[rows, action] - np.array(y)
        np.testing.assert_allclose(report.surprise, np.abs(error), rtol=2e-3)

        def loss(w, s=s, rows=rows, action=action, aim=aim, y=y, weight=weight):
            if plain:
                miss = 0.5 * (values(w, s.obs[:, 0])[rows, action] - y) ** 2
            else:
                said = chances(w, s.obs[:, 0])[rows, action]
                miss = -(np.array(aim) * np.log(said)).sum(axis=-1)
            return (weight * miss).mean()

        net = adam.step(net, loss)
        old = net if count % 2 == 0 else old
    assert_close(state.net.net, net)
    assert_close(state.target, old)


@pytest.mark.parametrize("value_loss", ["two-hot", "hl-gauss", "c51"])
def test_a_histogram_learns_a_value_and_c51_its_distribution(value_loss):
    """A world of one step that pays 0 or 2 alike: worth 1; all but C51 learn of their
    targets one by one, and so the same."""
    algorithm = DQN(
        value_loss=value_loss,
        value_low=-1.0,
        value_high=3.0,
        bins=9,
        n=1,
        hidden=(),
        learning_rate=0.05,
    )
    batch = sample(0, 1)
    steps = dataclasses.replace(
        batch.steps,
        obs=jnp.ones_like(batch.steps.obs),
        reward=jnp.array([[0.0], [2.0], [0.0], [2.0]]),
        terminated=jnp.ones((B, 1), bool),
        action=jnp.zeros((B, 1), jnp.int32),
    )
    batch = Sample(steps, jnp.ones(B), batch.index)
    learn = lambda s, k: (algorithm.update(s, batch, key=k)[0], None)
    begun = algorithm.init(SPEC, key=jr.key(0))
    end = jax.jit(lambda s: jax.lax.scan(learn, s, jr.split(jr.key(0), 500))[0])(begun)
    q = algorithm.policy(end).net(jnp.ones(3))
    assert q[0] == pytest.approx(1.0, abs=0.02)
    said = jax.nn.softmax(algorithm.policy(end).net.logits(jnp.ones(3))[0])
    if value_loss != "hl-gauss":
        np.testing.assert_allclose(said[jnp.array([2, 6])], 0.5, atol=0.03)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"value_loss": "c51"}, "DQN.value_loss = c51 needs value_low and value_high"),
        (
            {"value_loss": "two-hot", "value_low": 1.0, "value_high": 0.0},
            "DQN.value_loss = two-hot: nothing lies between value_low = 1 and",
        ),
        ({"bins": 1}, "DQN.bins = 1: must lie in"),
    ],
)
def test_a_support_is_asked_for_in_one_line(fields, words):
    with pytest.raises(BadConfig, match=words) as error:
        DQN(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_chain_of_states_has_the_values_of_its_linear_system(n, double):
    """Iterated on a table: a time limit is bootstrapped through, a death is not."""
    reward, follows, terminated, truncated, value = chain(gamma=GAMMA)
    backup = jax.jit(lambda *w: target(*w, gamma=GAMMA))
    q = np.zeros((5, ACTIONS), np.float32)
    for _ in range(6):
        new = np.zeros_like(q)
        for i in range(5):
            walk = [i]
            while len(walk) < n:
                walk.append(follows[walk[-1]])
            over = terminated[walk] | truncated[walk]
            last = walk[over.argmax() if over.any() else n - 1]
            after = jnp.asarray(q[follows[last]])
            chooser = after[::-1] if double else after  # equal values: any choice
            new[i] = backup(
                after, chooser, reward[walk], terminated[walk], truncated[walk]
            )
        q = new
    np.testing.assert_allclose(q, np.tile(value[:, None], ACTIONS), rtol=1e-5)


def test_double_learning_evaluates_what_the_other_network_chose():
    x, no = jnp.zeros(1), jnp.zeros(1, bool)
    next_q, chooser = jnp.array([1.0, 5.0, 3.0]), jnp.array([0.0, 1.0, 2.0])
    assert target(next_q, chooser, x, no, no, gamma=0.5) == 1.5
    assert target(next_q, next_q, x, no, no, gamma=0.5) == 2.5
    assert target(next_q, next_q, x, ~no, no, gamma=0.5) == 0
    assert target(next_q, next_q, x, no, ~no, gamma=0.5) == 2.5


def test_illegal_actions_are_never_bootstrapped_from():
    algorithm = DQN(hidden=(4,), gamma=1.0)
    state = algorithm.init(SPEC, key=jr.key(0))
    batch = sample(0, 1)
    steps = batch.steps
    q = jax.vmap(state.target)(steps.next_obs[:, 0])
    worst = jax.nn.one_hot(q.argmin(axis=-1), ACTIONS, dtype=bool)
    masked = dataclasses.replace(steps, next_legal=worst[:, None])
    _, report = algorithm.update(
        state, Sample(masked, batch.weight, batch.index), key=jr.key(0)
    )
    taken = jax.vmap(state.net.net)(steps.obs[:, 0])
    taken = taken[jnp.arange(B), steps.action[:, 0]]
    y = steps.reward[:, 0] + jnp.where(steps.terminated[:, 0], 0.0, q.min(axis=-1))
    np.testing.assert_allclose(report.surprise, jnp.abs(taken - y), rtol=1e-4)


def test_epsilon_falls_linearly_over_a_fraction_of_the_run():
    algorithm = DQN(
        hidden=(2,), initial_epsilon=0.9, final_epsilon=0.1, exploration=0.4
    )
    state = algorithm.init(SPEC, key=jr.key(0))  # ten updates: four of them exploring
    update = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(0))[0])
    seen = [state.epsilon.item()]
    for _ in range(6):
        state = update(state, sample(0, 1))
        seen.append(state.epsilon.item())
    assert seen == pytest.approx([1.0, 0.7, 0.5, 0.3, 0.1, 0.1, 0.1])


def test_exploring_roams_as_often_as_epsilon_says():
    algorithm = DQN(hidden=(2,))
    state = algorithm.init(SPEC, key=jr.key(0))
    policy = EpsilonGreedy(state.net.net, jnp.array(0.3))
    t = TimeStep(jnp.ones(3), jnp.zeros(()), jnp.array(False))
    best = policy((), t, key=jr.key(0), explore=False)[0]
    one = lambda k: policy((), t, key=k, explore=True)[0]
    actions = jax.vmap(one)(jr.split(jr.key(0), 3000))
    # a roaming actor may still choose the best
    assert (actions == best).mean() == pytest.approx(0.7 + 0.3 / ACTIONS, abs=0.03)
