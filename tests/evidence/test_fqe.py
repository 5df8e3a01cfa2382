"""Fitted Q evaluation against the paper's box in float64 NumPy and against values that
are known; and what a judgement says in words."""

import dataclasses
import importlib
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from algos.reference import Adam, assert_close, box, exact, made_up, mlp, polyak
from few_states import GAMMA, weighed, world
from played import played

from peira.core import (
    BadConfig,
    DataFault,
    Discrete,
    Policy,
    Sample,
    Spec,
    TimeStep,
)
from peira.data import check, Dataset
from peira.envs import make
from peira.evidence.ope import (
    appraise,
    Behaviour,
    Effort,
    FQE,
    judge,
    likelihoods,
    Question,
    Refusal,
)
from peira.evidence.ope.behaviour import propensities
from peira.evidence.ope.fqe import resampled, target as target_of
from peira.evidence.ope.tabular import acting, Stochastic


B, RATE, TAU = 4, 0.01, 0.1
QUICK = Effort(members=4, updates=1_200, tau=0.05, hidden=(), learning_rate=0.02)


class Steering(Policy[tuple[()]]):
    """Half the first number seen, to both sides; noisy when exploring."""

    half: jax.Array

    def begin(self):
        return ()

    def __call__(self, carry, t, *, key, explore):
        action = self.half * t.obs[:2]
        if explore:
            action = action + 0.1 * jr.normal(key, (2,))
        return jnp.clip(action, -1.0, 3.0), (), ()


class Counting(Policy[jax.Array]):
    """Goes by what it did last."""

    def begin(self):
        return jnp.array(0)

    def __call__(self, carry, t, *, key, explore):
        return carry % 2, carry + 1, ()


class Silent(Policy[tuple[()]]):
    """Does what another does, and does not say how likely."""

    policy: Stochastic

    def begin(self):
        return ()

    def __call__(self, carry, t, *, key, explore):
        return self.policy(carry, t, key=key, explore=explore)


def test_three_updates_are_those_of_the_box():
    """Algorithm 3, one gradient step per target; the bootstrap's weights are borrowed,
    and one of them is zero."""
    space, episode = box(-1, 3, 2), np.array([0, 0, 1, 2, 2, 3], np.int32)
    algorithm = FQE(
        Steering(jnp.array(0.5)),
        episode=episode,
        scale=(2.0, 3.0),
        limits=(-4.0, 4.0),
        gamma=GAMMA,
        tau=TAU,
        learning_rate=RATE,
        hidden=(4,),
    )
    state = algorithm.init(Spec(box(-2, 2, 3), space), key=jr.key(0))
    weights = exact(state.weight)
    assert (weights == 0).any()
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k)[0])
    uniform = lambda rng, shape: rng.uniform(-1, 3, (*shape, 2)).astype(np.float32)
    q = exact(state.q.net)
    target, adam = q, Adam(q, rate=RATE)

    def ask(net, obs, action):
        unit = (action + 1) / 2 - 1  # of bounds -1 and 3
        return mlp(net.body, np.concatenate([obs, unit], axis=1))[:, 0]

    for count in range(3):
        at = jnp.array([0, 2, 3, 5])
        batch = Sample(made_up(count, uniform, B), jnp.ones(B), at)
        state = update(state, batch, jr.key(count))
        s = exact(batch.steps)
        acted = np.clip(0.5 * s.next_obs[:, :2], -1, 3)
        value = 2 + 3 * ask(target, s.next_obs, acted)
        y = np.clip(s.reward + GAMMA * (1 - s.terminated) * value, -4, 4)
        w = weights[np.array(at)]
        y = (y - 2) / 3

        def loss(net, s=s, y=y, w=w):
            return np.mean(w * (ask(net, s.obs, s.action) - y) ** 2)

        q = adam.step(q, loss)
        target = polyak(target, q, TAU)
    assert_close(state.q.net, q)
    assert_close(state.target, target)


def test_targets_by_three_numbers():
    steps = made_up(0, lambda rng, shape: rng.integers(0, 2, shape).astype("i4"), 3)
    steps = dataclasses.replace(
        steps,
        reward=jnp.array([1.0, 1.0, 9.0]),
        terminated=jnp.array([False, True, False]),
        truncated=jnp.array([True, False, False]),
    )
    y = target_of(jnp.array([4.0, 4, 4]), steps, gamma=0.5, limits=(-10.0, 10.0))
    np.testing.assert_allclose(y, [3, 1, 10])


def test_episodes_are_drawn_whole_and_with_replacement():
    episode = np.repeat(np.arange(200), 3).astype(np.int32)
    weight = np.asarray(resampled(episode, key=jr.key(0))).reshape(200, 3)
    assert (weight == weight[:, :1]).all()
    assert weight[:, 0].sum() == 200
    assert np.mean(weight[:, 0] == 0) == pytest.approx(np.exp(-1), abs=0.1)


@pytest.fixture(scope="module")
def tried():
    """One log, judged in every way; and the values that the log itself supports."""
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 400, 400, np.random.default_rng(0))
    question = Question(gamma=GAMMA, explore=True, effort=QUICK)
    module = importlib.import_module("peira.evidence.ope.judge")
    fitted, kept = module.fitted, []
    with jax.debug_key_reuse(False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fitted", lambda *x: kept.append(fitted(*x)) or kept[0])
        said = judge(acting(policy), data, question=question)
    return mdp, policy, data, {j.method: j for j in said}, kept[0]


def supported(mdp, data, policy):
    """The values of the decision process that the log counts up to."""
    states, actions = policy.shape
    row = np.arange(data.steps) + data.episode
    at = (data.obs[row], data.action)
    times, reward = np.zeros((2, states, actions))
    move = np.zeros((states, actions, states))
    np.add.at(times, at, 1)
    np.add.at(reward, at, data.reward)
    alive = ~data.terminated
    np.add.at(move, (*(x[alive] for x in at), data.obs[row[alive] + 1]), 1)
    counted = dataclasses.replace(
        mdp, move=move / times[..., None], reward=reward / times
    )
    return counted.values(policy, GAMMA)[0]


def test_it_comes_to_the_values_that_the_data_support(tried):
    mdp, policy, data, _, seen = tried
    wanted = supported(mdp, data, policy)
    row = np.arange(data.steps) + data.episode
    found = np.zeros_like(wanted)
    np.add.at(found, (data.obs[row], data.action), seen.value)
    times = np.zeros_like(wanted)
    np.add.at(times, (data.obs[row], data.action), 1)
    # Members differ by their episodes: their mean is as sure as their differences.
    assert np.abs(found / times - wanted).max() < 0.25
    assert np.abs(found / times - wanted).max() < 0.2 * np.ptp(wanted)
    ended = np.asarray(data.terminated)
    assert (seen.after[ended] == 0).all()
    assert (seen.after[~ended] != 0).all()


def test_every_way_holds_the_truth(tried):
    mdp, policy, _, said, _ = tried
    truth = mdp.worth(policy, GAMMA)
    for name, found in said.items():
        assert not found.refused, name
        assert found.estimate.low <= truth, name
        if name != "bound":
            assert found.estimate.high >= truth, name
            assert found.estimate.high - found.estimate.low < 1.5, name
    assert said["wpdis"].effective > 100
    assert said["fqe"].effective is None
    assert all(j.episodes == 400 for j in said.values())
    assert "no episode can return less" in said["bound"].notes[0]


def test_replicas_vary_as_the_estimates_do(tried):
    *_, said, _ = tried
    for name, found in said.items():
        if name == "bound":
            continue
        error = found.replicas.std(ddof=1)
        reach = (found.estimate.high - found.estimate.low) / 2
        assert 1.9 * error < reach < 3.3 * error, name


def test_likelihoods_of_a_table():
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 60, 50, np.random.default_rng(0))
    wanted = weighed(data, policy).ratio
    said = likelihoods(acting(policy), data, explore=True)
    alive = weighed(data, policy).alive
    np.testing.assert_allclose(said / data.propensity, wanted[alive], rtol=1e-5)
    greedy = likelihoods(acting(policy), data)
    row = np.arange(data.steps) + data.episode
    np.testing.assert_array_equal(
        greedy, policy.argmax(1)[data.obs[row]] == data.action
    )
    drawn = likelihoods(Silent(acting(policy)), data, explore=True)
    assert np.abs(drawn - said).max() < 5 * 0.5 / 16
    assert abs((drawn - said).mean()) < 5 * 0.5 / 16 / np.sqrt(data.steps)


def steered(n=30, seed=0):
    """One-step episodes of real numbers, with densities of nobody in particular."""
    rng = np.random.default_rng(seed)
    real = lambda *s: rng.normal(size=s).astype(np.float32)
    space = box(-1, 3, 2)
    return check(
        Dataset(
            Spec(box(-9, 9, 3), space),
            real(2 * n, 3),
            rng.uniform(-1, 3, (n, 2)).astype(np.float32),
            real(n),
            np.ones(n, bool),
            np.zeros(n, bool),
            np.arange(n + 1),
            propensity=np.full(n, 1 / 16),
        )
    )


@pytest.mark.parametrize(
    ("policy", "explore", "why"),
    [
        (Steering(jnp.array(0.5)), False, "deterministic in a space of real numbers"),
        (Steering(jnp.array(0.5)), True, "does not say how likely"),
        (Counting(), False, "remembers what it has seen"),
    ],
)
def test_what_has_no_likelihood_is_refused_in_words(policy, explore, why):
    with pytest.raises(Refusal, match=why):
        likelihoods(policy, steered(), explore=explore)
    found = judge(
        policy, steered(), methods=["wis"], question=Question(explore=explore)
    )
    assert found[0].estimate is None
    assert why in found[0].refused


def test_a_policy_that_remembers_has_no_values():
    mdp, behaviour, _ = world()
    data = mdp.play(behaviour, 5, 5, np.random.default_rng(0))
    with pytest.raises(Refusal, match="remembers"):
        appraise(Counting(), data, gamma=GAMMA, effort=QUICK)


def refused(data, policy, method="wpdis", **asked):
    question = Question(gamma=GAMMA, explore=True, **asked)
    return judge(acting(policy), data, methods=[method], question=question)[0].refused


def test_too_few_effective_episodes():
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 12, 50, np.random.default_rng(0))
    assert not refused(data, policy, least=2)
    assert re.search("12 episodes say as much of it as .* fewer", refused(data, policy))
    one = data.subset(np.array([0]))
    assert "one episode" in refused(one, policy, least=0)


def test_what_the_log_never_shows():
    """The behaviour never takes the action that the policy prefers."""
    mdp, _, policy = world()
    one_sided = np.tile([1.0, 0.0], (4, 1))
    data = mdp.play(one_sided, 300, 50, np.random.default_rng(0))
    assert "should average 1" in refused(data, policy, least=2)
    other = np.tile([0.0, 1.0], (4, 1))
    assert "in no episode was done" in refused(data, other)


def test_propensities_of_somebody_else():
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 300, 50, np.random.default_rng(0))
    wrong = dataclasses.replace(data, propensity=np.full(data.steps, 0.7))
    assert "not those of who acted" in refused(wrong, policy)


def test_impossible_propensities():
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 20, 50, np.random.default_rng(0))
    for bad in (0.0, np.nan, 1.5):
        chance = np.array(data.propensity)
        chance[3] = bad
        wrong = dataclasses.replace(data, propensity=chance)
        with pytest.raises(DataFault, match="propensity of step 3"):
            refused(wrong, policy)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"gamma": 1.5}, "gamma"),
        ({"level": 1.0}, "level"),
        ({"effort": Effort(members=1)}, "2 members"),
        ({"floor": 100.0}, "an episode of the log returned"),
    ],
)
def test_bad_questions(asked, why):
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 20, 50, np.random.default_rng(0))
    question = Question(explore=True)._replace(**asked)
    with pytest.raises(BadConfig, match=why):
        judge(acting(policy), data, methods=["bound"], question=question)


def test_unknown_methods():
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 20, 50, np.random.default_rng(0))
    with pytest.raises(BadConfig, match=r"unknown method 'wpdi'; did you mean wpdis"):
        judge(acting(policy), data, methods=["wpdi"])


def test_a_clone_stands_in_for_propensities():
    """And it is said."""
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 300, 50, np.random.default_rng(0))
    blind = dataclasses.replace(data, propensity=None)
    with jax.debug_key_reuse(False):
        found = judge(
            acting(policy),
            blind,
            methods=["wpdis", "bound"],
            question=Question(gamma=GAMMA, explore=True, cloning=400),
        )
    for j in found:
        assert any("clone" in note for note in j.notes)
    assert found[0].estimate.low <= mdp.worth(policy, GAMMA) <= found[0].estimate.high


def test_a_clone_counts():
    mdp, behaviour, _ = world()
    data = mdp.play(behaviour, 300, 50, np.random.default_rng(0))
    clone = Behaviour(hidden=(), learning_rate=0.02, batch=64)
    with jax.debug_key_reuse(False):
        said = propensities(data, clone, updates=1_000)
    assert np.abs(said - data.propensity).max() < 0.1


def test_a_clone_of_real_numbers_is_a_density():
    """Uniform over a box of area 16, whatever its units; and it can act."""
    data = steered(400)
    clone = Behaviour(hidden=(8,), learning_rate=0.01)
    with jax.debug_key_reuse(False):
        said = propensities(data, clone, updates=300)
    assert np.log(said).mean() == pytest.approx(np.log(1 / 16), abs=0.8)


def bandit(n=4_000, arms=5, seed=0):
    """A log of one-step episodes, as a shop would keep it: what was seen, what was
    shown, whether it was clicked, and how likely it was to be shown."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(n, 2)).astype(np.float32)
    taste = rng.normal(size=(2, arms))
    shown = np.exp(0.5 * seen @ rng.normal(size=(2, arms)))
    shown /= shown.sum(axis=1, keepdims=True)
    action = (rng.random((n, 1)) > shown.cumsum(axis=1)).sum(axis=1)
    click = 1 / (1 + np.exp(1 - seen @ taste))
    reward = rng.random(n) < click[np.arange(n), action]
    data = check(
        Dataset(
            Spec(box(-9, 9, 2), Discrete(arms)),
            np.repeat(seen, 2, axis=0),
            action.astype(np.int32),
            reward.astype(np.float32),
            np.ones(n, bool),
            np.zeros(n, bool),
            np.arange(n + 1),
            propensity=shown[np.arange(n), action],
        )
    )
    return data, taste, click


class Recommender(Policy[tuple[()]]):
    """Shows by taste when exploring, and the most likely to be clicked when showing."""

    taste: jax.Array

    def begin(self):
        return ()

    def __call__(self, carry, t, *, key, explore):
        logits = t.obs @ self.taste
        action = jr.categorical(key, logits) if explore else logits.argmax()
        return action.astype(jnp.int32), (), ()

    def log_prob(self, t, action):
        return jax.nn.log_softmax(t.obs @ self.taste)[action]


@pytest.mark.parametrize("explore", [True, False])
def test_a_log_of_clicks(explore):
    """The truth is the mean over what was seen of the chance of a click."""
    data, taste, click = bandit()
    policy = Recommender(jnp.asarray(taste, jnp.float32))
    logits = np.asarray(data.obs)[::2] @ taste
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance = chance / chance.sum(axis=1, keepdims=True) if explore else chance == 1
    truth = (chance * click).sum(axis=1).mean()
    question = Question(explore=explore, gamma=1.0, floor=0.0)
    names = ["is", "wis", "pdis", "wpdis", "bound"]
    said = judge(policy, data, methods=names, question=question)
    for j in said[:4]:
        assert j.estimate.low <= truth <= j.estimate.high
        assert not j.notes
    assert said[0].estimate == said[2].estimate  # of one step they are the same
    assert truth - 0.12 < said[4].estimate.low < truth


def test_policies_of_several_shapes_are_pytrees_that_stay_themselves(key):
    """What is judged is not learned."""
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 10, 10, np.random.default_rng(0))
    algorithm = FQE(acting(policy), explore=True, hidden=())
    spec = dataclasses.replace(data.spec, data=data.facts())
    state = algorithm.init(spec, key=key)
    steps = jax.tree.map(jnp.asarray, data.gather(np.arange(8)))
    batch = Sample(steps, jnp.ones(8), jnp.arange(8))
    after, report = jax.jit(lambda s: algorithm.update(s, batch, key=jr.key(1)))(state)
    assert eqx.tree_equal(after.policy, state.policy)
    assert not eqx.tree_equal(after.q.net, state.q.net)
    assert np.isfinite(report.metrics["loss"])
    assert algorithm.policy(after) is after.policy


class Swing(Policy[tuple[()]]):
    """Brings a pendulum to the energy that it has upright, or away from it."""

    push: jax.Array

    def begin(self):
        return ()

    def __call__(self, carry, t, *, key, explore):
        cos, _, speed = t.obs
        lack = 15 * (1 - cos) - speed**2 / 2
        return (self.push * jnp.sign(speed) * jnp.sign(lack))[None], (), ()


def swung(policy, env, gamma, *, episodes=400, steps=300):
    """What a policy earns of a pendulum that no clock stops."""

    def one(key):
        world, obs, _ = env.reset(key=key)

        def step(now, k):
            world, obs = now
            t = TimeStep(obs, jnp.array(0.0), jnp.array(False))
            action, _, _ = policy((), t, key=key, explore=False)
            world, out = env.step(world, action, key=key)
            return (world, out.obs), out.reward

        return jax.lax.scan(step, (world, obs), None, length=steps)[1]

    with jax.debug_key_reuse(False):
        reward = jax.jit(jax.vmap(one))(jr.split(jr.key(5), episodes))
    return (np.asarray(reward) @ gamma ** np.arange(steps)).mean()


def test_a_pendulum():
    """From torques at random, cut after 100 steps, to what policies earn that are never
    cut. The two differ by a quarter; the estimate is nearer than a tenth."""
    env = make("Pendulum-v1").env
    data = played(env, 60, limit=100)
    effort = Effort(members=2, updates=1_200, hidden=(64, 64), learning_rate=1e-3)
    question = Question(gamma=0.95, effort=effort._replace(tau=0.05))
    worth, said = [], []
    for push in (-2.0, 2.0):
        policy = Swing(jnp.array(push))
        worth.append(swung(policy, env, question.gamma))
        with jax.debug_key_reuse(False):
            found = judge(policy, data, methods=["fqe", "wis"], question=question)
        said.append(found[0].estimate.value)
        assert "deterministic" in found[1].refused
    assert abs(worth[1] - worth[0]) > 0.25 * abs(worth[1])
    np.testing.assert_allclose(said, worth, rtol=0.1)
