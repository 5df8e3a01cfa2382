"""How good a policy is: whole episodes on fresh worlds with their own seeds."""

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PyTree

from ..core import actors, Env, EnvironmentFault, fold, Key, Policy, root, TimeStep
from ..envs import frame, Hosted
from .loop import act


LONGEST = 30_000  # steps; an episode that has not ended by then is cut
TRIES = 10  # episodes of one environment that may fail before one is evaluated


class Episodes(NamedTuple):
    """What each episode earned and how long it took, in order."""

    returns: np.ndarray
    lengths: np.ndarray


Evaluator = Callable[[Policy, int], Episodes]


def evaluation_seed(seed: int, step: int) -> int:
    """The seed of one evaluation, shared with no other and with no training."""
    return zlib.crc32(f"evaluate {seed} {step}".encode())


def evaluator(env: Env | Hosted, *, episodes: int, explore: bool = False) -> Evaluator:
    """A function from a policy and a seed to that many episodes; compiled once."""
    if isinstance(env, Hosted):
        return hosted_evaluator(env, episodes=episodes, explore=explore)
    return compiled_evaluator(env, episodes=episodes, explore=explore)


def evaluate(
    policy: Policy,
    env: Env | Hosted,
    *,
    episodes: int,
    seed: int = 0,
    explore: bool = False,
) -> Episodes:
    """Play whole episodes; deterministic given the seed."""
    return evaluator(env, episodes=episodes, explore=explore)(policy, seed)


def compiled_evaluator(env: Env, *, episodes: int, explore: bool) -> Evaluator:
    def run(policy: Policy, key: Key) -> tuple[Array, Array]:
        resets = jr.split(fold(key, "reset"), episodes)
        world, obs, legal = jax.vmap(lambda k: env.reset(key=k))(resets)
        zero = jnp.zeros(episodes)
        t = TimeStep(obs, zero, jnp.ones(episodes, bool), legal)
        alive = jnp.ones(episodes, bool)
        carry = actors(policy, episodes)

        def going(now: tuple) -> Array:
            return now[3].any() & (now[-1] < LONGEST)

        def one(now: tuple) -> tuple:
            world, carry, t, alive, returns, lengths, step = now
            action, carry, _ = act(
                policy, carry, t, key=fold(key, "act", step), explore=explore
            )
            keys = jr.split(fold(key, "world", step), episodes)
            world, out = jax.vmap(lambda w, a, k: env.step(w, a, key=k))(
                world, action, keys
            )
            returns = returns + jnp.where(alive, out.reward, 0.0)
            lengths = lengths + alive
            alive = alive & ~(out.terminated | out.truncated)
            reward = out.reward.astype(jnp.float32)
            t = TimeStep(out.obs, reward, jnp.zeros(episodes, bool), out.legal)
            return world, carry, t, alive, returns, lengths, step + 1

        lengths = jnp.zeros(episodes, int)
        now = (world, carry, t, alive, zero, lengths, jnp.array(0))
        now = jax.lax.while_loop(going, one, now)
        return now[4], now[5]

    run = jax.jit(run)

    def call(policy: Policy, seed: int) -> Episodes:
        returns, lengths = run(policy, root(seed))
        return Episodes(np.asarray(returns), np.asarray(lengths))

    return call


def hosted_evaluator(env: Hosted, *, episodes: int, explore: bool) -> Evaluator:
    @jax.jit
    def choose(
        policy: Policy, carry: PyTree, t: TimeStep, key: Key, first: Any, step: Any
    ) -> Any:
        def one(carry: PyTree, t: TimeStep, episode: Array) -> Any:
            own = fold(key, "act", episode, step)
            return policy(carry, t, key=own, explore=explore)

        return jax.vmap(one)(carry, t, first + jnp.arange(env.envs))

    def batch(policy: Policy, seed: int, first: int) -> Episodes:
        """One episode of each environment; what an episode draws depends on its number
        alone, not on how many are played side by side."""
        t, key = env.reset(seed, first), root(seed)
        carry = actors(policy, env.envs)
        alive = np.ones(env.envs, bool)
        returns, lengths = np.zeros(env.envs), np.zeros(env.envs, int)
        tries = np.zeros(env.envs, int)
        for step in range(LONGEST):
            action, carry, _ = choose(
                policy, carry, t, key, np.int32(first), np.int32(step)
            )
            out, t = env.step(jax.tree.map(np.asarray, action))
            tries += env.lost & alive
            if tries.max() >= TRIES:
                why = env.faults[-1]["message"]
                raise EnvironmentFault(f"{why}; no episode of {TRIES} came to its end")
            again = env.lost & alive  # an episode that failed does not count
            returns = np.where(again, 0.0, returns + alive * out.reward)
            lengths = np.where(again, 0, lengths + alive)
            alive &= ~(out.terminated | out.truncated)
            if not alive.any():
                break
        return Episodes(returns, lengths)

    def call(policy: Policy, seed: int) -> Episodes:
        parts = [batch(policy, seed, i) for i in range(0, episodes, env.envs)]
        returns = np.concatenate([p.returns for p in parts])[:episodes]
        lengths = np.concatenate([p.lengths for p in parts])[:episodes]
        return Episodes(returns, lengths)

    return call


def play(
    policy: Policy, env: Env | Hosted, *, seed: int = 0, longest: int = 2_000
) -> tuple[list[np.ndarray], float]:
    """One episode as frames `(H, W, 3)` uint8, and what it earned."""
    key = root(seed)
    choose = jax.jit(
        lambda policy, carry, t, step: act(
            policy, carry, t, key=fold(key, "act", step), explore=False
        )
    )
    carry, frames, total = actors(policy, 1), [], 0.0
    if isinstance(env, Hosted):
        if env.envs != 1:
            raise EnvironmentFault(f"{env.name}: watching needs one environment")
        t, look = env.reset(seed), env.frame
        act_on = env.step
    else:
        world, obs, legal = env.reset(key=fold(key, "reset"))
        t = add_axis(TimeStep(obs, jnp.array(0.0), jnp.array(True), legal))
        look = lambda: frame(env, world)
        step_world = jax.jit(lambda w, a, k: env.step(w, a, key=k))

        def act_on(action: PyTree) -> tuple[Any, TimeStep]:
            nonlocal world
            one = jax.tree.map(lambda x: x[0], action)
            world, out = step_world(world, one, fold(key, "world", len(frames)))
            over = out.terminated | out.truncated
            reward = out.reward.astype(jnp.float32)
            return add_axis(out), add_axis(TimeStep(out.obs, reward, over, out.legal))

    for step in range(longest):
        frames.append(look())
        action, carry, _ = choose(policy, carry, t, np.int32(step))
        out, t = act_on(jax.tree.map(np.asarray, action))
        total += float(out.reward[0])
        if out.terminated[0] or out.truncated[0]:
            break
    return frames, total


def add_axis(tree: Any) -> Any:
    """A batch of one."""
    return jax.tree.map(lambda x: jnp.asarray(x)[None], tree)
