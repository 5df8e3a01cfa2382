"""Made-up experience for every kind of problem, and rounds of learning from it."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PyTree

from ...core import (
    actors,
    Algorithm,
    Box,
    Discrete,
    Facts,
    is_space,
    Key,
    MultiBinary,
    MultiDiscrete,
    Space,
    Spec,
    TimeStep,
    Transition,
)
from ...engine.arrays import is_key
from ...engine.loop import act, example
from .given import Given, kept_by


STEPS, ENVS, ROUNDS = 8, 2, 3
SOMEBODY = 7  # the seed of who collects a dataset


def box(low: float, high: float, *shape: int, dtype: Any = np.float32) -> Box:
    return Box(np.full(shape, low, dtype), np.full(shape, high, dtype))


NUMBERS, BYTES = box(-2, 2, 3), box(0, 255, 5, 5, 2, dtype=np.uint8)
MIXED = {"goal": Discrete(3), "place": box(-1, 1, 2)}


def problem(obs: PyTree, action: Space, *, masked: bool = False) -> Spec:
    """A problem, and what might be known of a dataset of it."""
    filled = lambda x: jax.tree.map(
        lambda s: np.full(s.shape, x, np.float32), obs, is_leaf=is_space
    )
    known = Facts(filled(0.2), filled(0.7), 90, 9, longest=20, best=3.0, worst=-2.0)
    return Spec(obs, action, masked, updates=20, data=known)


PROBLEMS = {
    "box": problem(NUMBERS, box(-1, 3, 2)),
    "discrete": problem(NUMBERS, Discrete(4)),
    "multi": problem(NUMBERS, MultiDiscrete((2, 3))),
    "binary": problem(NUMBERS, MultiBinary((3,))),
    "masked": problem(NUMBERS, Discrete(4), masked=True),
    "dict": problem(MIXED, Discrete(4)),
    "dict-box": problem(MIXED, box(-1, 3, 2)),
    "image": problem(BYTES, Discrete(4)),
    "image-box": problem(BYTES, box(-1, 3, 2)),
}


def draw(space: PyTree, *batch: int, key: Key) -> PyTree:
    """Items of a pytree of spaces."""
    leaves, tree = jax.tree.flatten(space, is_leaf=is_space)

    def one(s: Any, k: Key) -> Array:
        shape = (*batch, *s.shape)
        match s:
            case Discrete(n):
                return jr.randint(k, shape, 0, n)
            case Box() if s.dtype == np.uint8:
                return jr.randint(k, shape, 0, 256).astype(np.uint8)
            case _:
                return jr.uniform(k, shape, minval=s.low.min(), maxval=s.high.max())

    keys = jr.split(key, len(leaves))
    return jax.tree.unflatten(tree, [one(*x) for x in zip(leaves, keys, strict=True)])


def masks(spec: Spec, *batch: int, key: Key) -> Array | None:
    """The first action is never legal, the last always."""
    if not spec.masked:
        return None
    legal = jr.bernoulli(key, 0.5, (*batch, spec.action.n))
    return legal.at[..., 0].set(False).at[..., -1].set(True)


def instant(spec: Spec, n: int, *, key: Key) -> TimeStep:
    """What `n` actors are handed."""
    k_obs, k_legal = jr.split(key)
    return TimeStep(
        draw(spec.obs, n, key=k_obs),
        jnp.zeros(n),
        jnp.zeros(n, bool),
        masks(spec, n, key=k_legal),
    )


def experience(algorithm: Algorithm, spec: Spec, state: Any, *, key: Key) -> Transition:
    """A block `(time, env, ...)` in which the algorithm chose the actions; or one like
    it, where datasets are all it learns from."""
    k_now, k_next, k_act, k_reward, k_end = jr.split(key, 5)
    store = kept_by(algorithm, spec, block=STEPS)
    if isinstance(store, Given):
        state = algorithm.init(spec, key=jr.key(SOMEBODY))
    rhythm = store.rhythm(envs=ENVS)
    block = max(STEPS, rhythm.every // ENVS, rhythm.warmup // ENVS)
    n = block * ENVS
    now, then = instant(spec, n, key=k_now), instant(spec, n, key=k_next)
    policy = algorithm.policy(state)
    action, _, extras = act(policy, actors(policy, n), now, key=k_act, explore=True)
    end = jr.uniform(k_end, (n,))
    steps = Transition(
        now.obs,
        action,
        5.0 * jr.normal(k_reward, (n,)),
        end < 0.2,
        (end > 0.1) & (end < 0.3),
        then.obs,
        then.legal,
        now.legal,
        extras,
    )
    return jax.tree.map(lambda x: x.reshape(block, ENVS, *x.shape[1:]), steps)


class Life(NamedTuple):
    """All that lasts from round to round."""

    state: Any
    kept: Any


def birth(algorithm: Algorithm, spec: Spec, *, key: Key) -> Life:
    k_init, k_t = jr.split(key)
    state = algorithm.init(spec, key=k_init)
    step = example(algorithm, state, instant(spec, 1, key=k_t))
    return Life(state, kept_by(algorithm, spec, block=STEPS).init(step, envs=ENVS))


def turn(algorithm: Algorithm, spec: Spec, life: Life, *, key: Key) -> Any:
    """Act, keep, deal and learn, once: the life after it, what was dealt and what was
    reported."""
    k_live, k_sample, k_update = jr.split(key, 3)
    store = kept_by(algorithm, spec, block=STEPS)
    kept = store.add(life.kept, experience(algorithm, spec, life.state, key=k_live))
    batch = store.sample(kept, key=k_sample)
    state, report = algorithm.update(life.state, batch, key=k_update)
    return Life(state, store.heed(kept, batch, report)), (batch, report)


def show(algorithm: Algorithm, spec: Spec, state: Any, *, key: Key) -> PyTree:
    """What the policy shows a few actors to do."""
    k_t, k_act = jr.split(key)
    policy, t = algorithm.policy(state), instant(spec, ENVS, key=k_t)
    return act(policy, actors(policy, ENVS), t, key=k_act, explore=False)[0]


def keys_of(seed: int) -> list[Key]:
    """A key for birth, and one for every round."""
    return [jr.key(100 * seed + i) for i in range(ROUNDS + 1)]


def numbers(tree: PyTree) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def same(a: PyTree, b: PyTree) -> bool:
    """Equal bit for bit."""
    return all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        for x, y in zip(numbers(a), numbers(b), strict=True)
    )


def apart(a: PyTree, b: PyTree) -> float:
    """The largest difference between two numbers at the same place, in units of their
    size where that is more than one."""
    pairs = zip(numbers(a), numbers(b), strict=True)
    wide = [(x.astype(np.float64), y.astype(np.float64)) for x, y in pairs]
    return max(
        (np.max(np.abs(x - y) / (1 + np.abs(y)), initial=0.0) for x, y in wide),
        default=0.0,
    )


def kinds(tree: PyTree) -> Any:
    """Shape, dtype and weakness of every leaf, with the tree itself."""
    leaves, shape = jax.tree.flatten(tree)
    return shape, [(x.shape, x.dtype, getattr(x, "weak_type", False)) for x in leaves]


def behaviour(algorithm: Algorithm, spec: Spec, keys: Array) -> Any:
    """The life after some rounds by these keys, and what was dealt and reported."""
    return jax.lax.scan(
        lambda life, k: turn(algorithm, spec, life, key=k),
        birth(algorithm, spec, key=keys[0]),
        keys[1:],
    )


def script(algorithm: Algorithm, spec: Spec) -> Any:
    """All an algorithm would compute, written out with the arrays in it."""
    keys = jnp.stack(keys_of(0))
    written = jax.make_jaxpr(lambda k: behaviour(algorithm, spec, k))(keys)
    arrays = [jr.key_data(x) if is_key(x) else x for x in written.consts]
    return nameless(str(written)), [np.asarray(x).tobytes() for x in arrays]


def shelving(algorithm: Algorithm, spec: Spec) -> Any:
    """How an algorithm would keep experience, written out; and when it would learn."""
    store = kept_by(algorithm, spec, block=STEPS)
    return nameless(repr(store)), store.rhythm(envs=ENVS)


def nameless(text: str) -> str:
    """A text without the addresses of what it names."""
    return re.sub("0x[0-9a-f]+", "", text)
