"""Playing to keep what was seen: whole episodes with their true last observations.

Episodes are played side by side, each to its end, and kept in the order in which they
were begun: whoever took those that end first would keep too many short ones. What an
episode draws depends on its number alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..core import (
    Action,
    actors,
    BadConfig,
    Box,
    Discrete,
    Env,
    fold,
    is_space,
    Key,
    MultiBinary,
    MultiDiscrete,
    Policy,
    root,
    Space,
    Spec,
    TimeStep,
    Transition,
)
from ..data.blocks import Block
from ..envs import Hosted
from ..ops import Categorical, MultiCategorical
from .evaluate import LONGEST
from .loop import strong


TOGETHER = 10  # episodes side by side
PIECE = 256  # steps of a world in JAX per dispatch


class Drawn(eqx.Module):
    """How likely the action that was taken is, or how dense where it is real."""

    log_prob: Float[Array, ""]


class Uniform(Policy[tuple[()]]):
    """Any legal action, each as likely as the others."""

    action: PyTree = eqx.field(static=True)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], Drawn]:
        spaces, form = jax.tree.flatten(self.action, is_leaf=is_space)
        keys = jr.split(key, len(spaces))
        pairs = zip(spaces, keys, strict=True)
        drawn = [uniform(s, t.legal, key=k) for s, k in pairs]
        action = jax.tree.unflatten(form, [x for x, _ in drawn])
        return action, carry, Drawn(jnp.stack([p for _, p in drawn]).sum())


def uniform(space: Space, legal: Any, *, key: Key) -> tuple[Array, Float[Array, ""]]:
    """An item of the space, and the logarithm of its probability or density."""
    match space:
        case Discrete(n):
            pi = Categorical(jnp.zeros(n), legal)
        case MultiDiscrete(nvec):
            pi = MultiCategorical(jnp.zeros(sum(nvec)), nvec, legal)
        case MultiBinary(sides):
            x = jr.bernoulli(key, 0.5, sides).astype(space.dtype)
            return x, -space.size * jnp.log(2.0)
        case Box() if space.bounded and space.dtype.kind == "f":
            x = jr.uniform(key, space.shape, space.dtype, space.low, space.high)
            return x, -jnp.log(jnp.asarray(space.high - space.low)).sum()
        case _:
            raise BadConfig(f"random actions need bounds and floats, not {space}")
    x = pi.sample(key=key)
    return x, pi.log_prob(x)


def episodes(
    policy: Policy, env: Env | Hosted, *, seed: int, explore: bool
) -> Iterator[Block]:
    """One episode after another, without an end. The propensity is kept where the
    policy's extras have a `log_prob` that is the recorded action's: of choices (real
    actions may have been clipped after they were drawn), and where they are `Drawn`."""
    play = hosted(env, explore) if isinstance(env, Hosted) else compiled(env, explore)
    choices = explore and choosing(env.spec)
    first = 0
    while True:
        steps = play(policy, seed, first)
        for i in range(steps.reward.shape[1]):
            yield cut_out(jax.tree.map(lambda x, i=i: x[:, i], steps), choices)
        first += steps.reward.shape[1]


def choosing(spec: Spec) -> bool:
    """Whether actions are choices."""
    spaces = jax.tree.leaves(spec.action, is_leaf=is_space)
    return not any(isinstance(s, Box) for s in spaces)


def first_steps(episodes: Iterator[Block], steps: int) -> Iterator[Block]:
    """Episodes with so many steps together; the last is cut off where it must be."""
    for one in episodes:
        n = len(one.reward)
        if n > steps:
            one = one.part(slice(steps), slice(steps + 1), [steps])
            truncated = one.truncated.copy()
            truncated[-1] = True
            one = one._replace(truncated=truncated)
        steps -= len(one.reward)
        yield one
        if not steps:
            return


def cut_out(steps: Transition, choices: bool) -> Block:
    """The first episode in the steps of one environment."""
    over = np.asarray(steps.terminated) | np.asarray(steps.truncated)
    n = int(over.argmax()) + 1 if over.any() else len(over)
    truncated = np.array(steps.truncated[:n])
    truncated[-1] |= not over.any()
    rows = lambda x, last: np.concatenate([x[:n], last[n - 1 : n]])
    exact = choices or isinstance(steps.extras, Drawn)
    log_prob = getattr(steps.extras, "log_prob", None) if exact else None
    return Block(
        jax.tree.map(rows, steps.obs, steps.next_obs),
        jax.tree.map(lambda x: x[:n], steps.action),
        np.asarray(steps.reward[:n], np.float32),
        np.asarray(steps.terminated[:n]),
        truncated,
        np.array([n]),
        jax.tree.map(rows, steps.legal, steps.next_legal),
        None if log_prob is None else np.exp(log_prob[:n]),
    )


Play = Callable[[Policy, int, int], Transition]


def hosted(env: Hosted, explore: bool) -> Play:
    """One episode of each environment, `(time, env, ...)`, from a number on."""

    @jax.jit
    def choose(
        policy: Policy, carry: PyTree, t: TimeStep, key: Key, first: Any, step: Any
    ) -> Any:
        def one(carry: PyTree, t: TimeStep, episode: Array) -> Any:
            own = fold(key, "act", episode, step)
            return policy(carry, t, key=own, explore=explore)

        return jax.vmap(one)(carry, t, first + jnp.arange(env.envs))

    def play(policy: Policy, seed: int, first: int) -> Transition:
        t, key = env.reset(seed, first), root(seed)
        carry, alive = actors(policy, env.envs), np.ones(env.envs, bool)
        steps: list[Transition] = []
        while alive.any() and len(steps) < LONGEST:
            at = (np.int32(first), np.int32(len(steps)))
            action, carry, extras = choose(policy, carry, t, key, *at)
            action, extras = jax.tree.map(np.asarray, (action, extras))
            out, after = env.step(action)
            steps.append(Transition.of(t, action, out, extras))
            alive &= ~np.asarray(steps[-1].over)
            t = after
        return jax.tree.map(lambda *x: np.stack(x), *steps)

    return play


def compiled(env: Env, explore: bool) -> Play:
    """The same of a world in JAX."""
    reset = jax.jit(jax.vmap(lambda key: env.reset(key=fold(key, "reset"))))

    @jax.jit
    def piece(policy: Policy, keys: Any, world: Any, carry: Any, t: Any, start: Any):
        def one(now: tuple, step: Array) -> tuple[tuple, Transition]:
            world, carry, t = now
            act = lambda c, x, k: policy(
                c, x, key=fold(k, "act", step), explore=explore
            )
            go = lambda w, a, k: env.step(w, a, key=fold(k, "world", step))
            action, carry, extras = jax.vmap(act)(carry, t, keys)
            world, out = jax.vmap(go)(world, action, keys)
            seen = Transition.of(t, action, out, extras)
            later = jnp.zeros(seen.reward.shape, bool)
            t = TimeStep(out.obs, seen.reward, later, out.legal)
            return (world, carry, t), seen

        return jax.lax.scan(one, (world, carry, t), start + jnp.arange(PIECE))

    def play(policy: Policy, seed: int, first: int) -> Transition:
        key = root(seed)
        episode = lambda i: fold(key, "episode", i)
        keys = jax.vmap(episode)(first + jnp.arange(TOGETHER))
        world, obs, legal = reset(keys)
        t = TimeStep(obs, jnp.zeros(TOGETHER), jnp.ones(TOGETHER, bool), legal)
        now, pieces = strong((world, actors(policy, TOGETHER), t)), []
        alive = np.ones(TOGETHER, bool)
        while alive.any() and len(pieces) * PIECE < LONGEST:
            now, seen = piece(policy, keys, *now, len(pieces) * PIECE)
            pieces.append(jax.tree.map(np.asarray, seen))
            alive &= ~np.asarray(pieces[-1].over).any(0)
        return jax.tree.map(lambda *x: np.concatenate(x), *pieces)

    return play
