"""A pytree that is cheap to hand to a compiled function, call after call."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import PyTree


@jax.tree_util.register_pytree_node_class
class Packed:
    """The leaves of a pytree and its form. Modules are flattened by Python, field by
    field, whenever they go through a compiled function; this is flattened once."""

    def __init__(self, leaves: Sequence[Any], form: Any):
        self.leaves, self.form = leaves, form

    @property
    def tree(self) -> PyTree:
        return jax.tree.unflatten(self.form, self.leaves)

    def tree_flatten(self) -> tuple[Sequence[Any], Any]:
        return self.leaves, self.form

    @classmethod
    def tree_unflatten(cls, form: Any, leaves: Any) -> "Packed":
        return cls(leaves, form)


def pack(tree: PyTree) -> Packed:
    return Packed(*jax.tree.flatten(tree))


def packing(f: Callable[..., tuple], **options: Any) -> Callable[..., tuple[Any, ...]]:
    """`f` compiled, with every argument and every part of its answer packed."""

    def packed(*args: Packed) -> tuple[Packed, ...]:
        return tuple(pack(out) for out in f(*(x.tree for x in args)))

    return jax.jit(packed, **options)
