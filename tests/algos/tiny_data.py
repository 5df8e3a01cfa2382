"""Tiny datasets with known answers, and how to learn from them without an engine."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from peira.core import Box, Discrete, fold, Sample, Spec, TimeStep
from peira.data import check, Dataset, dealt


def box(low, high, *shape):
    return Box(np.full(shape, low, np.float32), np.full(shape, high, np.float32))


def dataset(spec, episodes):
    """A dataset of episodes, each `(obs, action, reward, terminated)`: arrays with one
    observation more than actions, and whether it ends in a death."""
    obs, action, reward, dead = zip(*episodes, strict=True)
    lengths = [len(r) for r in reward]
    starts = np.cumsum([0, *lengths])
    last = np.zeros(starts[-1], bool)
    last[starts[1:] - 1] = True
    terminated = last & np.repeat(dead, lengths)
    join = lambda parts, space: jax.tree.map(
        lambda s, *x: np.concatenate(x).astype(s.dtype), space, *parts
    )
    return check(
        Dataset(
            spec,
            join(obs, spec.obs),
            join(action, spec.action),
            np.concatenate(reward).astype(np.float32),
            terminated,
            last & ~terminated,
            starts,
        )
    )


def lever(actions, rewards=None, *, low=-1, high=1):
    """One state, one step: a real action and what it pays (itself, if nothing is
    said)."""
    spec = Spec(box(-1, 1, 1), box(low, high, 1))
    pays = actions if rewards is None else rewards
    here = np.ones((2, 1))
    return dataset(
        spec,
        [(here, [[a]], [r], True) for a, r in zip(actions, pays, strict=True)],
    )


def urns(counts, pays=None):
    """In state s, action a was taken `counts[s][a]` times and ended an episode that
    paid `pays[s][a]`; observations are the states."""
    counts = np.asarray(counts)
    pays = np.zeros(counts.shape) if pays is None else np.asarray(pays)
    spec = Spec(Discrete(counts.shape[0]), Discrete(counts.shape[1]))
    taken = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0)
    return dataset(spec, [([s, s], [a], [pays[s, a]], True) for s, a in taken])


def rates(levels, *, length=6, repeat=4):
    """Episodes of a clock in which every step does and pays the same, one of some
    levels; the return is the level times the length."""
    top = float(np.max(levels))
    spec = Spec(box(0, 1, 1), box(0, top, 1))
    clock = np.linspace(0, 1, length + 1)[:, None]
    same = lambda x: (clock, np.full((length, 1), x), np.full(length, x), False)
    return dataset(spec, [same(x) for x in np.repeat(levels, repeat)])


def corridor(width=7, *, episodes=200, length=12, seed=0):
    """Random walks to the left (0) and right (1) from the middle of a corridor; what
    is seen is the place, between -1 and 1."""
    rng = np.random.default_rng(seed)
    spec = Spec(box(-1, 1, 1), Discrete(2))
    walks = []
    for _ in range(episodes):
        action = rng.integers(0, 2, length)
        place = [width // 2]
        for a in action:
            place.append(walk(place[-1], a, width))
        seen = 2 * np.array(place)[:, None] / (width - 1) - 1
        walks.append((seen, action, np.zeros(length), False))
    return dataset(spec, walks)


def walk(place, action, width=7):
    """The next place in a corridor."""
    return int(np.clip(place + 2 * action - 1, 0, width - 1))


def known(data, updates=1000):
    """The problem, with what is known of the dataset."""
    return dataclasses.replace(data.spec, updates=updates, data=data.facts())


def all_of(algorithm, data):
    """Everything an algorithm would be dealt of a dataset, once each, as one batch."""
    deal = dealt(algorithm.store(known(data)))
    kept, window = deal.shelve(data), deal.window or 1
    first = np.arange(kept.steps - window + 1)
    step = first if deal.window is None else first[:, None] + np.arange(window)
    steps = jax.tree.map(jnp.asarray, kept.gather(step))
    return Sample(steps, jnp.ones(len(first)), jnp.asarray(first))


def informed(algorithm, data, updates=1000):
    """The problem, with all of the dataset that an algorithm asks to know."""
    spec = known(data, updates)
    facts = dealt(algorithm.store(spec)).informed(spec.data, data)
    return dataclasses.replace(spec, data=facts)


def fit(algorithm, data, updates, *, seed=0, batch=None):
    """What is learned in so many updates, from one batch again and again or as the
    algorithm is dealt the dataset; in the second half its step size falls to zero."""
    spec, root = informed(algorithm, data, updates), jr.key(seed)
    deal = dealt(algorithm.store(spec))

    def learn(state, kept, count):
        rate = algorithm.learning_rate * jnp.minimum(1, 2 - 2 * count / updates)
        now = dataclasses.replace(algorithm, learning_rate=rate)
        drawn = batch
        if batch is None:
            drawn = deal.sample(kept, key=fold(root, "sample", count))
        return now.update(state, drawn, key=fold(root, "update", count))[0], None

    @jax.jit
    def run(kept):
        state = algorithm.init(spec, key=fold(root, "init"))
        turn = lambda s, i: learn(s, kept, i)
        return jax.lax.scan(turn, state, jnp.arange(updates))[0]

    return run(jax.tree.map(jnp.asarray, deal.shelve(data)))


def shown(algorithm, state, obs, *, legal=None):
    """What the policy shows to do, for each of a batch of observations."""
    policy = algorithm.policy(state)

    @jax.jit
    @jax.vmap
    def act(o, m):
        t = TimeStep(o, jnp.zeros(()), jnp.array(True), m)
        return policy(policy.begin(), t, key=jr.key(0), explore=False)[0]

    return np.asarray(act(jax.tree.map(jnp.asarray, obs), legal))
