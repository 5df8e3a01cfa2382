"""BRAC against the paper's equations in float64 NumPy, for every divergence; and on
problems whose regularised optimum is known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from behaved import (
    ACT,
    B,
    bellman,
    blend,
    BOX,
    episodes_of_one,
    learn,
    numbers,
    OBS,
    ONE,
    q_values,
    repeated,
    shown,
    taught,
    uniform,
)
from reference import Adam, assert_close, box, exact, mlp, polyak

from peira.algos.offline.behaviour import dual, learn_judge
from peira.algos.offline.brac import BRAC
from peira.core import Spec, TimeStep, Transition
from peira.ops import trainable


RATE, SLOW, SLOWER, GAMMA, TAU = 0.01, 0.004, 0.007, 0.9, 0.1
N, SIGMA, ENTROPY, ETA = 3, 0.6, 0.2, 2.0
EDGE = 1 - 1e-3


def log_normal(x, mean, log_std):
    z = (x - mean) * np.exp(-log_std)
    return -0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)


def parameters(actor, obs):
    mean, x = np.split(mlp(actor.body, obs), 2, axis=-1)
    return mean, -5 + 2.5 * (np.tanh(x) + 1)


def squashed(actor, obs, noise):
    """Actions and their log-probabilities by the change of variables."""
    mean, log_std = parameters(actor, obs)
    x = mean + np.exp(log_std) * noise
    log_prob = log_normal(x, mean, log_std) - np.log(1 - np.tanh(x) ** 2)
    return np.tanh(x), log_prob.sum(axis=-1)


def density(actor, obs, action):
    """The log-probability of an action, kept off the bounds."""
    action = np.clip(action, -EDGE, EDGE)
    mean, log_std = parameters(actor, obs)
    log_prob = log_normal(np.arctanh(action), mean, log_std)
    return (log_prob - np.log(1 - action**2)).sum(axis=-1)


def normals(keys, n):
    """Noise for n actions in each state, by a key for each of both."""
    rows = [[jr.normal(k, (ACT,)) for k in jr.split(key, n)] for key in keys]
    return exact(jnp.array(rows))


def single(keys):
    return normals(keys, 1)[:, 0]


class Primal:
    """KL by the clone's density, or MMD by its samples."""

    def __init__(self, kind, clone):
        self.kind, self.clone = kind, clone

    def noise(self, key):
        pairs = [jr.split(k) for k in jr.split(key, B)]
        return [normals([p[i] for p in pairs], N) for i in (0, 1)]

    def __call__(self, actor, obs, theirs, noise):
        here = repeated(obs, N)
        mine, log_prob = squashed(actor, here, noise[0])
        if self.kind == "kl":
            return (log_prob - density(self.clone, here, mine)).mean(axis=1)
        theirs, _ = squashed(self.clone, here, noise[1])
        k = lambda a, b: np.exp(-np.abs(a[:, :, None] - b[:, None]).sum(-1) / SIGMA)
        mean = lambda a, b: k(a, b).mean(axis=(1, 2))
        return mean(mine, mine) + mean(theirs, theirs) - 2 * mean(mine, theirs)


def judged(judge, obs, action):
    return mlp(judge.body, np.concatenate([obs, action], axis=-1))[..., 0]


class Dual:
    """By a judge of the policy's actions and the data's."""

    def __init__(self, kind, judge):
        self.kind, self.judge = kind, judge
        self.adam = Adam(judge, rate=SLOW)

    def noise(self, key):
        return single(jr.split(key, B))

    def __call__(self, actor, obs, theirs, noise, judge=None):
        judge = judge or self.judge
        mine, _ = squashed(actor, obs, noise)
        c, d = judged(judge, obs, mine), judged(judge, obs, theirs)
        if self.kind == "wasserstein":
            return c - d
        softplus = lambda x: np.log1p(np.exp(x))
        return np.log(softplus(c) + 1e-8) + 1 - softplus(d)

    def learn(self, actor, obs, theirs, key, times):
        """Steps of the judge, each with fresh actions."""
        for k in jr.split(key, times):
            k_between, k_draw = jr.split(k)
            u, noise = exact(jr.uniform(k_between, (B,))), self.noise(k_draw)
            mine, _ = squashed(actor, obs, noise)
            between = mine + u[:, None] * (theirs - mine)

            def loss(judge, noise=noise, between=between):
                first, last = judge.body.layers  # the slope of relu, by hand
                x = np.concatenate([obs, between], axis=-1)
                on = x @ first.weight + first.bias > 0
                grad = (on * last.weight[:, 0]) @ first.weight[len(obs[0]) :].T
                slope = np.sqrt((grad**2).sum(-1) + 1e-8)
                steep = np.maximum(slope - 1, 0) ** 2
                apart = self(actor, obs, theirs, noise, judge)
                return (ETA * steep - apart).mean()

            self.judge = self.adam.step(self.judge, loss)


class Cloning:
    """Maximum likelihood with an entropy that is worth as much as keeps it at -2."""

    def __init__(self, clone):
        self.clone, self.weight = clone, np.array(1.0)
        self.adams = [Adam(x, rate=SLOWER) for x in (clone, self.weight)]

    def learn(self, obs, unit, key):
        noise = exact(jnp.stack([jr.normal(k, (ACT,)) for k in jr.split(key, B)]))
        weight = self.weight
        own = squashed(self.clone, obs, noise)[1].mean()

        def loss(b):
            likely = density(b, obs, unit).mean()
            return weight * squashed(b, obs, noise)[1].mean() - likely

        self.clone = self.adams[0].step(self.clone, loss)
        self.weight = self.adams[1].step(self.weight, lambda w: w * (-own + ACT))
        self.weight = np.maximum(self.weight, 0)


SETTINGS = {
    "kl": {"penalty": "value", "critics": 2, "mix": 1.0},
    "mmd": {"penalty": "policy", "critics": 4, "mix": 0.6, "automatic": True},
    "dual-kl": {"penalty": "value", "critics": 1, "mix": 1.0},
    "wasserstein": {"penalty": "value", "critics": 2, "mix": 0.7, "automatic": True},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_brac(kind):
    """Two updates of the clone, if there is one; two of the rest, the first without
    Q. Of the implementation only the noise is borrowed."""
    hp = {"automatic": False, **SETTINGS[kind]}
    dual = kind in ("dual-kl", "wasserstein")
    algorithm = BRAC(
        divergence=kind,
        alpha=0.4,
        target_divergence=0.05,
        entropy=ENTROPY,
        samples=N,
        sigma=SIGMA,
        judge_steps=2,
        gradient_penalty=ETA,
        cloning=2,
        warm_start=1,
        learning_rate=RATE,
        critic_rate=SLOW,
        clone_rate=SLOWER,
        gamma=GAMMA,
        tau=TAU,
        hidden=(4,),
        critic_hidden=(4,),
        **SETTINGS[kind],
    )
    ahead = dual and hp["penalty"] == "value"
    window = (2,) if ahead else ()
    states, batches = learn(
        algorithm, Spec(OBS, BOX), uniform, 2 if dual else 4, *window
    )
    actor, critic = exact(states[0].actor.net), exact(states[0].critic.net)
    target_critic, alpha = critic, np.array(0.4)
    adams = [Adam(actor, rate=RATE), Adam(critic, rate=SLOW), Adam(alpha, rate=SLOW)]
    if dual:
        apart = Dual(kind, exact(states[0].behaviour.net))
    else:
        cloning = Cloning(exact(states[0].behaviour.actor.net))
    for count, (batch, seed) in enumerate(batches):
        k_clone, k_learn = jr.split(jr.key(seed))
        obs, unit, reward, terminated, next_obs = numbers(batch)
        over, weight = exact(batch.steps.over), exact(batch.weight)
        next_unit = None
        if ahead:
            next_unit = unit[:, 1]
            obs, unit, reward, terminated, next_obs, over = (
                x[:, 0] for x in (obs, unit, reward, terminated, next_obs, over)
            )
        if not dual and count < 2:
            cloning.learn(obs, unit, k_clone)
            continue
        if not dual:
            apart = Primal(kind, cloning.clone)
        started = count >= (1 if dual else 3)
        k_penalty, k_target, k_apart, k_actor, k_judge = jr.split(k_learn, 5)
        penalty = 0.0
        if hp["penalty"] == "value":
            there = apart(actor, next_obs, next_unit, apart.noise(k_penalty))
            penalty = alpha * there * (1 - over if ahead else 1)
        next_noise, noise = (single(jr.split(k, B)) for k in (k_target, k_actor))
        action, log_prob = squashed(actor, next_obs, next_noise)
        value = blend(q_values(target_critic, next_obs, action), hp["mix"])
        value = value - ENTROPY * log_prob - penalty
        y = reward + GAMMA * (1 - terminated) * value

        def evaluate(c, obs=obs, unit=unit, y=y, weight=weight):
            return bellman(c, obs, unit, y, weight)

        critic = adams[1].step(critic, evaluate)
        div_noise = apart.noise(k_apart)

        def regret(
            a,
            obs=obs,
            unit=unit,
            noise=noise,
            div_noise=div_noise,
            apart=apart,
            critic=critic,
            alpha=alpha,
            started=started,
        ):
            action, log_prob = squashed(a, obs, noise)
            q = blend(q_values(critic, obs, action), hp["mix"]) * started
            return (
                alpha * apart(a, obs, unit, div_noise) + ENTROPY * log_prob - q
            ).mean()

        excess = apart(actor, obs, unit, div_noise).mean() - 0.05
        actor = adams[0].step(actor, regret)
        if dual:
            apart.learn(actor, obs, unit, k_judge, 2)
        if hp["automatic"]:
            alpha = adams[2].step(alpha, lambda a, e=excess: -a * e)
        target_critic = polyak(target_critic, critic, TAU)
    last = states[-1]
    assert_close(last.critic.net, critic)
    assert_close(last.target_critic, target_critic)
    assert_close(last.actor.net, actor)
    assert_close(last.alpha.net, alpha)
    if dual:
        assert_close(last.behaviour.net, apart.judge)
    else:
        assert_close(last.behaviour.actor.net, cloning.clone)
        assert_close(last.behaviour.entropy.net, cloning.weight)
        assert_close(states[2].actor.net, states[0].actor.net)  # nothing but the clone


@pytest.mark.parametrize(("target", "wanted"), [(1e3, 0.0), (0.0, 0.41)])
def test_the_weight_of_the_divergence_stays_in_its_range(target, wanted):
    algorithm = BRAC(
        automatic=True, alpha_max=0.41, target_divergence=target, critic_rate=0.3
    )
    alpha = trainable(jnp.array(0.4), algorithm.tx)
    for _ in range(2):
        alpha = algorithm._weight(alpha, jnp.array(2.0))
    assert float(alpha.net) == pytest.approx(wanted)
    fixed = dataclasses.replace(algorithm, automatic=False)
    assert float(fixed._weight(alpha, jnp.array(2.0)).net) == float(alpha.net)


# What was done is N(0.2, 0.4²) before tanh, and worth -k (x - 1)² / 2.
MEAN, STD, K, BEST = 0.2, 0.4, 2.0, 1.0
PLAIN = {
    "learning_rate": 3e-3,
    "critic_rate": 3e-3,
    "clone_rate": 1e-2,
    "cloning": 1000,
    "warm_start": 0,
    "hidden": (16,),
    "critic_hidden": (32, 32),
    "shown": 1,
}


def gaussian_bandit(rng, n):
    x = MEAN + STD * rng.normal(size=(n, 1))
    return np.tanh(x), -K * (x[:, 0] - BEST) ** 2 / 2


def regularised(alpha):
    """The optimum `b exp(r / α)` is a normal, too: its mean, its standard deviation,
    and `α log E_b exp(r / α)`, what the state is worth with the divergence paid."""
    precision, pull = 1 / STD**2, K / alpha
    mean = (precision * MEAN + pull * BEST) / (precision + pull)
    worth = -((MEAN - BEST) ** 2) / (2 * (STD**2 + 1 / pull))
    worth += 0.5 * np.log(precision / (precision + pull))
    return mean, (precision + pull) ** -0.5, alpha * worth


def test_the_kl_regularised_optimum_of_a_gaussian_bandit():
    action, reward = gaussian_bandit(np.random.default_rng(0), 4000)
    steps = episodes_of_one(np.ones((4000, 1)), action, reward)
    algorithm = BRAC(alpha=0.5, **PLAIN)
    state, metrics = taught(algorithm, ONE, steps, 3000)
    mean, std, _ = regularised(0.5)
    pi = state.actor.net(jnp.ones(1))
    assert float(pi.mean[0]) == pytest.approx(mean, abs=0.06)
    assert np.exp(float(pi.log_std[0])) == pytest.approx(std, rel=0.15)
    assert shown(algorithm, state, [1.0]) == pytest.approx(np.tanh(pi.mean), abs=1e-5)
    kl = np.log(STD / std) + (std**2 + (mean - MEAN) ** 2) / (2 * STD**2) - 0.5
    found = np.mean(metrics["divergence"][-500:])
    assert found == pytest.approx(kl, abs=0.08)


@pytest.mark.parametrize("penalty", [0.0, 5.0])
def test_a_judge_finds_the_kl_of_two_normals(penalty):
    """As long as nothing holds its slope; with the penalty it stays below."""
    algorithm = BRAC(divergence="dual-kl", hidden=(), critic_hidden=(32,))
    state = algorithm.init(ONE, key=jr.key(0))
    where = lambda a: a.body.layers[0].bias
    spread = np.arctanh(2 * (np.log(STD) + 5) / 5 - 1)  # the first of log_std
    actor = eqx.tree_at(where, state.actor.net, jnp.array([0.6, spread], jnp.float32))
    obs = jnp.zeros((256, 1))

    def step(judge, k):
        k_data, k_judge, k_apart = jr.split(k, 3)
        theirs = jnp.tanh(MEAN + STD * jr.normal(k_data, (256, 1)))
        one = lambda s, a, k: dual("dual-kl", actor, judge.net, s, a, key=k)[0]
        apart = jax.vmap(one)(obs, theirs, jr.split(k_apart, 256)).mean()
        judge = learn_judge(
            algorithm.tx,
            judge,
            actor,
            obs,
            theirs,
            kind="dual-kl",
            penalty=penalty,
            times=1,
            rate=3e-3,
            key=k_judge,
        )
        return judge, apart

    run = jax.jit(lambda j, k: jax.lax.scan(step, j, jr.split(k, 3000))[1])
    found = float(run(state.behaviour, jr.key(1))[-1000:].mean())
    kl = (0.6 - MEAN) ** 2 / (2 * STD**2)  # of equal spread
    if penalty == 0:
        assert found == pytest.approx(kl, rel=0.1)
    else:
        assert 0.1 * kl < found < 0.8 * kl


@pytest.mark.parametrize("penalty", ["value", "policy"])
def test_what_comes_before_is_worth_the_divergence_less(penalty):
    """A first step that pays nothing, then the bandit: with the penalty in the value
    it is worth γ α log E_b exp(r / α), without it γ E_π r."""
    rng = np.random.default_rng(0)
    action, reward = gaussian_bandit(rng, 4000)
    second = rng.random(4000) < 0.5
    real = lambda x: jnp.asarray(x, jnp.float32)
    obs = np.eye(2)[second.astype(int)]
    steps = Transition(
        real(obs),
        real(action),
        real(reward * second),
        jnp.asarray(second),
        jnp.zeros(4000, bool),
        real(np.tile([0.0, 1.0], (4000, 1))),
    )
    algorithm = BRAC(
        alpha=0.5, penalty=penalty, gamma=0.8, tau=0.05, critics=1, **PLAIN
    )
    state, _ = taught(algorithm, Spec(box(0, 1, 2), box(-1, 1, 1)), steps, 3000)
    mean, std, soft = regularised(0.5)
    plain = -K * ((mean - BEST) ** 2 + std**2) / 2
    q = jax.vmap(lambda a: state.critic.net(jnp.array([1.0, 0.0]), a)[0])
    found = np.asarray(q(jnp.linspace(-0.5, 0.7, 5)[:, None]))
    wanted = 0.8 * (soft if penalty == "value" else plain)
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert 0.8 * abs(soft - plain) > 0.14  # the two are far apart


def point_bandit(kind, **how):
    """What was done is always 0, and a is worth -2 (a - 0.5)²: the policy's mean."""
    rng = np.random.default_rng(0)
    # so that values are known beside 0, too: a few percent of anything
    action = rng.uniform(-1, 1, (4000, 1)) * (rng.random((4000, 1)) < 0.05)
    reward = -2 * (action[:, 0] - 0.5) ** 2
    steps = episodes_of_one(np.ones((4000, 1)), action, reward)
    algorithm = BRAC(divergence=kind, penalty="policy", **PLAIN, **how)
    state, _ = taught(algorithm, ONE, steps, 3000)
    return float(shown(algorithm, state, [1.0])[0])


def test_the_wasserstein_regularised_optimum_beside_a_point():
    """The distance to 0 is |a|, so that the best is `0.5 - α / 4`, as far as it is
    positive; without a penalty it would be 0.5."""
    assert point_bandit("wasserstein", alpha=1.0) == pytest.approx(0.25, abs=0.06)


def test_the_mmd_regularised_optimum_beside_a_point():
    """The squared MMD to 0 is `2 (1 - exp(-|a| / σ))`."""
    grid = np.linspace(0, 1, 1001)
    worth = -2 * (grid - 0.5) ** 2 - 0.6 * 2 * (1 - np.exp(-grid / 1.5))
    wanted = grid[worth.argmax()]
    found = point_bandit("mmd", alpha=0.6, sigma=1.5)
    assert found == pytest.approx(wanted, abs=0.08)
    assert wanted < 0.4


def test_until_it_is_done_the_clone_acts():
    t = TimeStep(jnp.ones(3), jnp.zeros(()), jnp.array(False))
    algorithm = BRAC(cloning=2, shown=1, hidden=(4,), critic_hidden=(4,))
    fresh = algorithm.init(Spec(OBS, BOX), key=jr.key(0))
    for count in (1, 2, 3):
        state = eqx.tree_at(lambda s: s.step, fresh, jnp.array(count))
        acting = state.behaviour.actor if count <= 2 else state.actor
        mode = np.tanh(acting.net(t.obs).mean)
        found = algorithm.policy(state)((), t, key=jr.key(0), explore=False)[0]
        np.testing.assert_allclose(found, 2 * mode + 1, rtol=1e-5)
