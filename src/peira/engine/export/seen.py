"""What a policy sees in its environment: observations to compare an export on."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from ...core import actors, Env, fold, Policy, root, TimeStep
from ...envs import Hosted
from ...ops import choose
from ..loop import act


ENVS, STEPS = 8, 128


def seen(policy: Policy, env: Env | Hosted) -> Iterator[TimeStep]:
    """Steps of some actors side by side, playing to show; a hosted environment has to
    have been made with `ENVS`."""
    if isinstance(env, Hosted):
        yield from hosted(policy, env)
        return
    steps = jax.device_get(jax.jit(lambda p: compiled(p, env))(policy))
    leaves, form = jax.tree.flatten(steps)
    for step in zip(*leaves, strict=True):
        yield jax.tree.unflatten(form, step)


def hosted(policy: Policy, env: Hosted) -> Iterator[TimeStep]:
    choose_action = jax.jit(
        lambda policy, carry, t, key: act(policy, carry, t, key=key, explore=False)
    )
    t, carry = env.reset(0), actors(policy, env.envs)
    for step in range(STEPS):
        yield t
        action, carry, _ = choose_action(policy, carry, t, fold(root(0), "act", step))
        _, t = env.step(jax.tree.map(np.asarray, action))


def compiled(policy: Policy, env: Env) -> TimeStep:
    """All steps, `(time, env, ...)`."""

    def reset(key: jax.Array) -> PyTree:
        return jax.vmap(lambda k: env.reset(key=k))(jr.split(key, ENVS))

    def one(now: PyTree, key: jax.Array) -> tuple[PyTree, TimeStep]:
        world, carry, t = now
        k_act, k_step, k_reset = jr.split(key, 3)
        action, carry, _ = act(policy, carry, t, key=k_act, explore=False)
        world, out = jax.vmap(lambda w, a, k: env.step(w, a, key=k))(
            world, action, jr.split(k_step, ENVS)
        )
        over = jnp.asarray(out.terminated | out.truncated)
        world, obs, legal = choose(over, reset(k_reset), (world, out.obs, out.legal))
        following = TimeStep(obs, out.reward.astype(jnp.float32), over, legal)
        return (world, carry, following), t

    k_first, k_rest = jr.split(root(0))
    world, obs, legal = reset(k_first)
    t = TimeStep(obs, jnp.zeros(ENVS), jnp.ones(ENVS, bool), legal)
    first = (world, actors(policy, ENVS), t)
    return jax.lax.scan(one, first, jr.split(k_rest, STEPS))[1]
