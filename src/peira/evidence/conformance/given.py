"""Made-up experience as a fixed dataset, for algorithms that keep none of their own."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ...core import (
    Algorithm,
    keeper,
    Key,
    Report,
    Rhythm,
    Sample,
    Spec,
    Store,
    Transition,
)
from ...data import came_alone, Deal, Shelves


class Given(Store[Shelves, Sample]):
    """The last block as a dataset, whose every episode is of one step."""

    deal: Deal
    block: int
    """Steps of each environment in a block."""

    def rhythm(self, *, envs: int) -> Rhythm:
        return Rhythm(0, envs, 1)

    def init(self, example: Transition, *, envs: int) -> Shelves:
        shape = (self.block, envs)
        many = lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x)))
        return self.add(None, jax.tree.map(many, example))

    def add(self, kept: Any, steps: Transition) -> Shelves:
        n = steps.reward.size
        flat = jax.tree.map(lambda x: x.reshape(n, *x.shape[2:]), steps)
        between = lambda x, y: jnp.stack([x, y], axis=1).reshape(2 * n, *x.shape[1:])
        pairs = lambda now, then: jax.tree.map(between, now, then)
        row = 2 * jnp.arange(n)
        return Shelves(
            pairs(flat.obs, flat.next_obs),
            flat.action,
            flat.reward,
            flat.terminated,
            flat.truncated,
            row,
            pairs(flat.legal, flat.next_legal),
            came_alone(flat.reward, self.deal.hindsight),
            row + 1 if self.deal.bounded else None,
            None if self.deal.before is None else row,
        )

    def cut(self, kept: Shelves, lost: Bool[Array, " env"]) -> Shelves:
        return kept

    def sample(self, kept: Shelves, *, key: Key) -> Sample:
        return self.deal.sample(kept, key=key)

    def heed(self, kept: Shelves, batch: Sample, report: Report) -> Shelves:
        return self.deal.heed(kept, batch, report)


def kept_by(algorithm: Algorithm, spec: Spec, *, block: int) -> Store:
    """How it keeps made-up experience: its own way, or as it is given a dataset."""
    source = algorithm.store(spec)
    return Given(source, block) if isinstance(source, Deal) else keeper(algorithm, spec)
