"""Old and new: part of every batch from a fixed dataset, the rest from fresh steps."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, PyTree

from ..core import BadConfig, Key, Report, Rhythm, Sample, Store, Transition, Unit
from .deal import Deal, Shelves
from .replay import Replay
from .ring import Ring


class Mixed(eqx.Module):
    """The dataset, which stays as it is, and the fresh steps."""

    old: Shelves
    new: Ring


class Mixture(Store[Mixed, Sample]):
    """A replay whose batches are dealt in part from a dataset.

    Half and half is symmetric sampling: Ball et al., 2023, section 4.1.
    https://arxiv.org/abs/2302.02948
    """

    deal: Deal
    fresh: Replay
    outline: PyTree = eqx.field(static=True)
    """Shapes of the dataset's arrays."""
    share: Unit = 0.5
    """Part of a batch that is old."""

    def __check_init__(self):
        if self.deal.top != 1 or self.deal.window != self.fresh.window:
            raise BadConfig("this algorithm cannot mix a dataset with fresh steps")

    def rhythm(self, *, envs: int) -> Rhythm:
        return self.fresh.rhythm(envs=envs)

    def init(self, example: Transition, *, envs: int) -> Mixed:
        """The dataset is all zeros until it is put in."""
        empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.outline)
        return Mixed(empty, self.fresh.init(example, envs=envs))

    def add(self, kept: Mixed, steps: Transition) -> Mixed:
        return Mixed(kept.old, self.fresh.add(kept.new, steps))

    def cut(self, kept: Mixed, lost: Bool[Array, " env"]) -> Mixed:
        return Mixed(kept.old, self.fresh.cut(kept.new, lost))

    def sample(self, kept: Mixed, *, key: Key) -> Sample:
        old = math.floor(self.share * self.fresh.batch + 0.5)
        new = self.fresh.batch - old
        k_old, k_new = jr.split(key)
        parts = []
        if old:
            deal = eqx.tree_at(lambda s: s.batch, self.deal, old)
            parts.append(deal.sample(kept.old, key=k_old))
        if new:
            fresh = eqx.tree_at(lambda s: s.batch, self.fresh, new)
            parts.append(fresh.sample(kept.new, key=k_new))
        return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    def heed(self, kept: Mixed, batch: Sample, report: Report) -> Mixed:
        return kept
