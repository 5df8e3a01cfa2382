"""Small clean datasets of several kinds of worlds, and how faults come into them."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from peira.core import Box, Discrete, Spec
from peira.data import check, Dataset
from peira.envs import CartPole, Pendulum


def dataset(spec, episodes):
    """From `(obs, action, reward, terminated, truncated)` of each episode."""
    obs, action, reward, died, cut = zip(*episodes, strict=True)
    starts = np.concatenate([[0], np.cumsum([len(r) for r in reward])])
    terminated, truncated = np.zeros((2, starts[-1]), bool)
    terminated[starts[1:] - 1], truncated[starts[1:] - 1] = died, cut
    join = lambda x, dtype: np.concatenate(x).astype(dtype)
    return check(
        Dataset(
            spec,
            join(obs, spec.obs.dtype),
            join(action, spec.action.dtype),
            join(reward, np.float32),
            terminated,
            truncated,
            starts,
        )
    )


def box(size, bound):
    high = np.full(size, bound, np.float32)
    return Box(-high, high)


def in_jax(env, act, *, episodes, limit, seed=0):
    """Whole episodes of a world in JAX, cut after `limit` steps."""

    def one(key):
        k_reset, k_act, k_step = jr.split(key, 3)
        world, obs, _ = env.reset(key=k_reset)

        def step(now, keys):
            world, obs = now
            action = act(obs, keys[0])
            world, out = env.step(world, action, key=keys[1])
            return (world, out.obs), (out.obs, action, out.reward, out.terminated)

        keys = jr.split(k_act, limit), jr.split(k_step, limit)
        _, (seen, *rest) = jax.lax.scan(step, (world, obs), keys)
        return jnp.concatenate([obs[None], seen]), *rest

    with jax.debug_key_reuse(False):
        keys = jr.split(jr.key(seed), episodes)
        played = map(np.asarray, jax.jit(jax.vmap(one))(keys))
    found = []
    for obs, action, reward, died in zip(*played, strict=True):
        n = int(died.argmax()) + 1 if died.any() else limit
        parts = obs[: n + 1], action[:n], reward[:n]
        found.append((*parts, bool(died.any()), not died.any()))
    return dataset(env.spec, found)


def swing(obs, key):
    """Half a good pendulum: pumps, then balances, both with noise."""
    cos, sin, speed = obs
    balance = -10 * jnp.arctan2(sin, cos) - 2 * speed
    torque = jnp.where(cos > 0.8, balance, 2 * jnp.sign(speed))
    return jnp.clip(torque + 0.5 * jr.normal(key), -2, 2)[None]


def balance(obs, key):
    """Half a good cart: every third push is one at random."""
    k_which, k_push = jr.split(key)
    push = (0.1 * obs[0] + 0.2 * obs[1] + obs[2] + 0.5 * obs[3] > 0).astype(int)
    return jnp.where(jr.uniform(k_which) < 0.35, jr.bernoulli(k_push).astype(int), push)


@functools.cache
def pendulum(skilled=False):
    at_random = lambda obs, key: jr.uniform(key, (1,), minval=-2, maxval=2)
    act = swing if skilled else at_random
    return in_jax(Pendulum(), act, episodes=20, limit=200)


@functools.cache
def cartpole(skilled=False):
    act = balance if skilled else lambda obs, key: jr.bernoulli(key).astype(int)
    episodes, limit = (30, 200) if skilled else (150, 200)
    return in_jax(CartPole(), act, episodes=episodes, limit=limit)


@functools.cache
def grid(skilled=False, *, episodes=120, side=5):
    """A walk over a board from a corner to the other, whose middle is deadly; the place
    is one choice of `side` squared."""
    rng, found = np.random.default_rng(skilled), []
    moves = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    for _ in range(episodes):
        at, seen, done, earned, died = np.zeros(2, int), [0], [], [], False
        while not died and len(done) < 40:
            wise = skilled and rng.random() < 0.6
            action = rng.integers(0, 2 if wise else 4)
            at = np.clip(at + moves[action], 0, side - 1)
            goal, pit = (at == side - 1).all(), (at == side // 2).all()
            died = bool(goal or pit)
            seen.append(int(at @ [side, 1]))
            done.append(action)
            earned.append(float(goal))
        found.append((seen, done, earned, died, not died))
    return dataset(Spec(Discrete(side * side), Discrete(4)), found)


@functools.cache
def catch(*, episodes=80, rows=7, columns=5):
    """A ball falls over a paddle, a picture of zeros and ones; several balls an
    episode."""
    rng, found = np.random.default_rng(0), []
    for _ in range(episodes):
        paddle, row, column = columns // 2, 0, rng.integers(columns)
        seen, done, earned = [], [], []
        for t in range(31):
            picture = np.zeros((2, rows, columns), np.float32)
            picture[0, row, column] = picture[1, rows - 1, paddle] = 1
            seen.append(picture.ravel())
            if t == 30:
                break
            done.append(rng.integers(3))
            paddle = int(np.clip(paddle + done[-1] - 1, 0, columns - 1))
            row += 1
            earned.append(float(row == rows - 1 and paddle == column))
            if row == rows - 1:
                row, column = 0, rng.integers(columns)
        found.append((seen, done, earned, False, True))
    size = 2 * rows * columns
    space = Box(np.zeros(size, np.float32), np.ones(size, np.float32))
    return dataset(Spec(space, Discrete(3)), found)


MAZE = Spec(box(4, np.inf), box(2, 1))
SIDE, GOAL, NEAR = 8.0, np.array([6.0, 6.0]), 0.5


def at_goal(obs):
    """What being there earns."""
    return (np.linalg.norm(obs[..., :2] - GOAL, axis=-1) <= NEAR).astype(np.float32)


def rolling(steps, rng, *, anywhere=True):
    """A ball pushed from one place to the next, which earns while it is at the goal:
    observations, actions, and the steps that reached a place."""
    place = rng.uniform(1, SIDE - 1, 2) if anywhere else 1 + 0.1 * rng.normal(size=2)
    speed, target = np.zeros(2), rng.uniform(0.5, SIDE - 0.5, 2)
    seen, done, reached = [np.r_[place, speed]], [], []
    for t in range(steps):
        push = 2 * (target - place) - 1.5 * speed + 0.3 * rng.normal(size=2)
        done.append(np.clip(push, -1, 1))
        speed = np.clip(0.95 * speed + 0.1 * done[-1], -1.5, 1.5)
        place = place + 0.1 * speed
        speed = np.where((place > 0) & (place < SIDE), speed, 0)
        place = np.clip(place, 0, SIDE)
        seen.append(np.r_[place, speed])
        if np.linalg.norm(place - target) < NEAR:
            reached.append(t)
            target = rng.uniform(0.5, SIDE - 0.5, 2)
            if rng.random() < 0.3:
                target = GOAL + 0.2 * rng.normal(size=2)
    return np.array(seen), np.array(done), np.array(reached)


@functools.cache
def maze(*, anywhere=True, episodes=30, steps=300):
    rng, found = np.random.default_rng(0), []
    for _ in range(episodes):
        obs, action, _ = rolling(steps, rng, anywhere=anywhere)
        obs = obs.astype(np.float32)
        found.append((obs, action, at_goal(obs[1:]), False, True))
    return dataset(MAZE, found)


@functools.cache
def gymnasium(name, *, steps=3_000):
    """Episodes of a Gymnasium environment at random; raises where it is missing."""
    import gymnasium as gym

    env, found, kept = gym.make(name), [], 0
    env.action_space.seed(0)
    while kept < steps:
        obs, _ = env.reset(seed=len(found))
        seen, done, earned, over = [obs], [], [], False
        while not over:
            done.append(env.action_space.sample())
            obs, reward, died, cut, _ = env.step(done[-1])
            seen.append(obs)
            earned.append(reward)
            over = died or cut
        kept += len(done)
        found.append((seen, done, earned, died, cut and not died))
    size, reach = env.observation_space.shape[0], env.action_space
    env.close()
    return dataset(Spec(box(size, np.inf), Box(reach.low, reach.high)), found)


def changed(data, **parts):
    return check(dataclasses.replace(data, **parts))


def ended(data, *, died, cut):
    """The same with other marks at the ends."""
    terminated, truncated = np.zeros((2, data.steps), bool)
    terminated[data.starts[1:] - 1], truncated[data.starts[1:] - 1] = died, cut
    return changed(data, terminated=terminated, truncated=truncated)


def late(data):
    """Every reward a step late, over the ends of episodes."""
    return changed(data, reward=np.concatenate([[0], data.reward[:-1]]).astype("f4"))


def early(data):
    return changed(data, reward=np.concatenate([data.reward[1:], [0]]).astype("f4"))


def glued(data, e):
    """Without the end of episode e: its last observation is lost, and the next one's
    first comes instead."""
    row = int(data.starts[e + 1]) + e
    obs = np.delete(data.obs, row, axis=0)
    terminated, truncated = data.terminated.copy(), data.truncated.copy()
    last = data.starts[e + 1] - 1
    terminated[last] = truncated[last] = False
    starts = np.delete(data.starts, e + 1)
    ends = {"terminated": terminated, "truncated": truncated}
    return changed(data, obs=obs, starts=starts, **ends)


def rejoined(data, ends):
    """One table without successors, cut after the steps `ends`, whatever follows; its
    last step is lost."""
    steps = data.steps - 1
    flat = data.obs[np.arange(data.steps) + data.episode]
    starts = np.unique(np.concatenate([[0], np.asarray(ends) + 1, [steps]]))
    starts = starts[starts <= steps]
    spans = itertools.pairwise(starts)
    truncated = np.zeros(steps, bool)
    truncated[starts[1:] - 1] = True
    return check(
        Dataset(
            data.spec,
            np.concatenate([flat[first : end + 1] for first, end in spans]),
            data.action[:steps],
            data.reward[:steps],
            np.zeros(steps, bool),
            truncated,
            starts,
        )
    )
