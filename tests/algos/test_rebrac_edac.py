"""TD3+BC, ReBRAC, SAC-N and EDAC: against float64 NumPy, and where the best policy near
the data is known."""

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
    made_up,
    member,
    mlp,
    polyak,
)
from tiny_data import all_of, dataset, fit, lever, shown
from updates import (
    act,
    B,
    BOXED,
    GAMMA,
    MEAN,
    noises,
    RATE,
    SMALL,
    squashed,
    STD,
    TAU,
)

from peira.algos.offline import bc, edac, rebrac, td3_bc
from peira.algos.offline.edac import EDAC
from peira.algos.offline.rebrac import ReBRAC
from peira.algos.offline.sac_n import SACN
from peira.algos.offline.td3_bc import TD3BC
from peira.algos.online import sac
from peira.algos.online.sac import SAC
from peira.core import Discrete, Sample, Spec, Transition
from peira.ops import trainable


SMOOTH = {"target_noise": 0.4, "target_clip": 0.3}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def sample(seed, *window):
    weight = jnp.asarray(np.random.default_rng(seed).uniform(0.2, 1, B), jnp.float32)
    return Sample(made_up(seed, act(BOXED), B, *window), weight, jnp.arange(B))


def learn(algorithm, updates, *window):
    """The states before and after some updates, and the batches with their seeds."""
    state = algorithm.init(BOXED, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k)[0])
    batches, states = [(sample(i, *window), i + 1) for i in range(updates)], [state]
    for batch, seed in batches:
        states.append(update(states[-1], batch, jr.key(seed)))
    return states, batches


def numbers(batch, *, standardise):
    """A batch in float64, with actions in units of their bounds -1 and 3."""
    s = exact(batch.steps)
    scale = lambda x: (x - MEAN) / (STD + 1e-3) if standardise else x
    parts = (scale(s.obs), scale(s.next_obs), (s.action + 1) / 2 - 1)
    return eqx.tree_at(lambda t: (t.obs, t.next_obs, t.action), s, parts)


def normalised(net, x):
    """A network of linear layers, each but the last normalised and then rectified."""
    for layer, norm in zip(net.layers[:-1], net.norms, strict=True):
        x = x @ layer.weight + layer.bias
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = np.maximum(x * norm.scale + norm.shift, 0)
    return x @ net.layers[-1].weight + net.layers[-1].bias


def q_values(critic, obs, unit):
    """`(batch, member)`."""
    x, n = np.concatenate([obs, unit], axis=-1), len(critic.members.body.layers[0].bias)
    net = normalised if critic.members.body.norms else mlp
    return np.stack([net(member(critic, i).body, x)[:, 0] for i in range(n)], axis=-1)


def squares(critic, obs, unit, y, weight):
    td = q_values(critic, obs, unit) - y[:, None]
    return (weight[:, None] * td**2).sum(axis=-1).mean()


def smoothed(actor, obs, seed):
    """The target policy with clipped noise, which is all that is borrowed."""
    noise = 0.4 * exact(jr.normal(jr.key(seed), (B, 2)))
    return np.clip(np.tanh(mlp(actor.body, obs)) + np.clip(noise, -0.3, 0.3), -1, 1)


def transcribed(state, batches, aim, pull, *, standardise):
    """Critics step towards what `aim` makes of a batch; every second time the actor
    steps down what `pull` makes of it as it is, and the targets follow."""
    actor, critic = exact(state.td3.actor.net), exact(state.td3.critic.net)
    target_actor, target_critic = actor, critic
    critic_adam, actor_adam = Adam(critic, rate=RATE), Adam(actor, rate=RATE)
    for count, (batch, seed) in enumerate(batches, 1):
        steps = numbers(batch, standardise=standardise)
        y, now = aim(target_actor, target_critic, steps, seed)
        weight = exact(batch.weight)
        data = {"obs": now.obs, "unit": now.action, "y": y, "weight": weight}
        critic = critic_adam.step(critic, ft.partial(squares, **data))
        if count % 2 == 0:
            actor = actor_adam.step(actor, pull(actor, critic, now))
            target_actor = polyak(target_actor, actor, TAU)
            target_critic = polyak(target_critic, critic, TAU)
    return actor, critic, target_actor, target_critic


def assert_learned(state, nets):
    learned = state.td3
    found = (
        learned.actor.net,
        learned.critic.net,
        learned.target_actor,
        learned.target_critic,
    )
    for ours, wanted in zip(found, nets, strict=True):
        assert_close(ours, wanted, **CLOSE)


def test_td3_bc():
    """Equations 5 and 6, four updates."""
    algorithm = TD3BC(**SMALL, **SMOOTH, alpha=1.5)
    states, batches = learn(algorithm, 4)

    def aim(actor, critic, s, seed):
        best = q_values(critic, s.next_obs, smoothed(actor, s.next_obs, seed)).min(-1)
        return s.reward + GAMMA * (1 - s.terminated) * best, s

    def pull(actor, critic, now):
        done = lambda a: np.tanh(mlp(a.body, now.obs))
        first = lambda a: q_values(critic, now.obs, done(a))[:, 0]
        weight = 1.5 / np.abs(first(actor)).mean()  # a number: it does not move
        return lambda a: ((done(a) - now.action) ** 2).mean() - weight * first(a).mean()

    nets = transcribed(states[0], batches, aim, pull, standardise=True)
    assert_learned(states[-1], nets)
    assert_close(states[1].td3.actor.net, states[0].td3.actor.net)  # delayed


def test_rebrac():
    """Four updates; what follows a time limit is not known."""
    betas = {"actor_beta": 0.7, "critic_beta": 0.3}
    algorithm = ReBRAC(**SMALL, **SMOOTH, **betas)
    states, batches = learn(algorithm, 4, 2)

    def aim(actor, critic, windows, seed):
        s = jax.tree.map(lambda x: x[:, 0], windows)
        done_next = windows.action[:, 1]
        unit = smoothed(actor, s.next_obs, seed)
        best = q_values(critic, s.next_obs, unit).min(axis=-1)
        strayed = ((unit - done_next) ** 2).sum(axis=-1) * (1 - s.truncated)
        return s.reward + GAMMA * (1 - s.terminated) * (best - 0.3 * strayed), s

    def pull(actor, critic, now):
        done = lambda a: np.tanh(mlp(a.body, now.obs))
        least = lambda a: q_values(critic, now.obs, done(a)).min(axis=-1)
        weight = 1 / np.abs(least(actor)).mean()
        strayed = lambda a: ((done(a) - now.action) ** 2).sum(axis=-1)
        return lambda a: (0.7 * strayed(a) - weight * least(a)).mean()

    nets = transcribed(states[0], batches, aim, pull, standardise=False)
    assert_learned(states[-1], nets)
    ends = [x.steps for x, _ in batches]
    assert any((x.truncated & ~x.terminated)[:, 0].any() for x in ends)
    assert any(x.terminated[:, 0].any() for x in ends)


def slopes(critic, obs, unit):
    """The gradient of every critic by the action, `(batch, member, act)`: what passes
    through the units that are awake."""
    x, n = np.concatenate([obs, unit], axis=-1), len(critic.members.body.layers[0].bias)
    bodies = [member(critic, i).body.layers for i in range(n)]
    awake = lambda first: (x @ first.weight + first.bias > 0).astype(float)
    rise = lambda first, last: (awake(first) * last.weight[:, 0]) @ first.weight.T
    return np.stack([rise(*body)[:, obs.shape[1] :] for body in bodies], axis=1)


def alike(critic, obs, unit):
    """The sum of the cosines of all pairs of critics, in each state."""
    g = slopes(critic, obs, unit)
    g = g / (np.linalg.norm(g, axis=-1, keepdims=True) + 1e-10)
    n = g.shape[1]
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    return sum((g[:, i] * g[:, j]).sum(axis=-1) for i, j in pairs)


@pytest.mark.parametrize(
    ("algorithm", "eta"),
    [
        (SACN(**SMALL, alpha=0.5, members=3), 0.0),
        (EDAC(**SMALL, alpha=0.5, members=3, eta=0.8), 0.8),
    ],
    ids=["sac-n", "edac"],
)
def test_sac_n_and_edac(algorithm, eta):
    """Algorithm 1, two updates with three critics."""
    states, batches = learn(algorithm, 2)
    actor, critic = (exact(x.net) for x in (states[0].sac.actor, states[0].sac.critic))
    log_alpha, target_critic = np.log(np.array(0.5)), critic
    adams = [Adam(x, rate=RATE) for x in (critic, actor, log_alpha)]
    for batch, seed in batches:
        s, weight = numbers(batch, standardise=False), exact(batch.weight)
        alpha = np.exp(log_alpha)
        k_target, k_actor = jr.split(jr.key(seed))
        unit, log_prob = squashed(actor, s.next_obs, noises(k_target, B))
        least = q_values(target_critic, s.next_obs, unit).min(axis=-1)
        y = s.reward + GAMMA * (1 - s.terminated) * (least - alpha * log_prob)
        noise = noises(k_actor, B)

        def apart(c, s=s, y=y, weight=weight):
            near = squares(c, s.obs, s.action, y, weight)
            return near + eta / 2 * alike(c, s.obs, s.action).mean()

        critic = adams[0].step(critic, apart)

        def regret(a, s=s, noise=noise, alpha=alpha, critic=critic):
            mine, log_prob = squashed(a, s.obs, noise)
            return (alpha * log_prob - q_values(critic, s.obs, mine).min(-1)).mean()

        mean = squashed(actor, s.obs, noise)[1].mean()
        actor = adams[1].step(actor, regret)
        log_alpha = adams[2].step(log_alpha, lambda la, m=mean: -la * (m - 2))
        target_critic = polyak(target_critic, critic, TAU)
    learned = states[-1].sac
    assert_close(learned.critic.net, critic, **CLOSE)
    assert_close(learned.actor.net, actor, **CLOSE)
    assert_close(learned.log_alpha.net, log_alpha, **CLOSE)
    assert_close(learned.target_critic, target_critic, **CLOSE)


def test_without_a_value_td3_bc_is_behaviour_cloning():
    """Step by step, from the same actor."""
    algorithm = TD3BC(**SMALL, alpha=0.0, delay=1)
    states, batches = learn(algorithm, 3)
    actor, tx = states[0].td3.actor.net, algorithm.td3.tx
    clone = trainable(bc.Cloner(actor.encoder, actor.body, None, BOXED.action), tx)
    update = jax.jit(lambda c, s: bc.clone(tx, c, s, jnp.ones(B), rate=RATE)[0])
    for (batch, _), state in zip(batches, states[1:], strict=True):
        clone = update(clone, states[0].standard.steps(batch.steps))
        assert_close(state.td3.actor.net.body, clone.net.body, rtol=0, atol=1e-7)


LINEAR = {"hidden": (), "tau": 1.0, "delay": 1, "learning_rate": 0.05}


@pytest.mark.parametrize(
    ("algorithm", "weight"),
    [(TD3BC(**LINEAR, alpha=0.5), 0.5), (ReBRAC(**LINEAR, actor_beta=2.0), 0.5)],
    ids=["td3-bc", "rebrac"],
)
def test_a_lever_is_pulled_as_far_as_the_data_allow(algorithm, weight):
    """A pull of a pays a, so that Q(a) = a. Where λ = 2 (π - m) and λ = w / π,
    π² - m π - w / 2 = 0: further than the mean m of the data, but not to the end."""
    data = lever([-0.5, 0.0, 0.3, 1.0, 0.1])
    batch = all_of(algorithm, data)
    m = np.asarray(batch.steps.action).reshape(len(batch.weight), -1)[:, 0].mean()
    state = fit(algorithm, data, 3000, batch=batch)
    action = shown(algorithm, state, np.ones((1, 1), "f4"))
    assert action[0] == pytest.approx((m + np.sqrt(m * m + 2 * weight)) / 2, abs=2e-3)


def doubled(critic):
    """Critics that say twice as much."""
    last = lambda c: (c.members.body.layers[-1].weight, c.members.body.layers[-1].bias)
    return eqx.tree_at(last, critic, [2 * x for x in last(critic)])


@pytest.mark.parametrize("module", [td3_bc, rebrac], ids=["td3-bc", "rebrac"])
def test_how_dear_rewards_are_does_not_matter_to_the_actor(module):
    state = TD3BC(**SMALL).init(BOXED, key=jr.key(0)).td3
    name = "alpha" if module is td3_bc else "beta"
    loss = ft.partial(module.actor_loss, **{name: 0.7})
    steps = numbers(sample(0), standardise=False)
    steps = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), steps)
    once, twice = (
        jax.grad(loss)(state.actor.net, c, steps)
        for c in (state.critic.net, doubled(state.critic.net))
    )
    assert_close(once, twice, rtol=1e-5, atol=1e-7)


def with_action_weights(critic, weights):
    """Critics that rise by so much in each action entry."""
    where = lambda c: c.members.body.layers[0].weight
    return eqx.tree_at(where, critic, where(critic).at[:, -2:, 0].set(weights))


def linear_critics(n, weights=None):
    algorithm = EDAC(hidden=(), members=n)
    critic = algorithm.init(BOXED, key=jr.key(0)).sac.critic.net
    return critic if weights is None else with_action_weights(critic, weights)


def test_linear_critics_are_as_alike_as_their_weights():
    weights = np.random.default_rng(0).normal(size=(4, 2)).astype("f4")
    critic = linear_critics(4, jnp.asarray(weights))
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    wanted = (unit @ unit.T).sum() - 4
    for obs, action in zip(
        np.eye(3, dtype="f4"), 0.3 * np.ones((3, 2), "f4"), strict=True
    ):
        found = edac.alike(critic, jnp.asarray(obs), jnp.asarray(action))
        assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ([[1, 2]] * 5, 20),  # all the same: n (n - 1)
        ([[1, 0], [-3, 0]], -2),
        ([[1, 0], [0, 5]], 0),
        ([[0, 0], [1, 1]], 0),  # what does not rise has no direction
    ],
)
def test_how_alike_critics_are(weights, wanted):
    weights = jnp.asarray(weights, jnp.float32)
    critic = linear_critics(len(weights), weights)
    of = lambda c: edac.alike(c, jnp.zeros(3), jnp.zeros(2))
    assert of(critic) == pytest.approx(wanted, abs=1e-5)
    slope = jax.tree.leaves(jax.grad(of)(critic))
    assert all(np.isfinite(x).all() for x in slope)


def test_diversity_alone_spreads_critics_evenly():
    """Three directions in a plane, as far from each other as can be: 120 degrees."""
    critic = linear_critics(3)
    of = lambda c: edac.alike(c, jnp.zeros(3), jnp.zeros(2))

    @jax.jit
    def descend(c):
        down = lambda c, _: (
            jax.tree.map(lambda x, g: x - 0.05 * g, c, jax.grad(of)(c)),
            0,
        )
        return jax.lax.scan(down, c, length=1000)[0]

    assert of(descend(critic)) == pytest.approx(-3, abs=1e-3)  # 6 cos 120°


def test_without_diversity_edac_is_sac_n():
    ours = [a(**SMALL, members=4, **f) for a, f in ((EDAC, {"eta": 0.0}), (SACN, {}))]
    edacs, sacs = (learn(a, 3)[0][-1] for a in ours)
    assert_close(edacs.sac.critic.net, sacs.sac.critic.net, rtol=1e-6, atol=1e-7)
    assert_close(edacs.sac.actor.net, sacs.sac.actor.net, rtol=1e-6, atol=1e-7)


def test_with_two_critics_sac_n_is_sac():
    """But for the factor of the critics' loss, of which Adam makes nothing."""
    two, usual = learn(SACN(**SMALL, members=2), 3)[0], learn(SAC(**SMALL), 3)[0]
    assert_close(two[-1].sac.critic.net, usual[-1].critic.net, rtol=1e-4, atol=1e-5)
    assert_close(two[-1].sac.actor.net, usual[-1].actor.net, rtol=1e-4, atol=1e-5)


def test_n_critics_believe_the_lowest():
    """A chain of states in which critic i errs by eᵢ everywhere: its values are those
    of the linear system with the lowest error in what follows."""
    reward, follows, terminated, truncated, _ = chain(gamma=GAMMA)
    n, errors = len(reward), np.array([0.3, -0.2, 0.1, -0.7, 0.0], "f4")
    spec = Spec(Discrete(n), box(-1, 1, 1))
    state = SACN(hidden=(), members=5).init(spec, key=jr.key(0))
    no = jnp.zeros((n, 1))
    ends = (jnp.asarray(terminated), jnp.asarray(truncated))
    steps = Transition(
        jnp.arange(n), no, jnp.asarray(reward), *ends, jnp.asarray(follows)
    )

    @jax.jit
    def backup(y):
        table = jnp.append(y, 0.0)[None, :, None]
        where = lambda c: [
            c.members.body.layers[0].weight,
            c.members.body.layers[0].bias,
        ]
        tables = [jnp.tile(table, (5, 1, 1)), jnp.asarray(errors)[:, None]]
        critic = eqx.tree_at(where, state.sac.critic.net, tables)
        zero = jnp.zeros(())
        return sac.target(
            state.sac.actor.net, critic, steps, zero, gamma=GAMMA, key=jr.key(0)
        )

    y = jnp.zeros(n)
    for _ in range(n + 1):
        y = backup(y)
    P = GAMMA * np.eye(n)[follows] * ~terminated[:, None]
    wanted = np.linalg.solve(np.eye(n) - P, reward + P.sum(axis=1) * errors.min())
    np.testing.assert_allclose(y, wanted, rtol=1e-5)


def test_what_the_data_do_next_lowers_what_a_state_is_worth():
    """Two steps that pay nothing. In the second the data pull anywhere and the actor
    pulls to their mean: the first is worth -γ β₂ times the variance of their pulls."""
    rng = np.random.default_rng(0)
    pulls = np.append(rng.uniform(-0.9, 0.9, 40), 0.0)
    spec = Spec(Discrete(3), box(-1, 1, 1))
    data = dataset(spec, [([0, 1, 2], [[0.0], [a]], [0, 0], True) for a in pulls])
    betas = {"actor_beta": 100.0, "critic_beta": 2.0}
    algorithm = ReBRAC(**LINEAR, **betas, gamma=0.5, target_noise=0.0)
    batch = all_of(algorithm, data)  # of the last pull nothing is known but its state
    state = fit(algorithm, data, 3000, batch=batch)
    value = jax.vmap(state.td3.critic.net)(jnp.arange(2), jnp.zeros((2, 1)))
    mean = shown(algorithm, state, np.array([1]))[0]
    worth = -0.5 * 2.0 * np.square(pulls - mean).mean()
    assert mean == pytest.approx(pulls.mean(), abs=0.05)
    np.testing.assert_allclose(value[0], worth, atol=0.02)


def test_the_scale_of_observations_does_not_matter_to_td3_bc():
    rng = np.random.default_rng(0)
    seen, did = rng.normal(0, 50, (20, 3)), rng.uniform(-1, 1, (20, 1))
    spec = Spec(box(-np.inf, np.inf, 3), box(-1, 1, 1))
    actions = []
    for x in (seen, 8 * seen + 100):
        pairs = zip(x[:, None].repeat(2, axis=1), did, strict=True)
        data = dataset(spec, [(o, [a], a, True) for o, a in pairs])
        algorithm = TD3BC(hidden=(8,), learning_rate=0.01)
        state = fit(algorithm, data, 50, batch=all_of(algorithm, data))
        actions.append(shown(algorithm, state, x.astype("f4")))
    np.testing.assert_allclose(actions[0], actions[1], atol=2e-3)


@pytest.mark.parametrize(
    "algorithm",
    [TD3BC(**SMALL, target_noise=0.0), ReBRAC(**SMALL, target_noise=0.0)],
    ids=["td3-bc", "rebrac"],
)
def test_the_order_of_a_batch_does_not_matter(algorithm):
    window = (2,) if isinstance(algorithm, ReBRAC) else ()
    batch, state = sample(0, *window), algorithm.init(BOXED, key=jr.key(0))
    turned = jax.tree.map(lambda x: x[::-1], batch)
    update = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(0))[0])
    for _ in range(2):
        first, second = update(state, batch), update(state, turned)
        assert_close(first.td3.critic.net, second.td3.critic.net, rtol=1e-5, atol=1e-6)
        assert_close(first.td3.actor.net, second.td3.actor.net, rtol=1e-5, atol=1e-6)
        state = first


def test_the_order_of_a_batch_does_not_matter_to_diversity():
    critic = EDAC(**SMALL).init(BOXED, key=jr.key(0)).sac.critic.net
    batch = sample(0)
    steps = jax.tree.map(jnp.asarray, batch.steps)
    weight = jnp.asarray(batch.weight)
    of = lambda s, y, w: float(edac.diverse(critic, s, y, w, eta=2.0)[0])
    turned = jax.tree.map(lambda x: x[::-1], (steps, steps.reward, weight))
    assert of(steps, steps.reward, weight) == pytest.approx(of(*turned), rel=1e-5)
