"""Several devices: seeds are dealt out to them first, and where there are more devices
than seeds, those of a seed share its batches.

A device runs the program of its seeds as if there were no other. Batches that are
shared are added up in another order, so that their last digits differ.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import (
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)
from jaxtyping import PyTree

from ..core import BadConfig, Transition
from ..envs import Hosted
from .plan import Plan


ITEMS = "items"  # the axis of devices along which a batch is shared


def deal(
    plan: Plan, seeds: tuple[int, ...], world: Any
) -> list[tuple[tuple[int, ...], Sharding | None]]:
    """Groups of seeds, and where each learns (None: wherever JAX does by itself). When
    the plan does not say how many devices, as many as share the seeds evenly. Raises
    `BadConfig`."""
    found = jax.devices()
    hosted = isinstance(world, Hosted)
    wanted = plan.devices or (1 if hosted else math.gcd(len(found), len(seeds)))
    if wanted > len(found):
        raise BadConfig(f"Plan.devices = {wanted}: there are {len(found)} here")
    if wanted > 1 and hosted:
        raise BadConfig(
            f"Plan.devices = {wanted}: {world.name} is no world in JAX, and its seeds "
            "learn in a process each"
        )
    if wanted == 1:
        return [(seeds, None)]
    groups = math.gcd(wanted, len(seeds))
    devices = np.array(found[:wanted]).reshape(groups, -1)
    each = len(seeds) // groups
    return [
        (seeds[g * each : (g + 1) * each], together(devices[g])) for g in range(groups)
    ]


def together(devices: np.ndarray) -> Sharding:
    """Everything on each of these devices."""
    if len(devices) == 1:
        return SingleDeviceSharding(devices[0])
    return NamedSharding(Mesh(devices, (ITEMS,)), PartitionSpec())


def place(tree: PyTree, where: Sharding | None) -> PyTree:
    """The same arrays there, to stay."""
    return tree if where is None else jax.device_put(tree, where)


def rejoin(lives: Sequence[PyTree], where: Sharding | None) -> PyTree:
    """The lives of several seeds as one, or that of the only seed, there."""
    stack = lambda *x: jnp.stack(x) if len(lives) > 1 else x[0]
    return place(jax.tree.map(stack, *lives), where)


def share(batch: PyTree, where: Sharding | None) -> PyTree:
    """A batch whose items are dealt out to the devices that are there; of a rollout,
    `(time, env, ...)`, the environments are. Raises `BadConfig` where they cannot be
    dealt evenly."""
    if not isinstance(where, NamedSharding):
        return batch
    axis, devices = int(isinstance(batch, Transition)), where.mesh.size
    spec = NamedSharding(where.mesh, PartitionSpec(*[None] * axis, ITEMS))

    def one(x: jax.Array) -> jax.Array:
        if x.shape[axis] % devices:
            raise BadConfig(
                f"Plan.devices: batches of {x.shape[axis]} cannot be shared evenly by "
                f"the {devices} devices of a seed"
            )
        return jax.lax.with_sharding_constraint(x, spec)

    return jax.tree.map(one, batch)


class Abreast:
    """Loops on devices of their own that go on at the same time: one loop of all their
    seeds."""

    def __init__(self, loops: Sequence[Any], each: int):
        """`loops` are `Compiled` or `FromData`, of `each` seeds."""
        self.loops, self.each = loops, each

    @property
    def done(self) -> int:
        return self.loops[0].done

    @property
    def failed(self) -> list[int]:
        return [x for loop in self.loops for x in loop.failed]

    def advance(self, blocks: int) -> list[dict[str, float]]:
        """Go on by some blocks; what there is to log, for each seed."""
        for loop in self.loops:
            loop.launch(blocks)
        return [row for loop in self.loops for row in loop.collect()]

    def learner(self, i: int) -> PyTree:
        return self.loops[i // self.each].learner(i % self.each)

    def stored(self, i: int) -> PyTree:
        return self.loops[i // self.each].stored(i % self.each)

    def save(self, i: int) -> tuple[PyTree, dict]:
        return self.loops[i // self.each].save(i % self.each)

    def restore(self, saved: list[tuple[PyTree, dict]]) -> None:
        for g, loop in enumerate(self.loops):
            loop.restore(saved[g * self.each : (g + 1) * self.each])

    def endow(self, learners: list[PyTree], old: PyTree, updates: int) -> None:
        for g, loop in enumerate(self.loops):
            own = learners[g * self.each : (g + 1) * self.each]
            loop.endow(own, old, updates)

    def close(self) -> None:
        for loop in self.loops:
            loop.close()
