"""Arrow's columns of numbers and of lists of numbers as NumPy arrays, and back."""

import math

import numpy as np
import pyarrow as pa

from ...core import DataFault


def array_of(
    column: pa.Array | pa.ChunkedArray, what: str, first: int = 0
) -> np.ndarray:
    """One row per row, counted from `first`; lists, also of lists, are further axes.
    Raises `DataFault` for cells that are empty, ragged, or no numbers."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    shape = [len(column)]
    while True:
        if column.null_count:
            at = int(np.flatnonzero(~np.asarray(column.is_valid()))[0])
            row = first + at // math.prod(shape[1:])
            raise DataFault(f"{what}: row {row} is empty")
        if pa.types.is_fixed_size_list(column.type):
            shape.append(column.type.list_size)
        elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            sizes = np.unique(np.asarray(column.value_lengths())).tolist()
            if len(sizes) > 1:
                raise DataFault(f"{what} is ragged: lists of {sizes[0]} and {sizes[1]}")
            shape.append(int(sizes[0]) if sizes else 0)
        else:
            break
        column = column.flatten()
    kind = column.type
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or kind == pa.bool_()
    ):
        raise DataFault(f"{what} is {kind}: not numbers")
    return column.to_numpy(zero_copy_only=False).reshape(shape)


def list_of(x: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """A column of numbers, or of lists of so many as a row has; rows that are not
    `valid` are empty."""
    mask = None if valid is None else pa.array(~valid)
    if x.ndim == 1:
        return pa.array(x, mask=None if valid is None else ~valid)
    flat = pa.array(np.ascontiguousarray(x).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, math.prod(x.shape[1:]), mask=mask)
