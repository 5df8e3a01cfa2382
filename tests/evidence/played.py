"""Episodes of a world in JAX, played at random, as a dataset."""

import jax
import jax.random as jr
import numpy as np

from peira.data import check, Dataset


def played(env, episodes, *, limit, seed=0, name=None):
    """By a fair choice among the actions; cut after `limit` steps."""
    actions = env.spec.action.n
    k_reset, k_act, k_step = jr.split(jr.key(seed), 3)
    world, first, _ = jax.vmap(lambda k: env.reset(key=k))(jr.split(k_reset, episodes))
    chosen = jr.randint(k_act, (limit, episodes), 0, actions)

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
            np.asarray(chosen).T[taken].astype(np.int32),
            np.asarray(out.reward).T[taken].astype(np.float32),
            last & ended,
            last & ~ended,
            starts,
            propensity=np.full(starts[-1], 1 / actions),
            meta={} if name is None else {"env": name},
        )
    )
