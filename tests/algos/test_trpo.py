"""TRPO against the paper in float64 NumPy: dense Fisher matrices, no automatic
derivative."""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import Adam, assert_close, exact, log_softmax, made_up, mlp
from test_ppo import advantages, CHOICE, GAMMA, LAM, log_prob_and_entropy, REAL, rollout

from peira.algos.online.ppo import PPO
from peira.algos.online.trpo import ascend, TRPO, Trust
from peira.core import BadConfig, TimeStep
from peira.data import Rollout, ScaledRewards


SMALL = {
    "hidden": (4,),
    "epochs": 1,
    "minibatches": 1,
    "gamma": GAMMA,
    "gae_lambda": LAM,
    "rollout": 3,
}


def laid(tree):
    """All numbers of a tree in one line, and the way back."""
    leaves, shape = jax.tree.flatten(tree)
    cuts = np.cumsum([x.size for x in leaves])[:-1]

    def back(w):
        parts = np.split(w, cuts)
        again = [p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(shape, again)

    return np.concatenate([x.ravel() for x in leaves]), back


def jacobian(f, w):
    """By central differences, `(..., weight)`."""
    wide = 1e-6 * np.eye(len(w))
    return np.stack([(f(w + e) - f(w - e)) / 2e-6 for e in wide], axis=-1)


def natural_step(spec, net, obs, choice, old_log_prob, z, *, delta, damping):
    """The policy's part of the networks after one step, and the share of it taken."""
    weights, back = laid((net.actor, net.log_std))

    def part(w):
        return eqx.tree_at(lambda n: (n.actor, n.log_std), net, back(w))

    out = lambda w: mlp(part(w).actor, obs, np.tanh)
    gain = lambda w: np.mean(
        np.exp(log_prob_and_entropy(part(w), obs, choice)[0] - old_log_prob) * z
    )
    moved = jacobian(out, weights)
    if spec is CHOICE:
        p = np.exp(log_softmax(out(weights)))
        inner = np.einsum("sa,ab->sab", p, np.eye(3)) - np.einsum("sa,sb->sab", p, p)
        kl = lambda w: (p * (log_softmax(out(weights)) - log_softmax(out(w)))).sum(-1)
    else:
        precision = np.exp(-2 * net.log_std)
        inner = np.tile(np.diag(precision), (len(obs), 1, 1))

        def kl(w):
            log_std = part(w).log_std
            apart = (out(weights) - out(w)) / np.exp(log_std)
            ratio = np.exp(2 * (net.log_std - log_std))
            return 0.5 * (apart**2 + ratio - 1 - np.log(ratio)).sum(-1)

    fisher = np.einsum("sai,sab,sbj->ij", moved, inner, moved) / len(obs)
    if spec is REAL:
        fisher[-2:, -2:] += 2 * np.eye(2)
    fisher += damping * np.eye(len(weights))
    slope = jacobian(gain, weights)
    x, residual = np.zeros_like(slope), slope
    direction = slope
    for _ in range(10):
        stride = residual @ residual / (direction @ fisher @ direction)
        x = x + stride * direction
        left = residual - stride * fisher @ direction
        direction = left + left @ left / (residual @ residual) * direction
        residual = left
    full = np.sqrt(2 * delta / (x @ fisher @ x)) * x
    for j in range(10):
        there = weights + 0.8**j * full
        if kl(there).mean() <= delta and gain(there) > gain(weights):
            return part(there), 0.8**j
    return net, 0.0


@pytest.mark.parametrize("spec", [REAL, CHOICE], ids=["real", "choice"])
@pytest.mark.parametrize(("delta", "damping"), [(0.01, 0.1), (0.5, 0.01)])
def test_update(spec, delta, damping):
    """Three updates in double precision, everything switched on; the larger region
    takes shorter steps than the first that is tried."""
    with jax.enable_x64(True):
        follow(spec, delta, damping)


def follow(spec, delta, damping):
    algorithm = TRPO(
        **SMALL,
        max_kl=delta,
        damping=damping,
        critic_rate=0.05,
        clip_value=True,
        max_gradient=0.4,
    )
    state = algorithm.init(spec, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k))
    net = exact(state.net.net)
    adam = Adam(net.critic, rate=None, eps=1e-5, max_norm=0.4)
    seen, shares = [], []
    for count in range(3):
        batch = rollout(spec, count)
        state, report = update(state, batch, jr.key(count))
        s = exact(batch)
        past = np.concatenate(seen).reshape(-1, 3) if seen else None
        mean = 0.0 if past is None else past.mean(axis=0)
        std = 1.0 if past is None else np.sqrt(past.var(axis=0) + 1e-8)
        scaled = lambda x, m=mean, d=std: np.clip((x - m) / d, -10, 10)
        seen.append(s.obs)
        worth = lambda critic, o: mlp(critic, o, np.tanh)[..., 0]
        value = worth(net.critic, scaled(s.obs))
        advantage = advantages(s, value, worth(net.critic, scaled(s.next_obs)))
        target, old_value = (advantage + value).ravel(), value.ravel()
        obs = scaled(s.obs).reshape(-1, 3)
        net, share = natural_step(
            spec,
            net,
            obs,
            s.extras.choice.reshape(len(obs), *s.extras.choice.shape[2:]),
            s.extras.log_prob.ravel(),
            (advantage.ravel() - advantage.mean()) / advantage.std(),
            delta=delta,
            damping=damping,
        )
        shares.append(share)
        assert report.metrics["share"] == pytest.approx(share, rel=1e-5)

        def loss(critic, obs=obs, target=target, old_value=old_value, worth=worth):
            v = worth(critic, obs)
            near = old_value + np.clip(v - old_value, -0.2, 0.2)
            return 0.5 * np.maximum((v - target) ** 2, (near - target) ** 2).mean()

        critic = adam.step(net.critic, loss, rate=0.05 * (1 - count / 4))
        net = eqx.tree_at(lambda n: n.critic, net, critic)
    assert_close(state.net.net, net, rtol=1e-5, atol=1e-5)
    assert (min(shares) == 1) == (delta < 0.1)


@ft.cache
def programs(spec):
    """What begins, acts and learns, for any size of the region."""
    sized = lambda delta: TRPO(**SMALL | {"rollout": 16}, max_kl=delta)

    def play(key):
        state = sized(0.01).init(spec, key=key)
        policy = sized(0.01).policy(state)
        batch = made_up(0, lambda r, s: np.zeros(s), 16, 4)
        act = lambda o, k: policy(
            (), TimeStep(o, jnp.zeros(()), jnp.array(False)), key=k, explore=True
        )
        action, _, memory = jax.vmap(jax.vmap(act))(batch.obs, jr.split(key, (16, 4)))
        return state, dataclasses.replace(batch, action=action, extras=memory)

    learn = lambda d, s, b: sized(d).update(s, b, key=jr.key(9))
    return jax.jit(play), jax.jit(learn)


@pytest.mark.parametrize("spec", [REAL, CHOICE], ids=["real", "choice"])
def test_a_step_stays_in_the_region_and_is_for_the_better(spec):
    """Divergence and gain are measured anew on the networks before and after."""
    play, learn = programs(spec)

    @jax.jit
    def measured(before, after, batch):
        flat = jax.tree.map(lambda x: x.reshape(64, *x.shape[2:]), batch)
        say = lambda s: jax.vmap(s.net.net.distribution)(flat.obs, None)
        return jax.vmap(lambda p, q: p.kl(q))(say(before), say(after)).mean()

    for delta in (1e-3, 1e-2, 0.3):
        for seed in range(3):
            state, batch = play(jr.key(seed))
            after, report = learn(delta, state, batch)
            kl = float(measured(state, after, batch))
            assert 0.05 * delta < kl <= delta  # and is not just afraid
            assert kl == pytest.approx(float(report.metrics["kl"]), rel=1e-2)
            assert report.metrics["policy_loss"] < 0


def test_a_quadratic_gain_in_a_round_region_is_climbed_by_its_radius():
    """Where KL is |w|² / 2 and the gain a slope: along it, to the edge."""
    slope = jnp.array([3.0, 4.0])
    problem = Trust(jnp.zeros(2), lambda w: slope @ w, lambda w: w @ w / 2, lambda w: w)
    how = {"max_kl": 0.02, "shrink": 0.8, "cg_steps": 3, "tries": 5}
    there, report = ascend(problem, damping=0.0, **how)
    # A rounding beyond the edge counts as beyond.
    np.testing.assert_allclose(there, 0.2 * slope / 5 * report["share"], rtol=1e-5)
    assert report["share"] >= 0.79
    there, _ = ascend(problem, damping=1.0, **how)
    np.testing.assert_allclose(there, 0.2 / 2**0.5 * slope / 5, rtol=1e-5)


def test_nothing_is_done_where_nothing_is_gained():
    top = lambda w: -jnp.square(w - 1).sum()
    problem = Trust(jnp.ones(2), top, lambda w: w @ w, lambda w: w)
    how = {"max_kl": 0.02, "damping": 0.1, "shrink": 0.8, "cg_steps": 3, "tries": 5}
    there, report = ascend(problem, **how)
    np.testing.assert_array_equal(there, 1)
    assert report["share"] == 0


def test_a_rollout_that_is_no_number_changes_nothing_and_is_counted():
    play, learn = programs(REAL)
    state, batch = play(jr.key(0))
    bad = dataclasses.replace(batch, reward=batch.reward.at[0, 0].set(jnp.nan))
    after, report = learn(0.01, state, bad)
    assert_close(after.net.net, state.net.net, rtol=0, atol=0)
    assert after.net.refused == 1
    assert report.metrics["share"] == 0


def test_options_are_those_of_ppo():
    on, off = TRPO().store(REAL), TRPO(scale_rewards=False, clip_rewards=False)
    assert isinstance(on, ScaledRewards)
    assert (on.divide, on.clip) == (True, 10.0)
    assert isinstance(off.store(REAL), Rollout)
    shared = {f.name: f for f in dataclasses.fields(PPO)}
    own = {"critic_rate", "cg_steps", "damping", "max_kl", "shrink", "tries"}
    for field in dataclasses.fields(TRPO):
        if field.name not in own:
            assert field.default == shared[field.name].default, field.name


def test_minibatches_must_divide_the_rollout():
    algorithm = TRPO(**SMALL | {"minibatches": 4})
    state, batch = algorithm.init(REAL, key=jr.key(0)), rollout(REAL)
    with pytest.raises(BadConfig, match=r"TRPO.minibatches = 4 must divide the 3 x 2"):
        algorithm.update(state, batch, key=jr.key(0))
