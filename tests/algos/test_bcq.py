"""BCQ, of numbers and of choices, against the papers in float64 NumPy; and on problems
whose best constrained policy is known."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from behaved import (
    among,
    B,
    bellman,
    blend,
    BOX,
    choice,
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
from reference import Adam, assert_close, exact, log_softmax, mlp, polyak

from peira.algos.offline.bcq import BCQ
from peira.algos.offline.bcq_discrete import DiscreteBCQ
from peira.core import Discrete, Sample, Spec, TimeStep, Transition


RATE, GAMMA, TAU, PHI, MIX = 0.01, 0.9, 0.1, 0.3, 0.7


def proposed(vae, xi, obs, noise):
    """Decoded, perturbed and clipped."""
    action = np.tanh(decoded(vae, obs, np.clip(noise, -0.5, 0.5)))
    moved = np.tanh(mlp(xi.body, np.concatenate([obs, action], axis=-1)))
    return np.clip(action + PHI * moved, -1, 1)


def test_bcq():
    """Algorithm 1, two updates; only the noise is borrowed."""
    algorithm = BCQ(
        phi=PHI,
        mix=MIX,
        candidates=3,
        learning_rate=RATE,
        gamma=GAMMA,
        tau=TAU,
        hidden=(4,),
        vae_hidden=(4,),
    )
    states, batches = learn(algorithm, Spec(OBS, BOX), uniform, 2)
    vae, xi, critic = (
        exact(x.net) for x in (states[0].vae, states[0].perturbation, states[0].critic)
    )
    target_xi, target_critic = xi, critic
    adams = [Adam(x, rate=RATE) for x in (vae, critic, xi)]
    for batch, seed in batches:
        obs, unit, reward, terminated, next_obs = numbers(batch)
        weight = exact(batch.weight)
        k_vae, k_target, k_actor = jr.split(jr.key(seed), 3)
        shapes = ((k_vae, (B, 4)), (k_target, (B, 3, 4)), (k_actor, (B, 4)))
        latent, many, one = (exact(jr.normal(k, s)) for k, s in shapes)

        def clone(v, obs=obs, unit=unit, latent=latent):
            return vae_loss(v, obs, unit, latent)

        vae = adams[0].step(vae, clone)
        there = repeated(next_obs, 3)
        q = q_values(target_critic, there, proposed(vae, target_xi, there, many))
        best = blend(q, MIX).max(axis=-1)
        y = reward + GAMMA * (1 - terminated) * best

        def evaluate(c, obs=obs, unit=unit, y=y, weight=weight):
            return bellman(c, obs, unit, y, weight)

        critic = adams[1].step(critic, evaluate)

        def worth(x, obs=obs, vae=vae, one=one, critic=critic):
            return -q_values(critic, obs, proposed(vae, x, obs, one))[:, 0].mean()

        xi = adams[2].step(xi, worth)
        target_xi, target_critic = (
            polyak(target_xi, xi, TAU),
            polyak(target_critic, critic, TAU),
        )
    last = states[-1]
    assert_close(last.vae.net, vae)
    assert_close(last.critic.net, critic)
    assert_close(last.perturbation.net, xi)
    assert_close(last.target_perturbation, target_xi)
    assert_close(last.target_critic, target_critic)


@pytest.mark.parametrize("phi", [0.05, 0.2])
def test_bcq_goes_to_the_edge_of_the_data_and_phi_beyond(phi):
    """What was done lies near -0.6 and 0.6, and the more is done the better: 0.6 is
    the best of it, and φ more is allowed. Without the constraint it would be 1."""
    rng = np.random.default_rng(0)
    action = 0.6 * rng.choice([-1, 1], (1000, 1)) + rng.normal(0, 0.02, (1000, 1))
    steps = episodes_of_one(np.ones((1000, 1)), action, action[:, 0])
    algorithm = BCQ(phi=phi, learning_rate=3e-3, hidden=(32,), vae_hidden=(32,))
    state, _ = taught(algorithm, ONE, steps, 1500)
    assert shown(algorithm, state, [1.0]) == pytest.approx(0.6 + phi, abs=0.05)


def allowed(logits, threshold):
    log_g = log_softmax(logits)
    return np.exp(log_g - log_g.max(axis=-1, keepdims=True)) > threshold


@pytest.mark.parametrize("masked", [False, True])
def test_discrete_bcq(masked):
    """Algorithm 1, three updates with a target that moves every second time."""
    algorithm = DiscreteBCQ(
        threshold=0.95,
        logit_cost=0.3,
        learning_rate=RATE,
        gamma=GAMMA,
        tau=0.6,
        target_every=2,
        hidden=(4,),
    )
    legal = np.array([[True, True, False], [True, False, True]] * 2)
    spec, how = Spec(OBS, Discrete(3)), (choice, 3)
    if masked:
        spec, how = Spec(OBS, Discrete(3), masked=True), (among(legal), 3)
    states, batches = learn(algorithm, spec, *how, legal=legal if masked else None)
    heads = exact(states[0].heads.net)
    target, adam = heads, Adam(heads, rate=RATE)
    rows, low = np.arange(B), np.where(legal, 0, -1e9) if masked else 0.0
    for count, (batch, _) in enumerate(batches, 1):
        s, weight = exact(batch.steps), exact(batch.weight)
        action = s.action.astype(int)
        next_q, next_i = mlp(heads.value, s.next_obs), mlp(heads.clone, s.next_obs)
        likely = allowed(next_i + low, 0.95)
        chosen = np.where(likely, next_q, -np.inf).argmax(axis=-1)
        y = mlp(target.value, s.next_obs)[rows, chosen]
        y = s.reward + GAMMA * (1 - s.terminated) * y

        def loss(h, s=s, action=action, y=y, weight=weight):
            td = np.abs(mlp(h.value, s.obs)[rows, action] - y)
            huber = np.where(td < 1, 0.5 * td**2, td - 0.5)
            logits = mlp(h.clone, s.obs)
            nll = -log_softmax(logits + low)[rows, action].mean()
            return (weight * huber).mean() + nll + 0.3 * (logits**2).mean()

        heads = adam.step(heads, loss)
        if count % 2 == 0:
            target = polyak(target, heads, 0.6)
    assert_close(states[-1].heads.net, heads)
    assert_close(states[-1].target, target)


# From state 0 or 1 to the other or the same; what was done, of ten times each.
REWARD = np.array([[0.0, 1.0, 3.0], [0.5, 2.0, 0.0]])
FOLLOWS = np.array([[0, 1, 1], [0, 1, 0]])
TIMES = np.array([[5, 4, 1], [6, 1, 3]])


def decided(threshold):
    """The values of the best policy that keeps to what is done often enough."""
    often = TIMES / TIMES.max(axis=1, keepdims=True) > threshold
    q = np.zeros((2, 3))
    for _ in range(200):
        best = np.where(often, q, -np.inf).max(axis=1)
        q = REWARD + 0.8 * best[FOLLOWS]
    return q, np.where(often, q, -np.inf).argmax(axis=1)


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_discrete_bcq_finds_the_best_of_what_is_done_often(threshold):
    """Two states, three choices; the best choices are rare, and at 0.3 excluded."""
    where = [(s, a) for s in (0, 1) for a in range(3) for _ in range(TIMES[s, a])]
    s, a = (jnp.array(x, jnp.int32) for x in zip(*where, strict=True))
    no = jnp.zeros(len(s), bool)
    steps = Transition(
        s,
        a,
        jnp.asarray(REWARD, jnp.float32)[s, a],
        no,
        no,
        jnp.asarray(FOLLOWS, jnp.int32)[s, a],
    )
    algorithm = DiscreteBCQ(
        threshold=threshold, gamma=0.8, learning_rate=0.02, tau=0.1, hidden=()
    )
    spec = Spec(Discrete(2), Discrete(3))
    state = algorithm.init(spec, key=jr.key(0))
    batch = Sample(steps, jnp.ones(len(s)), jnp.arange(len(s)))
    learn = lambda x, _: (algorithm.update(x, batch, key=jr.key(0))[0], None)
    state, _ = jax.jit(lambda x: jax.lax.scan(learn, x, length=3000))(state)
    q, logits = jax.vmap(state.heads.net)(jnp.arange(2))
    values, greedy = decided(threshold)
    np.testing.assert_allclose(q, values, atol=0.02)
    np.testing.assert_allclose(np.exp(log_softmax(logits)), TIMES / 10, atol=0.02)
    policy = algorithm.policy(state)
    t = lambda i: TimeStep(jnp.array(i), jnp.zeros(()), jnp.array(False))
    done = [int(policy((), t(i), key=jr.key(0), explore=False)[0]) for i in (0, 1)]
    assert done == greedy.tolist()
    assert (threshold == 0) == (done == [2, 1])  # the rare ones
