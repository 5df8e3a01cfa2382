"""Every catalogued algorithm in small, and made-up experience for every space."""

import dataclasses
import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PyTree

from peira import algos
from peira.core import (
    Algorithm,
    Box,
    Discrete,
    is_space,
    Key,
    MultiDiscrete,
    Spec,
    TimeStep,
    Transition,
)


def box(low: float, high: float, *shape: int, dtype: Any = np.float32) -> Box:
    return Box(np.full(shape, low, dtype), np.full(shape, high, dtype))


NUMBERS, BYTES = box(-2, 2, 3), box(0, 255, 5, 5, 2, dtype=np.uint8)
MIXED = {"goal": Discrete(3), "place": box(-1, 1, 2)}
PROBLEMS = {
    "box": Spec(NUMBERS, box(-1, 3, 2), updates=20),
    "discrete": Spec(NUMBERS, Discrete(4), updates=20),
    "multi": Spec(NUMBERS, MultiDiscrete((2, 3)), updates=20),
    "masked": Spec(NUMBERS, Discrete(4), masked=True, updates=20),
    "dict": Spec(MIXED, Discrete(4), updates=20),
    "dict-box": Spec(MIXED, box(-1, 3, 2), updates=20),
    "image": Spec(BYTES, Discrete(4), updates=20),
    "image-box": Spec(BYTES, box(-1, 3, 2), updates=20),
}
SMALL = {
    "hidden": (8,),
    "batch": 8,
    "warmup": 8,
    "capacity": 64,
    "rollout": 8,
    "minibatches": 2,
    "epochs": 2,
    "target_every": 2,
    # so that every number matters within a few rounds
    "learning_rate": 0.1,
    "max_gradient": 0.1,
    "prioritised": True,
    "initial_epsilon": 0.9,
    "target_noise": 1.0,
}
STEPS, ENVS, ROUNDS = 8, 2, 3
ALGORITHMS = {name: algos.get(name) for name in algos.catalogue}
CASES = [  # (algorithm, problem)
    (name, problem)
    for name, cls in ALGORITHMS.items()
    for problem, spec in PROBLEMS.items()
    if isinstance(spec.action, tuple(cls.serves))
]
MAIN = list({name: (name, problem) for name, problem in reversed(CASES)}.values())


def small(cls: type[Algorithm], **changes: Any) -> Algorithm:
    """The algorithm with small nets and memories; fields it lacks are left out."""
    known = {f.name for f in dataclasses.fields(cls)}
    return cls(**{k: v for k, v in (SMALL | changes).items() if k in known})


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


def act(policy: Any, t: TimeStep, *, key: Key, explore: bool) -> Any:
    """Actions and extras of as many actors as `t` has rows."""
    n = t.reward.shape[0]
    carry = jax.vmap(lambda _: policy.begin())(jnp.arange(n))
    one = lambda c, x, k: policy(c, x, key=k, explore=explore)
    action, _, extras = jax.vmap(one)(carry, t, jr.split(key, n))
    return action, extras


def experience(algorithm: Algorithm, spec: Spec, state: Any, *, key: Key) -> Transition:
    """A block `(time, env, ...)` in which the algorithm chose the actions."""
    k_now, k_next, k_act, k_reward, k_end = jr.split(key, 5)
    block = max(STEPS, algorithm.store(spec).rhythm(envs=ENVS).every // ENVS)
    n = block * ENVS
    now, then = instant(spec, n, key=k_now), instant(spec, n, key=k_next)
    action, extras = act(algorithm.policy(state), now, key=k_act, explore=True)
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
    k_init, k_example = jr.split(key)
    state = algorithm.init(spec, key=k_init)
    block = experience(algorithm, spec, state, key=k_example)
    example = jax.tree.map(lambda x: x[0, 0], block)
    return Life(state, algorithm.store(spec).init(example, envs=ENVS))


def turn(algorithm: Algorithm, spec: Spec, life: Life, *, key: Key) -> Any:
    """Act, keep, deal and learn, once."""
    k_live, k_sample, k_update = jr.split(key, 3)
    store = algorithm.store(spec)
    kept = store.add(life.kept, experience(algorithm, spec, life.state, key=k_live))
    batch = store.sample(kept, key=k_sample)
    state, report = algorithm.update(life.state, batch, key=k_update)
    return Life(state, store.heed(kept, batch, report)), (batch, report)


@ft.cache
def program(name: str, problem: str) -> Any:
    """`birth` and `turn` of a small algorithm, compiled once for all tests."""
    algorithm, spec = small(ALGORITHMS[name]), PROBLEMS[problem]
    return (
        jax.jit(lambda key: birth(algorithm, spec, key=key)),
        jax.jit(lambda life, key: turn(algorithm, spec, life, key=key)),
    )


@ft.cache
def history(name: str, problem: str, seed: int) -> Any:
    """The last of some rounds: the life after it, and what it dealt and reported."""
    begin, advance = program(name, problem)
    first, *rest = keys_of(seed)
    life = begin(first)
    for key in rest:
        life, seen = advance(life, key)
    return life, seen


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


def close(a: PyTree, b: PyTree, tolerance: float) -> None:
    for x, y in zip(numbers(a), numbers(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)
