"""BC and RvS: against float64 NumPy, and on data whose clones are known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import Adam, assert_close, exact, log_softmax, made_up, mlp
from tiny_data import (
    all_of,
    box,
    corridor,
    dataset,
    fit,
    lever,
    rates,
    shown,
    urns,
    walk,
)
from updates import B, FACTS, MEAN, RATE, STD

from peira.algos.offline.bc import BC
from peira.algos.offline.rvs import RvS
from peira.core import (
    BadConfig,
    Box,
    Discrete,
    MultiDiscrete,
    Sample,
    Spec,
)


CLONING = {"learning_rate": RATE, "hidden": (4,)}
SEEN, BOX = box(-2, 2, 3), box(-1, 3, 2)
TIGHT = {"rtol": 1e-5, "atol": 1e-5}
ACTIONS = {
    "box": (BOX, lambda rng, n: rng.uniform(-1, 3, (*n, 2)).astype("f4")),
    "discrete": (Discrete(3), lambda rng, n: rng.integers(1, 3, n).astype("i4")),
    "multi": (
        MultiDiscrete((2, 3)),
        lambda rng, n: rng.integers(0, 2, (*n, 2)).astype("i4"),
    ),
}


def log_likelihood(kind, head, net, obs, action, legal):
    """Of every item of a batch."""
    if head == "binned":
        return binned(net.body.members, obs, (action + 1) / 2 - 1)
    out, rows = mlp(net.body, obs), np.arange(len(obs))
    if kind == "discrete":
        return log_softmax(np.where(legal, out, -1e9))[rows, action.astype(int)]
    if kind == "multi":
        parts = [log_softmax(out[:, :2]), log_softmax(out[:, 2:])]
        return sum(p[rows, action[:, i].astype(int)] for i, p in enumerate(parts))
    unit = (action + 1) / 2 - 1  # of bounds -1 and 3
    if head == "mixture":
        return mixed(out, unit)
    if head == "deterministic":
        return -((np.tanh(out) - unit) ** 2).mean(axis=-1)
    std = np.exp(net.log_std) + np.exp(-7)
    z = (unit - out) / std
    return (-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(axis=-1)


def mixed(out, unit):
    """Of two normals: their weights, their means, their spreads."""
    total = 0.0
    for k in range(2):
        weight = np.exp(log_softmax(out[:, :2]))[:, k]
        mean = np.tanh(out[:, 2 + 2 * k : 4 + 2 * k])
        std = np.exp(out[:, 6 + 2 * k : 8 + 2 * k]) + np.exp(-7)
        density = np.exp(-0.5 * ((unit - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        total = total + weight * density.prod(axis=-1)
    return np.log(total)


def binned(members, obs, unit):
    """Of -1, 0 or 1 for each of two entries, the second told the first."""
    rows, nearest = np.arange(len(obs)), np.rint(unit).astype(int) + 1
    told = [np.zeros((len(obs), 6)), np.zeros((len(obs), 6))]
    told[1][rows, nearest[:, 0]] = 1
    total = 0.0
    for i in range(2):
        net = jax.tree.map(lambda x, i=i: x[i], members)
        logits = mlp(net, np.concatenate([obs, told[i]], axis=-1))
        total = total + log_softmax(logits)[rows, nearest[:, i]]
    return total


def batch_of(kind, seed, extras=()):
    rng = np.random.default_rng(seed)
    steps = made_up(seed, ACTIONS[kind][1], B, extras=extras)
    if kind == "discrete":
        legal = jnp.asarray(rng.random((B, 3)) < 0.5).at[:, 1:].set(True)
        steps = dataclasses.replace(steps, legal=legal)
    weight = jnp.asarray(rng.uniform(0.2, 1, B), jnp.float32)
    return Sample(steps, weight, jnp.arange(B))


def updated(algorithm, spec, batches):
    """The network before and after these updates."""
    state = algorithm.init(spec, key=jr.key(0))
    before = exact(state.net.net)
    update = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(1))[0])
    for batch in batches:
        state = update(state, batch)
    return before, state.net.net


def cloned(net, batches, kind, head, seen):
    """The same in NumPy; `seen` is what the network sees of a batch."""
    adam = Adam(net, rate=RATE)
    for batch in batches:
        steps, weight = exact(batch.steps), exact(batch.weight)
        x = seen(steps)

        def loss(n, x=x, s=steps, w=weight):
            return -(w * log_likelihood(kind, head, n, x, s.action, s.legal)).mean()

        net = adam.step(net, loss)
    return net


def standardised(x):
    return (x - MEAN) / (STD + 1e-3)


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("box", "deterministic"),
        ("box", "gaussian"),
        ("box", "mixture"),
        ("box", "binned"),
        ("discrete", "deterministic"),
        ("multi", "deterministic"),
    ],
)
def test_bc(kind, head):
    """Three steps up the likelihood, with what is illegal left out."""
    spec = Spec(SEEN, ACTIONS[kind][0], masked=kind == "discrete", data=FACTS)
    batches = [batch_of(kind, i) for i in range(3)]
    before, after = updated(BC(**CLONING, head=head, modes=2, bins=3), spec, batches)
    wanted = cloned(before, batches, kind, head, lambda s: standardised(s.obs))
    assert_close(after, wanted, **TIGHT)


def test_rvs_of_rewards():
    """The mean reward enters as a fraction of the way from the worst to the best
    return, -100 and 400 over 5 steps."""
    spec = Spec(SEEN, BOX, data=FACTS)
    came = np.random.default_rng(0).uniform(-90, 300, (3, B)).astype("f4")
    batches = [batch_of("box", i, jnp.asarray(came[i])) for i in range(3)]
    before, after = updated(RvS(**CLONING), spec, batches)
    fraction = lambda s: (s.extras[:, None] * 5 + 100) / 500
    seen = lambda s: np.concatenate([s.obs, fraction(s)], axis=-1)  # "obs" < "outcome"
    assert_close(after, cloned(before, batches, "box", "gaussian", seen), **TIGHT)


def test_rvs_of_goals():
    """A goal is some entries of a later observation, scaled as observations are."""
    spec = Spec(SEEN, BOX, data=FACTS)
    reached = np.random.default_rng(0).normal(size=(3, B, 3)).astype("f4")
    batches = [batch_of("box", i, jnp.asarray(reached[i])) for i in range(3)]
    how = {"outcome": "goal", "goal": (0.5, -1.0), "entries": (2, 0)}
    algorithm = RvS(**CLONING, **how, standardise=True)
    before, after = updated(algorithm, spec, batches)
    goal = lambda s: standardised(s.extras)[:, [2, 0]]
    seen = lambda s: np.concatenate([standardised(s.obs), goal(s)], axis=-1)
    assert_close(after, cloned(before, batches, "box", "gaussian", seen), **TIGHT)
    asked = algorithm.init(spec, key=jr.key(0)).asked.wanted
    np.testing.assert_allclose(asked, standardised([-1, 0, 0.5])[[2, 0]], rtol=1e-6)


def test_clones_of_an_urn_have_its_frequencies():
    counts = [[1, 4, 5], [6, 2, 2]]
    data = urns(counts)
    algorithm = BC(hidden=(), learning_rate=0.01)
    net = fit(algorithm, data, 2000, batch=all_of(algorithm, data)).net.net
    chance = jnp.exp(jax.vmap(net)(jnp.arange(2)).logits)
    np.testing.assert_allclose(chance, np.array(counts) / 10, atol=1e-4)


def test_clones_of_a_lever_pull_it_as_far_on_average():
    pulled = np.random.default_rng(0).normal(0.5, 0.3, 50).clip(-2, 2)
    data = lever(pulled, low=-2, high=2)
    algorithm = BC(hidden=(), learning_rate=0.05)
    state = fit(algorithm, data, 400, batch=all_of(algorithm, data))
    action = shown(algorithm, state, np.ones((1, 1), "f4"))
    assert action[0] == pytest.approx(pulled.mean(), abs=1e-4)
    algorithm = BC(hidden=(), learning_rate=0.05, head="gaussian")
    state = fit(algorithm, data, 400, batch=all_of(algorithm, data))
    assert shown(algorithm, state, np.ones((1, 1), "f4"))[0] == pytest.approx(
        pulled.mean(), abs=1e-4
    )
    spread = 2 * np.exp(state.net.net(jnp.ones(1)).log_std)  # in the lever's own units
    assert spread == pytest.approx(pulled.std(), abs=1e-3)


def test_a_spread_that_vanishes_can_be_learned_from():
    """Of data without noise the likeliest spread is none at all."""
    data = lever([0.5] * 4)
    algorithm = BC(hidden=(), learning_rate=0.01, head="gaussian")
    state = fit(algorithm, data, 1000, batch=all_of(algorithm, data))
    assert np.exp(state.net.net(jnp.ones(1)).log_std) < 0.01
    narrow = eqx.tree_at(lambda s: s.net.net.log_std, state, jnp.full(1, -1e4))
    batch = all_of(algorithm, lever([0.0]))
    after, report = algorithm.update(narrow, batch, key=jr.key(0))
    assert np.isfinite(report.metrics["loss"])
    assert after.net.refused == 0


def test_the_best_tenth_is_cloned():
    """Ten levers paid for being pulled: the best pulled by 0.45."""
    pulled = np.arange(10) / 10 - 0.45
    data = lever(pulled)
    for top, wanted in ((0.1, 0.45), (0.3, 0.35), (1.0, 0.0)):
        algorithm = BC(hidden=(), learning_rate=0.05, top=top)
        batch = all_of(algorithm, data)
        assert len(batch.weight) == 10 * top
        state = fit(algorithm, data, 300, batch=batch)
        action = shown(algorithm, state, np.ones((1, 1), "f4"))
        assert action[0] == pytest.approx(wanted, abs=1e-4)


def test_rvs_earns_the_return_it_is_asked_for():
    """Every level of reward is held for a whole episode, so what is asked for is what
    is to be done."""
    levels = (10.0, 20.0, 30.0)
    data = rates(levels, length=6)
    algorithm = RvS(hidden=(32,), learning_rate=3e-3, batch=32)
    state = fit(algorithm, data, 800)
    clock = data.obs[:6]
    for level in levels:
        target = (level - levels[0]) / (levels[-1] - levels[0])
        policy_of = dataclasses.replace(algorithm, target=target)
        wanted = policy_of.init(known_of(data), key=jr.key(0)).asked
        asked = dataclasses.replace(state, asked=wanted)
        earned = shown(algorithm, asked, clock).sum()  # an action is its reward
        assert earned == pytest.approx(6 * level, abs=0.05 * 6 * levels[-1])


def known_of(data):
    return dataclasses.replace(data.spec, data=data.facts())


def walked(algorithm, state, see, *, width=7, steps=10):
    """The places that the policy comes to from the middle of a corridor."""
    place, places = width // 2, []
    acts = shown(algorithm, state, jax.tree.map(jnp.stack, see))
    for _ in range(steps):
        place = walk(place, acts[place], width)
        places.append(place)
    return places


PLACES = np.linspace(-1, 1, 7, dtype="f4")[:, None]


def test_rvs_goes_where_it_is_told():
    """By the shortest way, though the data only ever walked at random."""
    data = corridor()
    for goal in (0, 6):
        algorithm = RvS(
            outcome="goal",
            goal=tuple(PLACES[goal].tolist()),
            hidden=(32,),
            learning_rate=3e-3,
        )
        state = fit(algorithm, data, 400)
        assert walked(algorithm, state, PLACES).index(goal) == 2


def with_goals(data):
    """The same walks, told as where to go what has nothing to do with it."""
    wanted = np.random.default_rng(1).choice(PLACES[:, 0], len(data.obs))[:, None]
    place = box(-1, 1, 1)
    names = ("observation", "achieved_goal", "desired_goal")
    spec = dataclasses.replace(data.spec, obs=dict.fromkeys(names, place))
    obs = dict(zip(names, (data.obs, data.obs, wanted), strict=True))
    return dataclasses.replace(data, spec=spec, obs=obs)


def test_rvs_goes_where_the_environment_says():
    data = with_goals(corridor())
    algorithm = RvS(outcome="goal", hidden=(32,), learning_rate=3e-3, standardise=True)
    state = fit(algorithm, data, 400)
    for goal in (0, 6):
        wanted = np.broadcast_to(PLACES[goal], PLACES.shape)
        see = {"observation": PLACES, "achieved_goal": PLACES, "desired_goal": wanted}
        assert walked(algorithm, state, see).index(goal) == 2


def test_what_was_wanted_is_not_learned_from():
    """The clone sees what was reached in place of what the episode was told to reach:
    other desires, the same network."""
    data = with_goals(corridor(episodes=5))
    algorithm = RvS(outcome="goal", hidden=(4,))
    other = data.obs | {"desired_goal": -data.obs["desired_goal"]}
    states = [
        fit(algorithm, d, 3).net.net
        for d in (data, dataclasses.replace(data, obs=other))
    ]
    assert_close(states[0], states[1], rtol=0, atol=0)


def test_the_scale_of_rewards_does_not_matter_to_rvs():
    data = rates((0.0, 1.0, 2.0), length=4)
    dear = dataclasses.replace(data, reward=8 * data.reward - 2)
    algorithm = RvS(hidden=(4,))
    nets = [fit(algorithm, d, 3).net.net for d in (data, dear)]
    assert_close(nets[0], nets[1], rtol=1e-5, atol=1e-6)


def test_the_scale_of_observations_does_not_matter():
    rng = np.random.default_rng(0)
    seen, did = rng.normal(0, 50, (40, 3)), rng.uniform(-1, 1, (40, 1))
    spec = Spec(Box(np.full(3, -np.inf, "f4"), np.full(3, np.inf, "f4")), box(-1, 1, 1))
    pairs = lambda x: zip(x[:, None].repeat(2, axis=1), did, strict=True)
    episodes = lambda x: dataset(spec, [(o, [a], [0], True) for o, a in pairs(x)])
    algorithm = BC(hidden=(8,), learning_rate=0.01)
    actions = []
    for x in (seen, 8 * seen + 100):
        data = episodes(x)
        state = fit(algorithm, data, 50, batch=all_of(algorithm, data))
        actions.append(shown(algorithm, state, x.astype("f4")))
    np.testing.assert_allclose(actions[0], actions[1], atol=1e-3)
    raw = dataclasses.replace(algorithm, standardise=False)
    state = fit(raw, episodes(seen), 50, batch=all_of(raw, episodes(seen)))
    assert abs(shown(raw, state, seen.astype("f4")) - actions[0]).max() > 0.01


@pytest.mark.parametrize("cls", [BC, RvS])
def test_the_order_of_a_batch_does_not_matter(cls):
    spec = Spec(SEEN, BOX, data=FACTS)
    batch = batch_of("box", 0, 9.0 * jnp.arange(B))
    turned = jax.tree.map(lambda x: x[::-1], batch)
    nets = [updated(cls(**CLONING), spec, [b])[1] for b in (batch, turned)]
    assert_close(nets[0], nets[1], rtol=1e-5, atol=1e-7)


GOALS = {
    "say the 3 numbers": (SEEN, {}),
    "an observation has 3 entries": (SEEN, {"entries": (3,)}),
    "must be one, or have 'achieved_goal'": (Discrete(3), {}),
    "must be one": (box(0, 1, 5, 5, 1), {}),
}


@pytest.mark.parametrize("said", GOALS)
def test_goals_that_make_no_sense_are_refused(said):
    obs, fields = GOALS[said]
    spec = Spec(obs, BOX, data=FACTS)
    with pytest.raises(BadConfig, match=said):
        RvS(outcome="goal", **fields).init(spec, key=jr.key(0))


def test_nothing_is_conditioned_on_without_a_dataset():
    with pytest.raises(BadConfig, match="RvS learns from a dataset only"):
        RvS().init(Spec(SEEN, BOX), key=jr.key(0))
