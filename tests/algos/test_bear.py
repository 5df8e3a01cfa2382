"""BEAR against its algorithm box in float64 NumPy; and where the constraint binds."""

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
    decoded,
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
    vae_loss,
)
from reference import Adam, assert_close, exact, mlp, polyak

from peira.algos.offline import bear
from peira.algos.offline.bear import BEAR
from peira.core import Spec
from peira.ops import descend


RATE, SLOW, GAMMA, TAU, MIX = 0.01, 0.004, 0.9, 0.1, 0.7
M = 3  # matches


def raw(actor, obs, noise):
    mean, log_std = np.split(mlp(actor.body, obs), 2, axis=-1)
    return mean + np.exp(np.clip(log_std, -20, 2)) * noise


def mmd(x, y, kernel, sigma):
    """`√(MMD² + 1e-6)` of samples `(batch, n, act)`, pair by pair."""

    def mean(a, b):
        d = a[:, :, None] - b[:, None]
        d = np.abs(d).sum(-1) if kernel == "laplacian" else (d**2).sum(-1)
        return np.exp(-d / (2 * sigma)).mean(axis=(1, 2))

    return np.sqrt(mean(x, x) + mean(y, y) - 2 * mean(x, y) + 1e-6)


@pytest.mark.parametrize(
    ("kernel", "judged", "critics", "cap"),
    [("laplacian", "min", 2, 10.0), ("gaussian", "mean", 3, 0.001)],
)
def test_bear(kernel, judged, critics, cap):
    """Algorithm 1, three updates, of which the first is without Q."""
    algorithm = BEAR(
        kernel=kernel,
        sigma=0.7,
        epsilon=0.1,
        matches=M,
        cap=cap,
        judged=judged,
        warm_start=1,
        critics=critics,
        mix=MIX,
        candidates=3,
        learning_rate=RATE,
        critic_rate=SLOW,
        gamma=GAMMA,
        tau=TAU,
        hidden=(4,),
        vae_hidden=(4,),
    )
    states, batches = learn(algorithm, Spec(OBS, BOX), uniform, 3)
    vae, actor, critic = (
        exact(x.net) for x in (states[0].vae, states[0].actor, states[0].critic)
    )
    target_actor, target_critic, log_alpha = actor, critic, np.array(0.0)
    adams = [Adam(x, rate=SLOW) for x in (vae, critic, log_alpha)]
    actor_adam = Adam(actor, rate=RATE)
    for count, (batch, seed) in enumerate(batches):
        obs, unit, reward, terminated, next_obs = numbers(batch)
        weight = exact(batch.weight)
        k_vae, k_target, k_theirs, k_mine = jr.split(jr.key(seed), 4)
        normal = lambda k, *shape: exact(jr.normal(k, (B, *shape)))
        latent, many = normal(k_vae, 2 * ACT), normal(k_target, 3, ACT)
        clipped = lambda k, n: np.clip(normal(k, M, n), -0.5, 0.5)  # noqa: B023
        z, noise = clipped(k_theirs, 2 * ACT), clipped(k_mine, ACT)

        def clone(v, obs=obs, unit=unit, latent=latent):
            return vae_loss(v, obs, unit, latent)

        vae = adams[0].step(vae, clone)
        there = repeated(next_obs, 3)
        q = q_values(target_critic, there, np.tanh(raw(target_actor, there, many)))
        best = blend(q, MIX).max(axis=-1)
        y = reward + GAMMA * (1 - terminated) * best

        def evaluate(c, obs=obs, unit=unit, y=y, weight=weight):
            return bellman(c, obs, unit, y, weight)

        critic = adams[1].step(critic, evaluate)
        here = repeated(obs, M)
        theirs, alpha = decoded(vae, here, z), np.exp(log_alpha)

        def apart(a, here=here, noise=noise, theirs=theirs):
            return mmd(raw(a, here, noise), theirs, kernel, 0.7)

        def loss(
            a,
            here=here,
            noise=noise,
            critic=critic,
            alpha=alpha,
            apart=apart,
            count=count,
        ):
            q = q_values(critic, here, np.tanh(raw(a, here, noise))).mean(axis=1)
            q = {"min": np.min, "mean": np.mean}[judged](q, axis=-1)
            return (alpha * apart(a) - (count >= 1) * q).mean()

        excess = apart(actor).mean() - 0.1
        actor = actor_adam.step(actor, loss)
        log_alpha = adams[2].step(log_alpha, lambda la, e=excess: -np.exp(la) * e)
        log_alpha = np.clip(log_alpha, -5, cap)
        target_actor = polyak(target_actor, actor, TAU)
        target_critic = polyak(target_critic, critic, TAU)
    last = states[-1]
    assert_close(last.vae.net, vae)
    assert_close(last.critic.net, critic)
    assert_close(last.actor.net, actor)
    assert_close(last.log_alpha.net, log_alpha)
    assert_close(last.target_actor, target_actor)
    assert_close(last.target_critic, target_critic)
    assert (cap < 1) == (log_alpha == cap)


DATA = np.array([-0.5, -0.5, 0.1, 0.5, 0.5])  # before tanh
EPSILON, SIGMA = 0.3, 1.0


def best_policy(kernel):
    """The normal of the highest worth within the constraint, on a grid."""
    noise = np.random.default_rng(0).normal(size=(4000, 5)).clip(-0.5, 0.5)
    best = (-np.inf, 0.0)
    for std in np.geomspace(0.01, 3, 25):
        for mean in np.linspace(-0.2, 1.5, 86):
            x = (mean + std * noise)[..., None]
            y = np.broadcast_to(DATA[None, :, None], x.shape)
            if mmd(x, y, kernel, SIGMA).mean() <= EPSILON:
                best = max(best, (-np.square(x - 1.5).mean() / 2, mean))
    return best[1]


@pytest.mark.parametrize("kernel", ["laplacian", "gaussian"])
def test_the_constrained_optimum_is_found(kernel):
    """The best action would be 1.5, beyond the data: dual descent ends where the
    divergence is ε, at the best mean that the constraint allows."""
    algorithm = BEAR(hidden=(), critics=1)
    state = algorithm.init(ONE, key=jr.key(0))
    obs = jnp.zeros((64, 1))
    data = jnp.broadcast_to(jnp.asarray(DATA, jnp.float32)[:, None], (64, 5, 1))
    raw = lambda action: jnp.arctanh(jnp.clip(action, -0.9999, 0.9999))
    worth = lambda s, action: -jnp.square(raw(action) - 1.5) / 2

    def step(carry, k):
        actor, log_alpha = carry
        noise = jnp.clip(jr.normal(k, (64, 5, 1)), -0.5, 0.5)
        loss = lambda pi: bear.actor_loss(
            pi,
            worth,
            obs,
            data,
            noise,
            jnp.exp(log_alpha.net),
            "min",
            jnp.array(True),
            kernel=kernel,
            sigma=SIGMA,
        )
        actor, apart = descend(algorithm.tx, actor, loss, rate=3e-3)
        dual = lambda la: bear.alpha_loss(la, apart, EPSILON)
        log_alpha, _ = descend(algorithm.tx, log_alpha, dual, rate=3e-3)
        return (actor, log_alpha), (actor.net(jnp.zeros(1)).mean[0], apart)

    run = jax.jit(lambda c, k: jax.lax.scan(step, c, jr.split(k, 6000)))
    _, (mean, apart) = run((state.actor, state.log_alpha), jr.key(1))
    assert np.mean(apart[-1000:]) == pytest.approx(EPSILON, abs=0.02)
    assert np.mean(mean[-1000:]) == pytest.approx(best_policy(kernel), abs=0.06)


def test_bear_stays_with_the_data_where_more_would_seem_better():
    """What was done lies near -0.6 and 0.6; a point at x ≥ atanh(0.6) = u, before tanh,
    is `2 (1 - exp(-...))`-far, which the Laplacian kernel of width 2σ makes
    `(2x - u) / 2σ` if that is small: ε = 0.2 and σ = 10 allow x = 0.75, tanh of it
    0.63. Without the constraint it would be 1."""
    rng = np.random.default_rng(0)
    action = 0.6 * rng.choice([-1, 1], (1000, 1)) + rng.normal(0, 0.02, (1000, 1))
    steps = episodes_of_one(np.ones((1000, 1)), action, action[:, 0])
    algorithm = BEAR(
        epsilon=0.2,
        matches=10,
        learning_rate=3e-3,
        critic_rate=3e-3,
        warm_start=300,
        hidden=(32,),
        vae_hidden=(32,),
        shown=1,
    )
    state, metrics = taught(algorithm, ONE, steps, 3000)
    assert shown(algorithm, state, [1.0]) == pytest.approx(0.63, abs=0.1)
    assert np.mean(metrics["mmd"][-500:]) == pytest.approx(0.2, abs=0.03)
