"""Playing a behaviour into a dataset, episode by episode.

Episode k depends on the seed and on k alone, not on how many are played side by side;
all episodes are whole, and come in their order.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped

from ...core import actors, Env, EnvironmentFault, fold, Policy, root, Spec, TimeStep
from ...data import check, Dataset
from ...data.ring import Ring
from ...envs import Hosted
from .behaviours import Drawn


SIDE_BY_SIDE = 10  # episodes of a world in JAX
AT_ONCE = 256  # steps of the same
LONGEST = 30_000  # steps; an episode that has not ended by then never will


class Episode(NamedTuple):
    """One episode on the host: n steps, and n + 1 rows of what was seen."""

    obs: PyTree[Shaped[np.ndarray, "row ..."]]
    legal: PyTree[Shaped[np.ndarray, "row ..."]]
    action: PyTree[Shaped[np.ndarray, "step ..."]]
    reward: Shaped[np.ndarray, " step"]
    terminated: Shaped[np.ndarray, " step"]
    truncated: Shaped[np.ndarray, " step"]
    propensity: Shaped[np.ndarray, " step"] | None = None


def collect(policy: Policy, env: Env | Hosted, *, steps: int, seed: int) -> Dataset:
    """So many steps of the policy as it explores, and the rest of the last episode."""
    is_hosted = isinstance(env, Hosted)
    play = hosted(policy, env, seed) if is_hosted else compiled(policy, env, seed)
    episodes, count = [], 0
    for episode in play:
        episodes.append(episode)
        count += len(episode.reward)
        if count >= steps:
            return together(env.spec, episodes)
    raise AssertionError("episodes never run out")


class Actor(eqx.Module):
    """One episode under way in a world in JAX."""

    world: PyTree
    carry: PyTree
    t: TimeStep
    key: Array


def compiled(policy: Policy, env: Env, seed: int) -> Iterator[Episode]:
    """Episodes of a world in JAX, without end."""

    def begin(policy: Policy, k: Array) -> Actor:
        key = fold(root(seed), "episode", k)
        world, obs, legal = env.reset(key=fold(key, "reset"))
        t = TimeStep(obs, jnp.zeros(()), jnp.array(True), legal)
        return Actor(world, policy.begin(), t, key)

    def step(policy: Policy, actor: Actor, i: Array) -> tuple[Actor, tuple]:
        action, carry, extras = policy(
            actor.carry, actor.t, key=fold(actor.key, "act", i), explore=True
        )
        world, out = env.step(actor.world, action, key=fold(actor.key, "world", i))
        reward = out.reward.astype(jnp.float32)
        t = TimeStep(out.obs, reward, jnp.array(False), out.legal)
        seen = (out.obs, out.legal, action, reward, out.terminated, out.truncated)
        return Actor(world, carry, t, actor.key), (*seen, extras)

    many = (None, 0)

    @jax.jit
    def chunk(policy: Policy, actors: Actor, first: Array) -> tuple[Actor, tuple]:
        one = lambda now, i: jax.vmap(step, (*many, None))(policy, now, i)
        return jax.lax.scan(one, actors, first + jnp.arange(AT_ONCE))

    start = jax.jit(jax.vmap(begin, many))
    for first in itertools.count(0, SIDE_BY_SIDE):
        now = start(policy, first + jnp.arange(SIDE_BY_SIDE))
        opening = jax.tree.map(np.asarray, (now.t.obs, now.t.legal))
        chunks: list[Any] = []
        alive = np.ones(SIDE_BY_SIDE, bool)
        while alive.any():
            at = enough(AT_ONCE * len(chunks))
            now, seen = chunk(policy, now, jnp.array(at))
            chunks.append(jax.tree.map(np.asarray, seen))
            alive &= ~(chunks[-1][4] | chunks[-1][5]).any(axis=0)
        seen = jax.tree.map(lambda *x: np.concatenate(x), *chunks)
        for i in range(SIDE_BY_SIDE):
            own = jax.tree.map(lambda x, i=i: x[:, i], seen)
            yield episode_of(jax.tree.map(lambda x, i=i: x[i], opening), own)


def hosted(policy: Policy, env: Hosted, seed: int) -> Iterator[Episode]:
    """Episodes of a host environment (the first, if there are more), without end."""
    key, width = root(seed), env.envs

    @jax.jit
    def choose(policy: Policy, carry: Any, t: TimeStep, k: Array, step: Array) -> Any:
        def one(carry: PyTree, t: TimeStep, k: Array) -> Any:
            return policy(carry, t, key=fold(key, "act", k, step), explore=True)

        return jax.vmap(one)(carry, t, k + jnp.arange(width))

    for episode in itertools.count():
        t, carry = env.reset(seed, episode), actors(policy, width)
        opening = jax.tree.map(lambda x: np.array(x[0]), (t.obs, t.legal))
        rows: list[Any] = []
        over = False
        while not over:
            at = np.int32(episode), np.int32(enough(len(rows)))
            action, carry, extras = choose(policy, carry, t, *at)
            action = jax.tree.map(np.asarray, action)
            out, t = env.step(action)
            seen = (out.obs, out.legal, action, out.reward, out.terminated)
            row = (*seen, out.truncated, extras)
            rows.append(jax.tree.map(lambda x: np.array(x[0]), row))
            over = bool(out.terminated[0] | out.truncated[0])
        yield episode_of(opening, jax.tree.map(lambda *x: np.stack(x), *rows))


def enough(steps: int) -> int:
    """So many steps; raises `EnvironmentFault` when no end is to be expected."""
    if steps >= LONGEST:
        raise EnvironmentFault(
            f"an episode has not ended after {steps:,} steps: give it a time limit"
        )
    return steps


def episode_of(opening: Any, seen: tuple) -> Episode:
    """An episode from what opened it and what followed, cut at its end."""
    obs, legal, action, reward, terminated, truncated, extras = seen
    length = int((terminated | truncated).argmax()) + 1
    cut = lambda tree: jax.tree.map(lambda x: x[:length], tree)
    rows = lambda head, rest: jax.tree.map(
        lambda x, y: np.concatenate([x[None], y[:length]]), head, rest
    )
    return Episode(
        rows(opening[0], obs),
        rows(opening[1], legal),
        *cut((action, reward, terminated, truncated)),
        propensity=np.exp(cut(extras).log_prob) if isinstance(extras, Drawn) else None,
    )


def together(spec: Spec, episodes: list[Episode]) -> Dataset:
    """Episodes end to end."""
    lengths = [len(e.reward) for e in episodes]
    parts = jax.tree.map(lambda *x: np.concatenate(x), *episodes)
    return check(
        Dataset(
            spec,
            **{name: getattr(parts, name) for name in Episode._fields},
            starts=np.concatenate([[0], np.cumsum(lengths)]),
        )
    )


def join(parts: list[Dataset]) -> Dataset:
    """Datasets of one problem end to end."""
    lengths = np.concatenate([data.lengths for data in parts])
    both = lambda name: jax.tree.map(
        lambda *x: np.concatenate(x), *[getattr(data, name) for data in parts]
    )
    told = all(data.propensity is not None for data in parts)
    return check(
        Dataset(
            parts[0].spec,
            **{name: both(name) for name in Episode._fields[:-1]},
            starts=np.concatenate([[0], np.cumsum(lengths)]),
            propensity=both("propensity") if told else None,
        )
    )


def remembered(spec: Spec, ring: Ring) -> Dataset:
    """What a replay of one environment holds that has forgotten nothing. The episode
    under way at its end is truncated there."""
    filled = int(ring.filled)
    steps = jax.tree.map(lambda x: np.asarray(x[:filled, 0]), ring.data)
    over = np.asarray(steps.over)
    truncated = np.array(steps.truncated)
    truncated[-1] |= not over[-1]
    ends = np.flatnonzero(over | truncated) + 1
    last = lambda here, then: np.insert(here, ends, then[ends - 1], axis=0)
    return check(
        Dataset(
            spec,
            jax.tree.map(last, steps.obs, steps.next_obs),
            steps.action,
            steps.reward,
            steps.terminated,
            truncated,
            starts=np.concatenate([[0], ends]),
            legal=jax.tree.map(last, steps.legal, steps.next_legal),
        )
    )
