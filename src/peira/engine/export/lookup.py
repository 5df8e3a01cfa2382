"""What is looked up and what is put into its place: JAX's gathers and scatters in ONNX,
where they take or write whole slices along one axis."""

from collections.abc import Sequence

import numpy as np
from jax.lax import GatherScatterMode

from .nodes import either, fixed, ints, unwritable, Writing
from .program import Operation


def pick(g: Writing, x: Sequence[str], op: Operation) -> str:
    """A gather that looks up whole slices along one axis."""
    d, sizes = op.params["dimension_numbers"], list(op.params["slice_sizes"])
    table, index = op.given[0].shape, op.given[1].shape
    (axis, *others), rank = d.start_index_map, len(index) - 1
    whole = [n if i != axis else 1 for i, n in enumerate(table)]
    kept = [*range(axis), *range(axis + rank, len(table) - 1 + rank)]
    plain = not (others or d.operand_batching_dims or d.start_indices_batching_dims)
    if not (
        plain
        and sizes == whole
        and (*d.collapsed_slice_dims,) == (axis,)
        and [*d.offset_dims] == kept
    ):
        raise unwritable(op, "of this form")
    at = g.node("Squeeze", x[1], ints(g, [rank]))
    return g.node("Gather", x[0], at, axis=axis)


def put(g: Writing, x: Sequence[str], op: Operation) -> str:
    """A scatter that puts one whole slice into its place along one axis; nowhere, if
    there is no such place."""
    d, whole = op.params["dimension_numbers"], op.given[0].shape
    axes, kept = d.scatter_dims_to_operand_dims, [*range(len(whole) - 1)]
    plain = not (d.operand_batching_dims or d.scatter_indices_batching_dims)
    if not (
        plain
        and len(axes) == 1
        and fixed(whole[axes[0]])
        and op.given[1].shape == (1,)
        and (*d.inserted_window_dims,) == (*axes,)
        and [*d.update_window_dims] == kept
        and op.params["mode"] != GatherScatterMode.CLIP
    ):
        raise unwritable(op, "of this form")
    (axis,) = axes
    places = np.arange(whole[axis], dtype=op.given[1].dtype)
    places = places.reshape(-1, *(1 for _ in whole[axis + 1 :]))
    here = g.node("Equal", g.constant(places), x[1])
    new = g.node("Unsqueeze", x[2], ints(g, [axis]))
    return either(g, here, new, x[0], op.given[0].dtype)
