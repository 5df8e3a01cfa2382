"""TD3, SAC and discrete SAC against the papers' algorithm boxes in float64 NumPy."""

import dataclasses
import functools as ft

import equinox as eqx
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
    member,
    mlp,
    polyak,
)

from peira.algos.online import sac, td3
from peira.algos.online.sac import SAC
from peira.algos.online.sac_discrete import DiscreteSAC
from peira.algos.online.td3 import TD3
from peira.core import BadConfig, Discrete, Sample, Spec, TimeStep, Transition


B, RATE, GAMMA, TAU = 4, 0.01, 0.9, 0.1
BOX = box(-1, 3, 2)
SMALL = {"learning_rate": RATE, "gamma": GAMMA, "tau": TAU, "hidden": (4,)}
LOW, HIGH, BINS, SIGMA = -1.0, 2.0, 5, 0.6
ATOMS = np.linspace(LOW, HIGH, BINS)
SUPPORT = {"value_low": LOW, "value_high": HIGH, "bins": BINS, "sigma": SIGMA}
LOSSES = ["mse", "two-hot", "hl-gauss"]


def uniform(rng, shape):
    return rng.uniform(-1, 3, (*shape, 2)).astype(np.float32)


def choice(rng, shape):
    return rng.integers(0, 3, shape).astype(np.int32)


def sample(seed, action):
    weight = jnp.asarray(np.random.default_rng(seed).uniform(0.2, 1, B), jnp.float32)
    return Sample(made_up(seed, action, B), weight, jnp.arange(B))


def numbers(batch):
    s = exact(batch.steps)
    return s.obs, s.action, s.reward, s.terminated, s.next_obs, exact(batch.weight)


def outputs(critic, obs, unit):
    x = np.concatenate([obs, unit], axis=-1)
    return np.stack([mlp(member(critic, i).body, x) for i in range(2)], axis=1)


def q_values(critic, obs, unit):
    """Of a batch, by both critics: what they say, or the mean of their histograms."""
    said = outputs(critic, obs, unit)
    return said[..., 0] if said.shape[-1] == 1 else np.exp(log_softmax(said)) @ ATOMS


def critic_loss(how, critic, obs, unit, y, weight):
    """Squared errors, or cross-entropies, summed over the critics."""
    miss = (q_values(critic, obs, unit) - y[:, None]) ** 2
    if how != "mse":
        aim = np.array([histogram(how, x, ATOMS, sigma=SIGMA) for x in y])
        miss = -(aim[:, None] * log_softmax(outputs(critic, obs, unit))).sum(axis=-1)
    return (weight[:, None] * miss).sum(axis=-1).mean()


def learn(algorithm, spec, action, updates):
    """The states before and after some updates, and the batches with their keys."""
    state = algorithm.init(spec, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k)[0])
    states, batches = [state], [(sample(i, action), i + 1) for i in range(updates)]
    for batch, seed in batches:
        states.append(update(states[-1], batch, jr.key(seed)))
    return states, batches


@pytest.mark.parametrize("how", LOSSES)
def test_td3(how):
    """Algorithm 1, three updates; the smoothing noise is the only thing borrowed."""
    smooth = {"target_noise": 0.4, "target_clip": 0.3}
    algorithm = TD3(**SMALL, **SUPPORT, **smooth, value_loss=how)
    states, batches = learn(algorithm, Spec(box(-2, 2, 3), BOX), uniform, 3)
    actor, critic = exact(states[0].actor.net), exact(states[0].critic.net)
    target_actor, target_critic = actor, critic
    critic_adam, actor_adam = Adam(critic, rate=RATE), Adam(actor, rate=RATE)
    for count, (batch, seed) in enumerate(batches, 1):
        obs, action, reward, terminated, next_obs, weight = numbers(batch)
        unit = (action + 1) / 2 - 1  # of bounds -1 and 3
        noise = 0.4 * exact(jr.normal(jr.key(seed), (B, 2)))
        next_unit = np.tanh(mlp(target_actor.body, next_obs))
        next_unit = np.clip(next_unit + np.clip(noise, -0.3, 0.3), -1, 1)
        best = q_values(target_critic, next_obs, next_unit).min(axis=-1)
        y = reward + GAMMA * (1 - terminated) * best

        critic = critic_adam.step(
            critic, lambda c, at=(obs, unit, y, weight): critic_loss(how, c, *at)
        )
        if count % 2 == 0:

            def worth(a, obs=obs, critic=critic):
                return -q_values(critic, obs, np.tanh(mlp(a.body, obs)))[:, 0].mean()

            actor = actor_adam.step(actor, worth)
            target_actor = polyak(target_actor, actor, TAU)
            target_critic = polyak(target_critic, critic, TAU)
    assert_close(states[-1].critic.net, critic)
    assert_close(states[-1].actor.net, actor)
    assert_close(states[-1].target_critic, target_critic)
    assert_close(states[-1].target_actor, target_actor)
    assert_close(states[1].actor.net, states[0].actor.net)  # delayed


def squashed(actor, obs, noise):
    """An action and its log-probability by the change of variables."""
    mean, log_std = np.split(mlp(actor.body, obs), 2, axis=-1)
    log_std = np.clip(log_std, -20, 2)
    x = mean + np.exp(log_std) * noise
    log_normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return np.tanh(x), (log_normal - np.log(1 - np.tanh(x) ** 2)).sum(axis=-1)


def noises(key):
    keys = jr.split(key, B)
    return exact(jnp.stack([jr.normal(k, (2,)) for k in keys]))


@pytest.mark.parametrize(
    ("how", "automatic"), [*((how, True) for how in LOSSES), ("mse", False)]
)
def test_sac(how, automatic):
    """Algorithm 1 of the second paper, two updates."""
    warm = {"alpha": 0.5, "automatic": automatic}
    algorithm = SAC(**SMALL, **SUPPORT, **warm, value_loss=how)
    states, batches = learn(algorithm, Spec(box(-2, 2, 3), BOX), uniform, 2)
    actor, critic = exact(states[0].actor.net), exact(states[0].critic.net)
    log_alpha, target_critic = np.log(np.array(0.5)), critic
    adams = [Adam(x, rate=RATE) for x in (critic, actor, log_alpha)]
    for batch, seed in batches:
        obs, action, reward, terminated, next_obs, weight = numbers(batch)
        unit, alpha = (action + 1) / 2 - 1, np.exp(log_alpha)
        k_target, k_actor = jr.split(jr.key(seed))
        next_unit, next_log_prob = squashed(actor, next_obs, noises(k_target))
        best = q_values(target_critic, next_obs, next_unit).min(axis=-1)
        y = reward + GAMMA * (1 - terminated) * (best - alpha * next_log_prob)
        noise = noises(k_actor)

        critic = adams[0].step(
            critic, lambda c, at=(obs, unit, y, weight): critic_loss(how, c, *at)
        )

        def regret(a, obs=obs, noise=noise, alpha=alpha, critic=critic):
            mine, log_prob = squashed(a, obs, noise)
            return (alpha * log_prob - q_values(critic, obs, mine).min(axis=-1)).mean()

        log_prob = squashed(actor, obs, noise)[1].mean()
        actor = adams[1].step(actor, regret)
        if automatic:
            log_alpha = adams[2].step(log_alpha, lambda la, l=log_prob: -la * (l - 2))
        target_critic = polyak(target_critic, critic, TAU)
    assert_close(states[-1].critic.net, critic)
    assert_close(states[-1].actor.net, actor)
    assert_close(states[-1].log_alpha.net, log_alpha)
    assert_close(states[-1].target_critic, target_critic)


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("cls", [TD3, SAC])
def test_a_world_of_one_state_has_the_value_of_its_fixed_point(cls, how):
    """1 a step for ever is worth 1 / (1 - γ) = 2, whatever is done: between two atoms,
    and far from the middle of all, where histograms begin."""
    still = {"alpha": 1e-6, "automatic": False} if cls is SAC else {}
    support = {"value_low": -1.0, "value_high": 8.0, "bins": 8}
    fast = {"gamma": 0.5, "tau": 0.2, "learning_rate": 0.02, "hidden": ()}
    algorithm = cls(**support, **fast, **still, value_loss=how)
    one = sample(0, uniform)
    forever = dataclasses.replace(
        one.steps,
        obs=jnp.ones((B, 3)),
        next_obs=jnp.ones((B, 3)),
        reward=jnp.ones(B),
        terminated=jnp.zeros(B, bool),
    )

    def learn(state, key):
        k_action, k_update = jr.split(key)
        action = jr.uniform(k_action, (B, 2), minval=-1.0, maxval=3.0)
        steps = dataclasses.replace(forever, action=action)
        batch = Sample(steps, jnp.ones(B), one.index)
        state, report = algorithm.update(state, batch, key=k_update)
        return state, (report.metrics["value"], report.surprise)

    begun = algorithm.init(Spec(box(-2, 2, 3), BOX), key=jr.key(0))
    run = jax.jit(lambda s: jax.lax.scan(learn, s, jr.split(jr.key(0), 1000)))
    _, (value, surprise) = run(begun)
    assert value[-1] == pytest.approx(2.0, abs=0.02)
    assert (surprise[-1] < 0.02).all()
    assert (surprise[0] > 0.3).all()


@pytest.mark.parametrize("cls", [TD3, SAC])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"value_loss": "hl-gauss"}, "value_loss = hl-gauss needs value_low and"),
        (
            {"value_loss": "two-hot", "value_low": 1.0, "value_high": 0.0},
            "value_loss = two-hot: nothing lies between value_low = 1 and",
        ),
        ({"bins": 1}, "bins = 1: must lie in"),
    ],
)
def test_a_support_is_asked_for_in_one_line(cls, fields, words):
    with pytest.raises(BadConfig, match=rf"{cls.__name__}\.{words}") as error:
        cls(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("automatic", [True, False])
def test_discrete_sac(automatic):
    algorithm = DiscreteSAC(**SMALL, alpha=0.5, automatic=automatic, entropy_ratio=0.7)
    states, batches = learn(algorithm, Spec(box(-2, 2, 3), Discrete(3)), choice, 2)
    actor, critic = exact(states[0].actor.net), exact(states[0].critic.net)
    log_alpha, target_critic = np.log(np.array(0.5)), critic
    adams = [Adam(x, rate=RATE) for x in (critic, actor, log_alpha)]

    def all_q(c, obs):
        return np.stack([mlp(member(c, i).body, obs) for i in range(2)], axis=-1)

    for batch, _ in batches:
        obs, action, reward, terminated, next_obs, weight = numbers(batch)
        action, alpha = action.astype(int), np.exp(log_alpha)
        log_pi = log_softmax(mlp(actor.body, next_obs))
        soft = all_q(target_critic, next_obs).min(axis=-1) - alpha * log_pi
        y = reward + GAMMA * (1 - terminated) * (np.exp(log_pi) * soft).sum(axis=-1)

        def bellman(c, obs=obs, action=action, y=y, weight=weight):
            td = all_q(c, obs)[np.arange(B), action] - y[:, None]
            return (weight * (td**2).sum(axis=-1)).mean() / 2

        critic = adams[0].step(critic, bellman)
        q = all_q(critic, obs).min(axis=-1)

        def regret(a, obs=obs, q=q, alpha=alpha):
            log_pi = log_softmax(mlp(a.body, obs))
            return (np.exp(log_pi) * (alpha * log_pi - q)).sum(axis=-1).mean()

        log_pi = log_softmax(mlp(actor.body, obs))
        negentropy = (np.exp(log_pi) * log_pi).sum(axis=-1).mean()
        actor = adams[1].step(actor, regret)
        if automatic:
            wanted = 0.7 * np.log(3)
            log_alpha = adams[2].step(
                log_alpha, lambda la, n=negentropy, w=wanted: -la * (n + w)
            )
        target_critic = polyak(target_critic, critic, TAU)
    assert_close(states[-1].critic.net, critic)
    assert_close(states[-1].actor.net, actor)
    assert_close(states[-1].log_alpha.net, log_alpha)
    assert_close(states[-1].target_critic, target_critic)


def test_a_chain_of_states_has_the_values_of_its_linear_system():
    """TD3's and SAC's targets, iterated on a table: a time limit is bootstrapped
    through, a death is not."""
    reward, follows, terminated, truncated, value = chain(gamma=GAMMA)
    n = len(value)
    spec = Spec(Discrete(n), box(-1, 1, 1))
    steps = Transition(
        jnp.arange(n),
        jnp.zeros((n, 1)),
        jnp.asarray(reward),
        jnp.asarray(terminated),
        jnp.asarray(truncated),
        jnp.asarray(follows),
    )
    linear = {"hidden": (), "gamma": GAMMA}  # one weight per state: a table
    first, second = (
        a.init(spec, key=jr.key(0)) for a in (TD3(**linear), SAC(**linear))
    )

    def tabulate(critic, y):
        table = jnp.tile(jnp.append(y, 0.0)[None, :, None], (2, 1, 1))
        zero = jnp.zeros_like(critic.members.body.layers[0].bias)
        where = lambda c: [
            c.members.body.layers[0].weight,
            c.members.body.layers[0].bias,
        ]
        return eqx.tree_at(where, critic, [table, zero])

    smoothed = ft.partial(td3.target, gamma=GAMMA, noise=0.2, clip=0.5)
    entropic = ft.partial(sac.target, gamma=GAMMA)
    for backup in (
        lambda c: smoothed(first.actor.net, c, steps, key=jr.key(0)),
        lambda c: entropic(second.actor.net, c, steps, jnp.zeros(()), key=jr.key(0)),
    ):
        y, backup = jnp.zeros(n), jax.jit(backup)
        for _ in range(n + 1):
            y = backup(tabulate(first.critic.net, y))
        np.testing.assert_allclose(y, value, rtol=1e-5)


def test_before_the_first_update_actions_fill_the_box():
    spec = Spec(box(-2, 2, 3), BOX)
    t = TimeStep(jnp.ones(3), jnp.zeros(()), jnp.array(False))
    for algorithm in (TD3(hidden=(4,)), SAC(hidden=(4,))):
        state = algorithm.init(spec, key=jr.key(0))
        policy = algorithm.policy(state)
        act = jax.jit(jax.vmap(lambda k, p=policy: p((), t, key=k, explore=True)[0]))
        actions = np.asarray(act(jr.split(jr.key(0), 2000)))
        assert BOX.contains(actions).all()
        np.testing.assert_allclose(actions.mean(axis=0), 1, atol=0.1)
        np.testing.assert_allclose(actions.std(axis=0), 4 / np.sqrt(12), atol=0.06)


def test_before_the_first_update_a_finite_choice_is_uniform():
    algorithm = DiscreteSAC(hidden=(4,))
    policy = algorithm.policy(
        algorithm.init(Spec(box(-2, 2, 3), Discrete(3)), key=jr.key(0))
    )
    t = TimeStep(jnp.array([9.0, -9.0, 9.0]), jnp.zeros(()), jnp.array(False))
    act = jax.jit(jax.vmap(lambda k: policy((), t, key=k, explore=True)[0]))
    count = np.bincount(act(jr.split(jr.key(0), 3000)), minlength=3)
    assert ((count - 1000) ** 2 / 1000).sum() < 14  # 2 degrees of freedom
