"""What both online loops share: the beat of a run, and learning from a block.

A run is a sequence of blocks. In block b every environment takes `block` steps with one
policy, the steps are kept, and then `updates` updates are made (none while warming up).
The acting policy is the one learned from blocks before b; with `overlap` from blocks
before b-1, so that block b can be collected while block b-1 is learned from. Which
policy acts is thus a function of b alone, never of timing.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt

from ..core import (
    Algorithm,
    BadConfig,
    check_serves,
    fold,
    keeper,
    Key,
    Metrics,
    Policy,
    root,
    Spec,
    Store,
    TimeStep,
    Transition,
)
from ..core.spaces import choices, zeros
from ..ops import refused
from .devices import share
from .plan import Plan


class Beat(NamedTuple):
    """A run, counted out before it begins."""

    algorithm: Algorithm
    spec: Spec
    store: Any
    """A `Store`; a `Deal`, where a dataset is learned from."""
    envs: int
    block: int
    """Steps of each environment per block."""
    blocks: int
    """Blocks in the whole run."""
    warmup: int
    """Blocks before the first that is learned from."""
    updates: int
    """Updates per block."""
    overlap: bool
    on_nan: str
    """What follows when a number in an update is not finite: `stop` or `skip`."""
    where: Mesh | None = None
    """The devices, where that is not left to JAX."""

    @property
    def stride(self) -> int:
        """Environment steps per block."""
        return self.block * self.envs


def beat(
    algorithm: Algorithm,
    spec: Spec,
    plan: Plan,
    *,
    envs: int,
    steps: int | None = None,
    store: Store | None = None,
) -> Beat:
    """Count out a run of the plan's steps, or so many, with the algorithm's own store
    or another; raises `BadConfig` when the counts do not fit."""
    check_serves(algorithm, spec)
    store = store or keeper(algorithm, spec)
    rhythm = store.rhythm(envs=envs)
    block = plan.block or max(1, rhythm.every // envs)
    stride = block * envs
    if stride % rhythm.every:
        raise BadConfig(
            f"Plan.block = {block}: {envs} environments x {block} steps must be a "
            f"multiple of the {rhythm.every} steps between learnings"
        )
    updates = stride // rhythm.every * rhythm.updates
    counted = steps or plan.steps
    blocks = -(-counted // stride)
    warmup = max(0, -(-rhythm.warmup // stride) - 1)
    if warmup >= blocks:
        raise BadConfig(
            f"Plan.{'online' if steps else 'steps'} = {counted}: nothing would "
            f"be learned, because the first update comes after {rhythm.warmup} steps"
        )
    known = dataclasses.replace(spec, updates=(blocks - warmup) * updates)
    return Beat(
        algorithm,
        known,
        store,
        envs,
        block,
        blocks,
        warmup,
        updates,
        bool(plan.overlap),
        plan.on_nan,
    )


def act(
    policy: Policy, carry: PyTree, t: TimeStep, *, key: Key, explore: bool
) -> tuple[PyTree, PyTree, PyTree]:
    """One step of many actors: action, carry and extras, each `(env, ...)`."""
    keys = jax.random.split(key, t.reward.shape[0])
    return act_by(policy, carry, t, jax.random.key_data(keys), explore=explore)


def act_by(
    policy: Policy,
    carry: PyTree,
    t: TimeStep,
    words: UInt[Array, "env word"],
    *,
    explore: bool,
) -> tuple[PyTree, PyTree, PyTree]:
    """The same, with the data of a key for each."""
    keys = jax.random.wrap_key_data(words)
    one = lambda c, x, k: policy(c, x, key=k, explore=explore)
    return jax.vmap(one)(carry, t, keys)


def words_of(
    key: Key, name: str, steps: Int[Array, " step"], envs: int
) -> UInt[Array, "step env word"]:
    """The data of a key for every environment at each of some steps. Made together,
    because a step's own few take long on a CPU."""
    keys = jax.vmap(lambda n: jax.random.split(fold(key, name, n), envs))(steps)
    return jax.random.key_data(keys)


def example(algorithm: Algorithm, learner: PyTree, t: TimeStep) -> Transition:
    """One step of one environment, for its shapes."""
    policy = algorithm.policy(learner)
    one = jax.tree.map(lambda x: jnp.asarray(x[0]), t)
    call = lambda: policy(policy.begin(), one, key=jax.random.key(0), explore=True)
    action, _, extras = jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(call)
    )
    no = jnp.array(False)
    return Transition(
        one.obs, action, one.reward, no, no, one.obs, one.legal, one.legal, extras
    )


def unborn(
    algorithm: Algorithm, spec: Spec, store: Store, envs: int
) -> tuple[PyTree, PyTree]:
    """What is learned and what is kept before any experience, for the shapes."""
    learner = algorithm.init(spec, key=root(0))
    legal = jnp.ones((1, choices(spec.action)), bool) if spec.masked else None
    obs = jax.tree.map(lambda x: jnp.asarray(x)[None], zeros(spec.obs))
    t = TimeStep(obs, jnp.zeros(1), jnp.ones(1, bool), legal)
    return learner, store.init(example(algorithm, learner, t), envs=envs)


def strong(tree: PyTree) -> PyTree:
    """The arrays without JAX's weak types, which no file remembers: a resumed run must
    be the same program."""
    return jax.tree.map(
        lambda x: (
            x
            if jnp.issubdtype(x.dtype, jax.dtypes.extended)
            else jax.lax.convert_element_type(x, x.dtype)
        ),
        tree,
    )


class Account(eqx.Module):
    """What learning came to: the metrics summed over the updates that went well, how
    many those were, how many failed because a number was not finite, and the first
    that did (-1: none)."""

    sums: Metrics
    good: Int[Array, "*seed"]
    failed: Int[Array, "*seed"]
    first: Int[Array, "*seed"]

    def add(self, later: "Account") -> "Account":
        return Account(
            jax.tree.map(jnp.add, self.sums, later.sums),
            self.good + later.good,
            self.failed + later.failed,
            jnp.where(self.first < 0, later.first, self.first),
        )


def nothing(names: Iterable[str]) -> Account:
    """The account of no update at all, under the names of its metrics."""
    zero = jnp.array(0)
    return Account(dict.fromkeys(names, jnp.zeros(())), zero, zero, zero - 1)


def together(accounts: Sequence[Account]) -> dict[str, float]:
    """Each metric's mean over the updates that went well, and how many failed."""
    good = sum(int(x.good) for x in accounts)
    failed = sum(int(x.failed) for x in accounts)
    names = accounts[0].sums if good else ()
    means = {k: sum(float(x.sums[k]) for x in accounts) / good for k in names}
    return means | ({"failed_updates": float(failed)} if failed else {})


def learn(
    beat: Beat,
    learner: PyTree,
    kept: PyTree,
    *,
    count: Int[Array, ""],
    key: Key,
    seeds: str | None = None,
    updates: Int[Array, ""] | None = None,
) -> tuple[PyTree, PyTree, Account]:
    """The updates of one block, or so many; `count` is how many went before, `seeds`
    the name of the axis along which others learn. Unless failed updates are skipped,
    one ends the block for all."""
    algorithm, store = beat.algorithm, beat.store

    def update(i: Array, learner: PyTree, kept: PyTree) -> tuple[Any, Any, Account]:
        batch = share(store.sample(kept, key=fold(key, "sample", i)), beat.where)
        new, report = algorithm.update(learner, batch, key=fold(key, "update", i))
        good = refused(new) == refused(learner)
        for value in report.metrics.values():
            good = good & jnp.isfinite(value)
        sums = {k: jnp.where(good, v, 0.0) for k, v in report.metrics.items()}
        one = good.astype(int)
        account = Account(sums, one, 1 - one, jnp.where(good, -1, i))
        return new, store.heed(kept, batch, report), account

    def go_on(now: tuple) -> Array:
        return (now[0] < last) & ~now[1]

    def step(now: tuple) -> tuple:
        k, halted, learner, kept, account = now
        learner, kept, new = update(count + k, learner, kept)
        if beat.on_nan == "stop":
            halted = anywhere(new.failed > 0, seeds)
        return k + 1, halted, learner, kept, account.add(new)

    # The number of updates is hidden from XLA: it would unroll a loop of one, fuse the
    # reading of the store with the writing before it, and to do so copy the store.
    last = jnp.array(beat.updates) if updates is None else updates
    last = jax.lax.optimization_barrier(last)
    names = jax.eval_shape(update, count, learner, kept)[2].sums
    start = (jnp.array(0), jnp.array(False), learner, kept, nothing(names))
    return jax.lax.while_loop(go_on, step, start)[2:]


def anywhere(flag: Bool[Array, ""], seeds: str | None) -> Bool[Array, ""]:
    """Whether it is so for any seed."""
    return flag if seeds is None else jax.lax.psum(flag.astype(int), seeds) > 0


class Tally(eqx.Module):
    """Episodes under way, and the sums over those that ended since the last reading."""

    returns: Float[Array, "*seed env"]
    lengths: Int[Array, "*seed env"]
    episodes: Int[Array, "*seed"]
    total_return: Float[Array, "*seed"]
    total_length: Int[Array, "*seed"]

    @classmethod
    def zero(cls, envs: int) -> "Tally":
        n = jnp.array(0)
        return cls(jnp.zeros(envs), jnp.zeros(envs, int), n, jnp.array(0.0), n)

    def step(self, reward: Float[Array, " env"], over: Array) -> "Tally":
        returns, lengths = self.returns + reward, self.lengths + 1
        return Tally(
            jnp.where(over, 0.0, returns),
            jnp.where(over, 0, lengths),
            self.episodes + over.sum(),
            self.total_return + jnp.where(over, returns, 0.0).sum(),
            self.total_length + jnp.where(over, lengths, 0).sum(),
        )

    def forget(self) -> "Tally":
        n = jnp.zeros_like(self.episodes)
        return Tally(self.returns, self.lengths, n, n.astype(float), n)

    def read(self) -> dict[str, float]:
        """Means over the episodes that ended; nothing when none did."""
        n = int(self.episodes)
        return summary(n, float(self.total_return), float(self.total_length))


def summary(
    episodes: int, total_return: float, total_length: float
) -> dict[str, float]:
    """What is logged of the episodes that ended: means, where any did."""
    if episodes == 0:
        return {"episodes": 0.0}
    return {
        "episodes": float(episodes),
        "return": total_return / episodes,
        "length": total_length / episodes,
    }
