"""Episodes of a world in JAX, played at random, as a dataset."""

import jax
import jax.random as jr
import numpy as np

from peira.core import Discrete
from peira.data import check, Dataset


def played(env, episodes, *, limit, seed=0, name=None):
    """By a fair choice among the actions, or of real numbers within their bounds; cut
    after `limit` steps."""
    space = env.spec.action
    k_reset, k_act, k_step = jr.split(jr.key(seed), 3)
    world, first, _ = jax.vmap(lambda k: env.reset(key=k))(jr.split(k_reset, episodes))
    if isinstance(space, Discrete):
        chosen, chance = jr.randint(k_act, (limit, episodes), 0, space.n), 1 / space.n
    else:
        shape = (limit, episodes, *space.shape)
        unit = jr.uniform(k_act, shape)
        chosen = jax.numpy.broadcast_to(space.low, shape) + unit * (
            jax.numpy.broadcast_to(space.high - space.low, shape)
        )
        chance = float(np.prod(1 / (space.high - space.low)))

    def step(world, at):
        action, i = at
        keys = jr.split(jr.fold_in(k_step, i), episodes)
        world, out = jax.vmap(lambda w, a, k: env.step(w, a, key=k))(
            world, action, keys
        )
        return world, out

    numbers = jax.numpy.arange(limit)
    out = jax.jit(lambda w: jax.lax.scan(step, w, (chosen, numbers))[1])(world)
    over = np.asarray(out.terminated | out.truncated).T
    length = np.where(over.any(1), over.argmax(1) + 1, limit)
    taken = np.arange(limit)[None] < length[:, None]
    stood = np.arange(limit + 1)[None] <= length[:, None]
    rows = np.concatenate([np.asarray(first)[None], np.asarray(out.obs)])
    starts = np.concatenate([[0], np.cumsum(length)])
    last = np.zeros(starts[-1], bool)
    last[starts[1:] - 1] = True
    ended = np.asarray(out.terminated).T[taken]
    return check(
        Dataset(
            env.spec,
            rows.swapaxes(0, 1)[stood],
            np.asarray(chosen).swapaxes(0, 1)[taken].astype(space.dtype),
            np.asarray(out.reward).T[taken].astype(np.float32),
            last & ended,
            last & ~ended,
            starts,
            propensity=np.full(starts[-1], chance),
            meta={} if name is None else {"env": name},
        )
    )
