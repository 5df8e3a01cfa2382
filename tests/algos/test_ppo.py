"""PPO against the paper in float64 NumPy, and each of the nine switches by what it
alone changes.
"""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from reference import Adam, assert_close, box, chain, exact, log_softmax, made_up, mlp

from peira.algos.online.actor_critic import Memory, value_loss
from peira.algos.online.ppo import policy_loss, PPO
from peira.core import BadConfig, Discrete, MultiDiscrete, Spec, TimeStep
from peira.data import Rollout, ScaledRewards
from peira.ops import gae, Moments


T, ENVS, GAMMA, LAM, EPS = 3, 2, 0.9, 0.8, 0.2
REAL = Spec(box(-2, 2, 3), box(-1, 3, 2), updates=4)
CHOICE = Spec(box(-2, 2, 3), Discrete(3), updates=4)
SMALL = {"hidden": (4,), "epochs": 1, "minibatches": 1, "gamma": GAMMA, "rollout": T}


def rollout(spec, seed=0):
    """Steps whose log-probabilities are not quite those of the policy."""
    rng = np.random.default_rng(100 + seed)
    if spec is REAL:
        choice = jnp.asarray(rng.normal(size=(T, ENVS, 2)), jnp.float32)
    else:
        choice = jnp.asarray(rng.integers(0, 3, (T, ENVS)), jnp.int32)
    old = rng.uniform(-3, -1, (T, ENVS))
    memory = Memory(choice, jnp.asarray(old, jnp.float32))
    return made_up(seed, lambda r, s: np.asarray(choice), T, ENVS, extras=memory)


def log_prob_and_entropy(net, obs, choice):
    out = mlp(net.actor, obs, np.tanh)
    if choice.ndim == 1:
        log_pi = log_softmax(out)
        rows = np.arange(len(choice))
        return log_pi[rows, choice.astype(int)], -(np.exp(log_pi) * log_pi).sum(-1)
    z = (choice - out) / np.exp(net.log_std)
    log_prob = -0.5 * z**2 - net.log_std - 0.5 * np.log(2 * np.pi)
    entropy = (net.log_std + 0.5 * np.log(2 * np.pi * np.e)).sum()
    return log_prob.sum(axis=-1), np.full(len(choice), entropy)


def advantages(s, value, next_value):
    out = np.zeros((T, ENVS))
    for e in range(ENVS):
        later = 0.0
        for t in reversed(range(T)):
            follows = (1 - s.terminated[t, e]) * next_value[t, e]
            delta = s.reward[t, e] + GAMMA * follows - value[t, e]
            over = s.terminated[t, e] or s.truncated[t, e]
            later = delta + GAMMA * LAM * (0.0 if over else later)
            out[t, e] = later
    return out


@pytest.mark.parametrize("spec", [REAL, CHOICE], ids=["real", "choice"])
@pytest.mark.parametrize("clip_value", [True, False])
def test_update(spec, clip_value):
    """Three updates of one epoch and one minibatch, everything switched on."""
    algorithm = PPO(
        **SMALL,
        learning_rate=0.05,
        gae_lambda=LAM,
        entropy_cost=0.1,
        value_cost=0.7,
        clip_value=clip_value,
        max_gradient=0.4,
    )
    state = algorithm.init(spec, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k)[0])
    net = exact(state.net.net)
    adam = Adam(net, rate=None, eps=1e-5, max_norm=0.4)
    seen = []
    for count in range(3):
        batch = rollout(spec, count)
        state = update(state, batch, jr.key(count))
        s = exact(batch)
        if seen:
            past = np.concatenate(seen).reshape(-1, 3)
            mean, std = past.mean(axis=0), np.sqrt(past.var(axis=0) + 1e-8)
        else:
            mean, std = 0.0, 1.0
        scaled = lambda x, m=mean, d=std: np.clip((x - m) / d, -10, 10)
        seen.append(s.obs)
        obs, next_obs = scaled(s.obs), scaled(s.next_obs)
        worth = lambda w, o: mlp(w.critic, o, np.tanh)[..., 0]
        value, next_value = worth(net, obs), worth(net, next_obs)
        advantage = advantages(s, value, next_value)
        target = (advantage + value).ravel()
        z = (advantage.ravel() - advantage.mean()) / advantage.std()
        flat = obs.reshape(-1, 3)
        choice = s.extras.choice.reshape(T * ENVS, *s.extras.choice.shape[2:])
        old_log_prob, old_value = s.extras.log_prob.ravel(), value.ravel()

        def loss(
            w,
            flat=flat,
            choice=choice,
            old_log_prob=old_log_prob,
            old_value=old_value,
            z=z,
            target=target,
            worth=worth,
        ):
            log_prob, entropy = log_prob_and_entropy(w, flat, choice)
            ratio = np.exp(log_prob - old_log_prob)
            gain = np.minimum(ratio * z, np.clip(ratio, 1 - EPS, 1 + EPS) * z)
            v = worth(w, flat)
            miss = (v - target) ** 2
            if clip_value:
                near = old_value + np.clip(v - old_value, -EPS, EPS)
                miss = np.maximum(miss, (near - target) ** 2)
            return -gain.mean() + 0.7 * 0.5 * miss.mean() - 0.1 * entropy.mean()

        net = adam.step(net, loss, rate=0.05 * (1 - count / 4))
    assert_close(state.net.net, net)


def test_policy_loss_by_hand():
    """Of a ratio of 2: a gain is held at 1.2, a loss is not held."""
    ratio = jnp.log(jnp.array([2.0, 2.0, 0.5, 0.5]))
    advantage, old = jnp.array([1.0, -1.0, 1.0, -1.0]), jnp.zeros(4)
    loss = policy_loss(ratio, old, advantage, clip=0.2)
    assert loss == pytest.approx(-(1.2 - 2.0 + 0.5 - 0.8) / 4)
    plain = policy_loss(ratio, old, advantage, clip=0.2, clip_ratio=False)
    assert plain == pytest.approx(0.0)


def test_value_loss_by_hand():
    value, old, target = jnp.array([1.0]), jnp.array([0.0]), jnp.array([1.0])
    assert value_loss(value, old, target, clip=None) == 0
    assert value_loss(value, old, target, clip=0.2) == pytest.approx(0.5 * 0.8**2)
    away = jnp.array([-1.0])  # the larger of the two errors counts
    assert value_loss(away, old, target, clip=0.2) == pytest.approx(0.5 * 4)


def test_a_chain_of_states_has_the_values_of_its_linear_system():
    """The λ-return, iterated on a table, whatever λ: a time limit is bootstrapped
    through, a death is not."""
    reward, follows, terminated, truncated, value = chain(gamma=GAMMA)
    estimate = jax.jit(ft.partial(gae, gamma=GAMMA))
    for lam in (0.0, 0.5, 1.0):
        v = np.zeros(5, np.float32)
        for _ in range(6):
            v = v + estimate(reward, v, v[follows], terminated, truncated, lam=lam)
        np.testing.assert_allclose(v, value, rtol=1e-5)


@ft.cache
def behaviour(**switches):
    """The gradient step PPO takes with these switches, at a high rate: the weights
    before and after, and the report."""
    algorithm = PPO(**SMALL | {"learning_rate": 0.5} | switches)
    state = algorithm.init(REAL, key=jr.key(0))
    obs = jnp.asarray(np.random.default_rng(9).normal(3, 2, (20, 3)), jnp.float32)
    if state.moments:
        state = dataclasses.replace(state, moments=(Moments.zero((3,)).merge(obs),))
    state = dataclasses.replace(state, step=jnp.array(1, int))
    batch = rollout(REAL)
    batch = dataclasses.replace(batch, obs=batch.obs.at[0, 0, 0].set(1e3))
    after, report = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(1)))(
        state, batch
    )
    return state, after, report.metrics


def test_option_2_and_5_scale_and_clip_rewards():
    store = lambda **s: PPO(**SMALL | s).store(REAL)
    on = store()
    assert (on.divide, on.clip, on.gamma) == (True, 10.0, GAMMA)
    assert store(clip_rewards=False).clip is None
    assert isinstance(store(scale_rewards=False), ScaledRewards)
    assert not store(scale_rewards=False).divide
    neither = store(scale_rewards=False, clip_rewards=False)
    assert isinstance(neither, Rollout)
    assert neither.length == T


def test_option_3_orthogonal_initialisation():
    def columns(net, i):
        w = net.layers[i].weight
        return np.asarray(w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T)

    net = PPO(hidden=(8, 8)).init(REAL, key=jr.key(0)).net.net
    for head, gain in ((net.actor, 0.01), (net.critic, 1.0)):
        np.testing.assert_allclose(columns(head, 0), 2 * np.eye(3), atol=1e-5)
        np.testing.assert_allclose(columns(head, 1), 2 * np.eye(8), atol=1e-5)
        n = columns(head, 2).shape[0]
        np.testing.assert_allclose(columns(head, 2), gain**2 * np.eye(n), atol=1e-5)
        assert all((layer.bias == 0).all() for layer in head.layers)
    plain = PPO(hidden=(8, 8), orthogonal=False).init(REAL, key=jr.key(0)).net.net
    assert np.abs(columns(plain.actor, 0) - 2 * np.eye(3)).max() > 0.1
    assert jnp.abs(plain.actor.layers[1].weight).max() <= 8**-0.5


def test_option_4_annealing():
    assert behaviour()[2]["learning_rate"] == pytest.approx(0.5 * 3 / 4)
    assert behaviour(anneal=False)[2]["learning_rate"] == 0.5


def test_option_6_and_7_normalise_and_clip_observations():
    def hidden(**switches):
        """What the networks are shown of an observation far away."""
        algorithm = PPO(**SMALL | switches)
        state = behaviour(**switches)[0]
        policy = algorithm.policy(state)
        t = lambda x: TimeStep(jnp.full(3, x), jnp.zeros(()), jnp.array(False))
        show = lambda x: np.asarray(
            policy((), t(x), key=jr.key(0), explore=False)[2].choice
        )
        return show

    on, free = hidden(), hidden(clip_obs=False)
    raw = hidden(normalize_obs=False)
    np.testing.assert_array_equal(on(1e3), on(1e4))  # both at ten deviations
    assert (free(30.0) != on(30.0)).any()
    np.testing.assert_array_equal(on(3.0), free(3.0))  # within: no difference
    net = exact(behaviour()[0].net.net)
    known = exact(behaviour()[0].moments[0])
    z = (3.0 - known.mean) / np.sqrt(known.deviation / known.count)
    np.testing.assert_allclose(on(3.0), mlp(net.actor, z, np.tanh), rtol=1e-3)
    np.testing.assert_allclose(
        raw(3.0), mlp(net.actor, np.full(3, 3.0), np.tanh), rtol=1e-3
    )
    assert behaviour(normalize_obs=False)[1].moments == ()


def test_option_8_activations():
    tanh, relu = (
        PPO(**SMALL, activation=a).init(REAL, key=jr.key(0)).net.net
        for a in ("tanh", "relu")
    )
    x = jnp.array([1.0, -2.0, 0.5])
    w = exact(tanh)
    assert_close(tanh.actor(x), mlp(w.actor, exact(x), np.tanh))
    assert_close(relu.actor(x), mlp(w.actor, exact(x)))  # the same weights


def test_option_9_gradients_are_clipped():
    """Adam's first moment is a tenth of the gradient it was given."""

    def norm(**switches):
        opt = behaviour(**switches)[1].net.opt
        adam = [s for s in jax.tree.leaves(opt, is_leaf=is_adam) if is_adam(s)]
        return optax.tree.norm(adam[0].mu).item() / 0.1

    is_adam = lambda s: isinstance(s, optax.ScaleByAdamState)
    assert norm(max_gradient=0.01) == pytest.approx(0.01, rel=1e-4)
    assert norm(max_gradient=0.01, clip_gradients=False) > 0.1


def test_minibatches_must_divide_the_rollout():
    algorithm = PPO(**SMALL | {"minibatches": 4})
    with pytest.raises(BadConfig, match=r"minibatches = 4 must divide the 3 x 2"):
        algorithm.update(
            algorithm.init(REAL, key=jr.key(0)), rollout(REAL), key=jr.key(0)
        )


def test_the_first_ratio_is_exactly_one():
    """What the policy remembers is what the update computes again."""
    for spec in (REAL, CHOICE, Spec(box(-2, 2, 3), MultiDiscrete((2, 3)), updates=4)):
        algorithm = PPO(**SMALL | {"learning_rate": 1e-12})
        state = algorithm.init(spec, key=jr.key(0))
        policy = algorithm.policy(state)
        batch = made_up(0, lambda r, s: np.zeros(s), T, ENVS)

        def act(obs, key, policy=policy):
            t = TimeStep(obs, jnp.zeros(()), jnp.array(False))
            return policy((), t, key=key, explore=True)

        keys = jr.split(jr.key(1), (T, ENVS))
        action, _, memory = jax.vmap(jax.vmap(act))(batch.obs, keys)
        batch = dataclasses.replace(batch, action=action, extras=memory)
        report = algorithm.update(state, batch, key=jr.key(2))[1].metrics
        assert report["kl"] == pytest.approx(0, abs=1e-6)
        assert report["clipped"] == 0


def test_actions_are_clipped_into_the_box_and_remembered_unclipped():
    algorithm = PPO(**SMALL, initial_log_std=1.0)
    policy = algorithm.policy(algorithm.init(REAL, key=jr.key(0)))
    t = TimeStep(jnp.ones(3), jnp.zeros(()), jnp.array(False))
    one = lambda k: policy((), t, key=k, explore=True)
    action, _, memory = jax.vmap(one)(jr.split(jr.key(0), 200))
    np.testing.assert_allclose(
        action, 1 + 2 * jnp.clip(memory.choice, -1, 1), atol=1e-5
    )
    assert jnp.abs(memory.choice).max() > 2
