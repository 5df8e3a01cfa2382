"""Learning from a fixed dataset: thousands of updates per dispatch, and no world.

A dataset that fits lies on the device, shared by all seeds. Of a larger one the batches
of the next updates are looked up on the host; they are the very same batches.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, Shaped

from ..core import Algorithm, check_serves, fold, Key, root
from ..data import Dataset, dealt, Drawn, Queue, Queued, Shelves
from .devices import Places
from .loop import Account, Beat, learn, strong, together
from .plan import Plan


AHEAD = 128 * 2**20  # bytes of batches that are looked up in advance
MOST = 1000  # updates of the same


def beat_from(algorithm: Algorithm, data: Dataset, plan: Plan) -> Beat:
    """A run counted out, a block being an update; raises `BadConfig`."""
    facts = data.facts()
    spec = dataclasses.replace(data.spec, updates=plan.steps, data=facts)
    check_serves(algorithm, spec)
    deal = dealt(algorithm.store(spec))
    spec = dataclasses.replace(spec, data=deal.informed(facts, data))
    return Beat(
        algorithm,
        spec,
        deal,
        envs=1,
        block=1,
        blocks=plan.steps,
        warmup=0,
        updates=1,
        overlap=False,
        on_nan=plan.on_nan,
    )


class Life(eqx.Module):
    """The whole of a run under way; the dataset does not change."""

    learner: PyTree
    count: Int[Array, "*seed"]


class FromData:
    """The loop for a dataset; one seed, or several side by side."""

    def __init__(
        self, beat: Beat, data: Dataset, seeds: tuple[int, ...], *, resident: int
    ):
        """`resident` is how many bytes of a dataset may lie on the device."""
        self.beat, self.seeds = beat, seeds
        self.done = 0
        self.failed = [-1] * len(seeds)
        self.shelves: Shelves = beat.store.shelve(data)
        self.places = places = Places(len(seeds), beat.where)
        self.streams = places.taken(size(self.shelves)) > resident
        if not self.streams:
            self.shelves = places.put(jax.device_put(self.shelves), shared=True)
        source = beat._replace(store=Queued()) if self.streams else beat

        def start(key: Key) -> Life:
            learner = beat.algorithm.init(beat.spec, key=fold(key, "init"))
            return strong(Life(learner, jnp.array(0)))

        def chunk(
            life: Life, key: Key, kept: Any, updates: Array
        ) -> tuple[Life, Account]:
            learner, _, account = learn(
                source,
                life.learner,
                kept,
                count=life.count,
                key=key,
                seeds=places.axis,
                updates=updates,
            )
            return Life(learner, life.count + updates), account

        def draw(key: Key, count: Array) -> Drawn:
            at = lambda i: fold(key, "sample", count + i)
            keys = jax.vmap(at)(jnp.arange(self.ahead))
            return jax.vmap(lambda k: beat.store.draw(self.shelves.steps, key=k))(keys)

        over_seeds = (0, 0, 0 if self.streams else None, None)
        self._chunk = jax.jit(places.wide(chunk, over_seeds), donate_argnums=0)
        self._draw = jax.jit(places.wide(draw, (0, 0)))
        self.key: Shaped[PRNGKeyArray, "*seed"] = places.join([root(s) for s in seeds])
        self.life = places.put(jax.jit(places.wide(start))(self.key))

    @property
    def ahead(self) -> int:
        """Updates whose batches are looked up in advance."""
        steps = self.beat.store.batch * (self.beat.store.window or 1)
        each = 2 * size(self.shelves) * steps // self.shelves.steps
        return max(1, min(MOST, AHEAD // max(1, each * len(self.seeds))))

    def advance(self, updates: int) -> list[dict[str, float]]:
        """Go on by some updates; what there is to log, for each seed."""
        rows, accounts = [], []
        for kept, n in self._portions(updates):
            self.life, account = self._chunk(self.life, self.key, kept, jnp.array(n))
            accounts.append(account)
        self.done += updates
        for i, own in enumerate(self.places.apart(jax.device_get(accounts))):
            bad = [int(a.first) for a in own if int(a.first) >= 0]
            self.failed[i] = bad[0] if bad else -1
            rows.append(together(own))
        return rows

    def _portions(self, updates: int) -> Iterator[tuple[Any, int]]:
        """What the next updates are dealt from, and how many of them."""
        if not self.streams:
            yield self.shelves, updates
            return
        for first in range(0, updates, self.ahead):
            drawn = jax.device_get(self._draw(self.key, self.life.count))
            at = jnp.zeros(self.life.count.shape, int)
            batches = self.beat.store.lookup(self.shelves, drawn)
            yield (
                self.places.put(Queue(batches, at)),
                min(self.ahead, updates - first),
            )

    def learner(self, i: int) -> PyTree:
        """What the i-th seed has learned."""
        return self.places.of(self.life.learner, i)

    def stored(self, i: int) -> Shelves:
        """What the i-th seed is dealt from."""
        return self.shelves

    def save(self, i: int) -> tuple[PyTree, dict]:
        """All of the i-th seed's run, as arrays and plain JSON."""
        return self.places.of(self.life, i), {"blocks": self.done}

    def restore(self, saved: list[tuple[PyTree, dict]]) -> None:
        """Put back what `save` gave for each seed."""
        self.done = saved[0][1]["blocks"]
        self.life = self.places.join([tree for tree, _ in saved])

    def close(self) -> None:
        """Nothing to close: the dataset is data."""


def size(tree: PyTree) -> int:
    """Bytes of all arrays, or of what is like them."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
