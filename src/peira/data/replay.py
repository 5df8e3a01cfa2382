"""Replay memories: uniform and prioritised, single steps or windows."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from ..core import (
    BadConfig,
    check_fields,
    Count,
    Key,
    Positive,
    Report,
    Rhythm,
    Sample,
    Store,
    Transition,
    Unit,
    Whole,
)
from . import ring, sumtree
from .ring import Ring


class Replay(Store[Ring, Sample]):
    """The last `capacity` steps, drawn uniformly with replacement."""

    capacity: Count = 1_000_000
    """Steps kept, over all environments."""
    batch: Count = 256
    """Items per update."""
    warmup: Whole = 1_000
    """Steps before the first update."""
    every: Count = 1
    """Steps between learnings, over all environments."""
    updates: Count = 1
    """Updates per learning."""
    window: int | None = None
    """Consecutive steps per item; None deals single steps without a time axis."""

    def __check_init__(self):
        check_fields(self)

    def rhythm(self, *, envs: int) -> Rhythm:
        if self.every % envs and envs % self.every:
            raise BadConfig(
                f"{envs} environments cannot learn every {self.every} steps: "
                "one must divide the other"
            )
        times = max(1, envs // self.every)
        least = max(self.warmup, (self.window or 1) * envs)
        return Rhythm(least, max(self.every, envs), self.updates * times)

    def init(self, example: Transition, *, envs: int) -> Ring:
        rows = self.capacity // envs
        if rows < (self.window or 1):
            raise BadConfig(
                f"a replay of {self.capacity} steps is too small for {envs} "
                f"environments and windows of {self.window or 1}"
            )
        return ring.empty(example, rows=rows, envs=envs)

    def add(self, kept: Ring, steps: Transition) -> Ring:
        return ring.write(kept, steps)

    def cut(self, kept: Ring, lost: Bool[Array, " env"]) -> Ring:
        return ring.cut(kept, lost)

    def sample(self, kept: Ring, *, key: Key) -> Sample:
        k_age, k_env = jr.split(key)
        starts = kept.filled - (self.window or 1) + 1
        age = jr.randint(k_age, (self.batch,), 0, starts)
        row = (kept.cursor - kept.filled + age) % kept.rows
        env = jr.randint(k_env, (self.batch,), 0, kept.envs)
        steps = ring.gather(kept, row, env, self.window)
        return Sample(steps, jnp.ones(self.batch), row * kept.envs + env)

    def heed(self, kept: Ring, batch: Sample, report: Report) -> Ring:
        return kept


class Shelf(eqx.Module):
    """A ring, the priorities of its windows' first steps, the highest priority ever
    met, and how many updates were served."""

    ring: Ring
    tree: sumtree.Tree
    peak: Float[Array, ""]
    served: Int[Array, ""]


class Prioritised(Store[Shelf, Sample]):
    """A replay that deals surprising items more often, and corrects for it.

        P(i) = pᵢ^α / Σ pₖ^α,  pᵢ = |δᵢ| + ε,   wᵢ = (N P(i))^-β / max w

    Proportional variant with stratified draws; new items come with the highest
    priority met. Schaul et al., 2016, alg. 1. https://arxiv.org/abs/1511.05952
    """

    base: Replay = eqx.field(default_factory=Replay)
    alpha: Unit = 0.6
    """How much priorities matter; 0 is uniform."""
    beta: Unit = 0.4
    """Correction for the draw at the beginning; it grows to 1."""
    horizon: Count = 100_000
    """Updates until the correction is full."""
    epsilon: Positive = 1e-6
    """Added to every surprise, so that nothing is forgotten."""

    def __check_init__(self):
        check_fields(self)

    def rhythm(self, *, envs: int) -> Rhythm:
        return self.base.rhythm(envs=envs)

    def init(self, example: Transition, *, envs: int) -> Shelf:
        kept = self.base.init(example, envs=envs)
        tree = sumtree.empty(kept.rows * envs)
        return Shelf(kept, tree, jnp.ones(()), jnp.array(0, int))

    def add(self, kept: Shelf, steps: Transition) -> Shelf:
        old = kept.ring
        n, ahead = steps.reward.shape[0], (self.base.window or 1) - 1
        # A step may begin a window once the window is whole: the newest `ahead` rows
        # wait, and as many that waited become ready.
        offset = jnp.arange(-ahead, n)
        ready = (offset < n - ahead) & (offset + old.filled >= 0)
        row = (old.cursor + offset) % old.rows
        leaf = row[:, None] * old.envs + jnp.arange(old.envs)[None]
        value = jnp.where(ready, kept.peak, 0.0)[:, None]
        value = jnp.broadcast_to(value, leaf.shape)
        tree = sumtree.write(kept.tree, leaf.ravel(), value.ravel())
        return Shelf(ring.write(old, steps), tree, kept.peak, kept.served)

    def cut(self, kept: Shelf, lost: Bool[Array, " env"]) -> Shelf:
        return eqx.tree_at(lambda s: s.ring, kept, ring.cut(kept.ring, lost))

    def sample(self, kept: Shelf, *, key: Key) -> Sample:
        n, now = self.base.batch, kept.ring
        total = sumtree.total(kept.tree)
        strata = (jnp.arange(n) + jr.uniform(key, (n,))) / n
        leaf = sumtree.find(kept.tree, strata * total)
        chance = sumtree.read(kept.tree, leaf) / total
        items = (now.filled - (self.base.window or 1) + 1) * now.envs
        progress = jnp.minimum(kept.served / self.horizon, 1.0)
        beta = self.beta + (1 - self.beta) * progress
        weight = (items * chance) ** -beta
        row, env = leaf // now.envs, leaf % now.envs
        steps = ring.gather(now, row, env, self.base.window)
        return Sample(steps, weight / weight.max(), leaf)

    def heed(self, kept: Shelf, batch: Sample, report: Report) -> Shelf:
        if report.surprise is None:
            raise BadConfig("a prioritised replay needs the surprise of every item")
        priority = (jnp.abs(report.surprise) + self.epsilon) ** self.alpha
        index = jnp.asarray(batch.index)
        # After a failed update every item stays as surprising as it was.
        old = sumtree.read(kept.tree, index)
        priority = jnp.where(jnp.isfinite(priority), priority, old)
        tree = sumtree.write(kept.tree, index, priority)
        peak = jnp.maximum(kept.peak, priority.max())
        return Shelf(kept.ring, tree, peak, kept.served + 1)


def bytes_needed(capacity: int, example: Transition) -> int:
    """Memory of a replay of so many steps like `example`, in bytes."""
    leaves = jax.tree.leaves(example)
    each = [math.prod(jnp.shape(x)) * jnp.asarray(x).dtype.itemsize for x in leaves]
    return capacity * sum(each)
