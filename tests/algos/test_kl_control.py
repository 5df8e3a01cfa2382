"""KL-control against the paper's equations in float64 NumPy, and on a table whose
regularised optimum is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from behaved import among, B, choice, learn, OBS
from reference import Adam, assert_close, exact, log_softmax, mlp, polyak

from peira.algos.offline.kl_control import backup, KLControl
from peira.core import Discrete, Sample, Spec, TimeStep, Transition


RATE, GAMMA, TAU, ALPHA, DROPOUT = 0.01, 0.9, 0.1, 0.3, 0.4


def masked_pass(net, x, keys):
    """Every example through a network with hidden units dropped by its key."""
    *hidden, last = net.layers
    for i, layer in enumerate(hidden):
        x = np.maximum(x @ layer.weight + layer.bias, 0)
        on = [jr.bernoulli(jax.random.fold_in(k, i), 1 - DROPOUT, (4,)) for k in keys]
        x = x * np.array(on) / (1 - DROPOUT)
    return x @ last.weight + last.bias


def log_sum_exp(x):
    top = x.max(axis=-1)
    return top + np.log(np.exp(x - top[..., None]).sum(axis=-1))


LEGAL = np.array([[True, True, False], [True, False, True]] * 2)


@pytest.mark.parametrize(
    ("learning", "masked", "from_prior"),
    [("psi", False, True), ("psi", True, False), ("q", True, True)],
)
def test_kl_control(learning, masked, from_prior):
    """Two updates of the prior, two of the values; only masks are borrowed."""
    algorithm = KLControl(
        learning=learning,
        alpha=ALPHA,
        passes=3,
        dropout=DROPOUT,
        cloning=2,
        from_prior=from_prior,
        learning_rate=RATE,
        max_gradient=0.05,
        gamma=GAMMA,
        tau=TAU,
        hidden=(4,),
    )
    legal, low, how = None, 0.0, (choice, 4)
    if masked:
        legal, low, how = LEGAL, np.where(LEGAL, 0, -1e9), (among(LEGAL), 4)
    spec = Spec(OBS, Discrete(3), masked=masked)
    states, batches = learn(algorithm, spec, *how, legal=legal)
    prior, net = exact(states[0].prior.net), exact(states[0].net.net)
    target, adams = net, [Adam(prior, rate=RATE), Adam(net, rate=RATE, clip=0.05)]
    rows = np.arange(B)
    for count, (batch, seed) in enumerate(batches):
        s, weight = exact(batch.steps), exact(batch.weight)
        action = s.action.astype(int)
        if count < 2:
            likely = lambda p, s=s, action=action: log_softmax(
                mlp(p.body, s.obs) + low
            )[rows, action]
            prior = adams[0].step(prior, lambda p, f=likely: -f(p).mean())
            if count == 1 and from_prior:
                net = target = begun(prior)
            continue
        k_target, k_net = (jr.split(k, B) for k in jr.split(jr.key(seed)))
        passes = zip(*(jr.split(k, 3) for k in k_target), strict=True)
        found = [masked_pass(target.body, s.next_obs, keys) + low for keys in passes]
        soft = lambda q: ALPHA * log_sum_exp(q / ALPHA)
        worth = soft if learning == "psi" else lambda q: q.max(axis=-1)
        value = np.min([worth(q) for q in found], axis=0)
        log_p = log_softmax(mlp(prior.body, s.obs) + low)[rows, action]
        y = s.reward + ALPHA * log_p + GAMMA * (1 - s.terminated) * value
        if learning == "q":
            q = masked_pass(net.body, s.obs, k_net)
            y = y - ALPHA * log_softmax(q / ALPHA + low)[rows, action]

        def loss(h, s=s, action=action, y=y, weight=weight, keys=k_net):
            td = np.abs(masked_pass(h.body, s.obs, keys)[rows, action] - y)
            huber = np.where(td < 1, 0.5 * td**2, td - 0.5)
            return (weight * huber).mean()

        net = adams[1].step(net, loss)
        target = polyak(target, net, TAU)
    assert_close(states[-1].prior.net, prior)
    assert_close(states[-1].net.net, net)
    assert_close(states[-1].target, target)


def begun(prior):
    """The prior with logits in units of reward."""
    where = lambda h: [h.body.layers[-1].weight, h.body.layers[-1].bias]
    return eqx.tree_at(where, prior, [ALPHA * x for x in where(prior)])


# From state 0 or 1 to the other or the same; what was done, of ten times each.
REWARD = np.array([[0.0, 1.0, 3.0], [0.5, 2.0, 0.0]])
FOLLOWS = np.array([[0, 1, 1], [0, 1, 0]])
TIMES = np.array([[5, 4, 1], [6, 1, 3]])


def values_on_a_table(*, gamma, **how):
    """The prior's and the values' tables after learning from all that was done."""
    where = [(s, a) for s in (0, 1) for a in range(3) for _ in range(TIMES[s, a])]
    s, a = (jnp.array(x, jnp.int32) for x in zip(*where, strict=True))
    no = jnp.zeros(len(s), bool)
    pay, follow = jnp.asarray(REWARD, jnp.float32), jnp.asarray(FOLLOWS, jnp.int32)
    steps = Transition(s, a, pay[s, a], no, no, follow[s, a])
    batch = Sample(steps, jnp.ones(len(s)), jnp.arange(len(s)))
    algorithm = KLControl(
        alpha=0.5,
        cloning=1500,
        learning_rate=0.02,
        tau=0.1,
        hidden=(),
        gamma=gamma,
        **how,
    )
    learn = lambda x, k: (algorithm.update(x, batch, key=k)[0], None)

    @jax.jit
    def run(key):
        state = algorithm.init(Spec(Discrete(2), Discrete(3)), key=key)
        return jax.lax.scan(learn, state, jr.split(jr.key(1), 4500))[0]

    state = run(jr.key(0))
    tables = [jax.vmap(x)(jnp.arange(2)) for x in (state.prior.net, state.net.net)]
    return algorithm, state, *map(np.asarray, tables)


def test_psi_learning_finds_the_kl_regularised_optimum():
    """Soft value iteration under the prior; the greedy choice of the rewards alone is
    rare, and the regularised policy prefers another where it is dear enough."""
    algorithm, state, prior, q = values_on_a_table(gamma=0.8)
    p = TIMES / 10
    np.testing.assert_allclose(np.exp(log_softmax(prior)), p, atol=0.01)
    value = np.zeros(2)
    for _ in range(200):
        wanted = REWARD + 0.8 * value[FOLLOWS]
        value = 0.5 * np.log((p * np.exp(wanted / 0.5)).sum(axis=1))
    wanted = wanted + 0.5 * np.log(p)
    np.testing.assert_allclose(q, wanted, atol=0.03)
    policy = algorithm.policy(state)
    t = TimeStep(jnp.array(1), jnp.zeros(()), jnp.array(False))
    draws = jax.vmap(lambda k: policy((), t, key=k, explore=True)[0])
    seen = np.bincount(draws(jr.split(jr.key(0), 4000)), minlength=3) / 4000
    pi = np.exp(log_softmax(wanted[1] / 0.5))
    np.testing.assert_allclose(seen, pi, atol=4 * np.sqrt(0.25 / 4000))


def test_with_the_entropy_as_a_reward_logits_come_out_half_as_large():
    """One step: Q = r + α log p - α log softmax(Q / α) has the solution
    Q = (R + L) / 2, R = r + α log p, L = 2 α log Σ exp(R / 2α)."""
    _, _, _, q = values_on_a_table(gamma=0.0, learning="q")
    right = REWARD + 0.5 * np.log(TIMES / 10)
    wanted = (right + 2 * 0.5 * log_sum_exp(right / 1.0)[:, None]) / 2
    np.testing.assert_allclose(q, wanted, atol=0.03)


def test_more_passes_are_more_careful():
    """The smallest of several passes is a lower bound of the mean."""
    found = []
    for passes in (1, 20):
        algorithm = KLControl(passes=passes, cloning=0, dropout=0.5, hidden=(64,))
        state = algorithm.init(Spec(OBS, Discrete(3)), key=jr.key(0))
        worth = lambda k, n=passes, s=state: backup(
            s.target,
            jnp.ones(3),
            None,
            "psi",
            0.5,
            passes=n,
            rate=0.5,
            key=k,
        )
        found.append(np.asarray(jax.vmap(worth)(jr.split(jr.key(1), 500))))
    assert found[1].mean() < found[0].mean() - found[0].std()
    assert found[1].max() < found[0].max()
