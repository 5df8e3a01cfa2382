"""Several devices: seeds are dealt out to them first, and where there are more devices
than seeds, those of a seed share its batches.

All devices run one program, each with its own seeds and as if there were no others.
Batches that are shared are added up in another order, so that last digits differ.

A processor is as many devices as one asks for before JAX begins. With one for each
seed, all cores learn, and every seed, bit for bit, what it learns alone.
"""

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import get_abstract_mesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from ..core import BadConfig, Transition
from ..envs import Hosted
from .plan import Plan


SEEDS = "seeds"  # the axis of devices, and within one of them of its seeds
ITEMS = "items"  # the axis of devices along which a batch is shared
FLAG = "xla_force_host_platform_device_count"  # the older way to make devices
# JAX 0.11 crashes where what is dealt out has an array of no size, unless by its older
# partitioner, which grumbles: there nothing is dealt out unasked on a processor.
CRASHES = jax.__version_info__[:2] == (0, 11)
MOST = 64  # devices that are made of a processor unasked


def spread(plan: Plan) -> None:
    """Before JAX begins: make of a processor as many devices as the plan asks for, or
    else one for each seed, or for every few. Nothing changes where JAX has begun, or
    where somebody has said how many."""
    seeds = len(plan.seeds)
    most = 1 if CRASHES else MOST
    wanted = plan.devices or max(d for d in range(1, most + 1) if seeds % d == 0)
    by_flag = FLAG in os.environ.get("XLA_FLAGS", "")
    said = by_flag or jax.config.jax_num_cpu_devices > 0  # type: ignore[attr-defined]
    if wanted > 1 and not said:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", wanted)


def deal(plan: Plan, seeds: tuple[int, ...], world: Any) -> Mesh | None:
    """The devices that learn, by `(SEEDS, ITEMS)`; None: wherever JAX does by itself.
    When the plan does not say how many, as many as share the seeds evenly. Raises
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
        return None
    groups = math.gcd(wanted, len(seeds))
    return Mesh(np.array(found[:wanted]).reshape(groups, -1), (SEEDS, ITEMS))


class Places:
    """Where each of several seeds learns, and the programs that learn there."""

    def __init__(self, seeds: int, where: Mesh | None):
        self.seeds, self.where = seeds, where
        self.groups = 1 if where is None else where.shape[SEEDS]
        self.each = seeds // self.groups  # seeds on a device
        if CRASHES and self.groups > 1:
            jax.config.update("jax_use_shardy_partitioner", False)
        self.axis = SEEDS if self.each > 1 else None
        """The name of the axis along which the seeds of a device learn."""

    def wide(self, f: Callable, axes: Sequence[int | None] = (0,)) -> Callable:
        """`f`, which is of one seed, for all of them. `axes` says of each argument
        whether every seed has its own (0) or all have the same (None)."""
        own = jax.vmap(f, axes, axis_name=SEEDS) if self.each > 1 else f
        if self.where is None or self.groups == 1:
            return own
        # An axis of one device is manual like the other: left to XLA it would reorder
        # sums that nobody shares.
        free = {ITEMS} if self.where.shape[ITEMS] > 1 else set()
        specs = tuple(PartitionSpec(*[SEEDS] * (a is not None)) for a in axes)
        return jax.shard_map(
            own if self.each > 1 else lone(f, axes),
            mesh=self.where,
            in_specs=specs,
            out_specs=PartitionSpec(SEEDS),
            axis_names={SEEDS, ITEMS} - free,
            check_vma=False,
        )

    def put(self, tree: PyTree, *, shared: bool = False) -> PyTree:
        """The same arrays where they belong, to stay: each seed's own with it, or what
        all seeds share everywhere."""
        if self.where is None:
            return tree
        all_of_it = NamedSharding(self.where, PartitionSpec())
        if shared or self.groups == 1:
            return jax.device_put(tree, all_of_it)
        # An array of no size is everywhere, as it comes out of a program: where it went
        # in otherwise, the second time would be another program.
        own = NamedSharding(self.where, PartitionSpec(SEEDS))
        where = jax.tree.map(lambda x: own if x.size else all_of_it, tree)
        return jax.device_put(tree, where)

    def join(self, lives: Sequence[PyTree]) -> PyTree:
        """The lives of all seeds as one."""
        stack = lambda *x: jnp.stack(x) if self.seeds > 1 else x[0]
        return self.put(jax.tree.map(stack, *lives))

    def apart(self, tree: PyTree) -> list[PyTree]:
        """What is on the host, seed by seed."""
        if self.seeds == 1:
            return [tree]
        leaves, made = jax.tree.flatten(tree)
        return [made.unflatten([x[i] for x in leaves]) for i in range(self.seeds)]

    def taken(self, size: int) -> int:
        """The bytes that so many come to where all seeds share them: those of a
        processor are copied for each of its devices."""
        if self.where is None or jax.devices()[0].platform != "cpu":
            return size
        return size * self.where.size

    def of(self, tree: PyTree, i: int) -> PyTree:
        """What is the i-th seed's; from another device, on the first."""
        if self.seeds == 1:
            return tree
        if self.groups > 1:
            assert self.where is not None
            holder = i // self.each * self.where.shape[ITEMS]
            held = jax.tree.map(lambda x: x.addressable_shards[holder].data, tree)
            tree, i = jax.device_put(held, jax.devices()[0]), i % self.each
        return jax.tree.map(lambda x: x[i], tree)


def lone(f: Callable, axes: Sequence[int | None]) -> Callable:
    """`f` of arguments with an axis for seeds, of which there is one."""

    def alone(*args: PyTree) -> PyTree:
        own = [
            x if axis is None else jax.tree.map(lambda v: v[0], x)
            for x, axis in zip(args, axes, strict=True)
        ]
        return jax.tree.map(lambda v: v[None], f(*own))

    return alone


def share(batch: PyTree, where: Mesh | None) -> PyTree:
    """A batch whose items are dealt out to the devices of a seed; of a rollout,
    `(time, env, ...)`, the environments are. Raises `BadConfig` where they cannot be
    dealt evenly."""
    if where is None or where.shape[ITEMS] == 1:
        return batch
    axis, devices = int(isinstance(batch, Transition)), where.shape[ITEMS]
    inside = get_abstract_mesh()  # where seeds are dealt out, only the items remain
    mesh = where if inside.empty else inside
    spec = NamedSharding(mesh, PartitionSpec(*[None] * axis, ITEMS))

    def one(x: jax.Array) -> jax.Array:
        if x.shape[axis] % devices:
            raise BadConfig(
                f"Plan.devices: batches of {x.shape[axis]} cannot be shared evenly by "
                f"the {devices} devices of a seed"
            )
        return jax.lax.with_sharding_constraint(x, spec)

    return jax.tree.map(one, batch)
