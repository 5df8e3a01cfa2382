"""An ONNX graph under way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...core import ExportFault
from .program import Operation


class Writing:
    """Nodes and constants so far. Every tensor has a name."""

    def __init__(self, first: str, n: Any):
        """`n` is the symbol for the size of the batch, `first` an input that has it."""
        self._first, self._n = first, n
        self._batch = ""
        self.made: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def nodes(self, kind: str, n: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with `n` outputs; their names."""
        outputs = [f"{kind}_{len(self.made)}_{i}" for i in range(n)]
        plain = {k: attribute(v) for k, v in attributes.items()}
        self.made.append(helper.make_node(kind, inputs, outputs, **plain))
        return outputs

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; its name."""
        return self.nodes(kind, 1, *inputs, **attributes)[0]

    def constant(self, array: Any, name: str = "") -> str:
        name = name or f"constant_{len(self.constants)}"
        x = np.asarray(array, order="C")
        self.constants.append(numpy_helper.from_array(x, name))
        return name

    def sizes(self, shape: Sequence[Any]) -> str:
        """A shape as a tensor; the side that is not a number is the batch."""
        if all(map(fixed, shape)):
            return self.constant(np.array(shape, np.int64))
        if any(not fixed(side) and side != self._n for side in shape):
            raise ExportFault("ONNX cannot stretch a tensor to a multiple of the batch")
        self._batch = self._batch or self.node("Shape", self._first, start=0, end=1)
        sides = [
            self.constant(np.array([side], np.int64)) if fixed(side) else self._batch
            for side in shape
        ]
        return self.node("Concat", *sides, axis=0)


def attribute(value: Any) -> Any:
    """An attribute as ONNX takes it."""
    if isinstance(value, np.dtype):
        return helper.np_dtype_to_tensor_dtype(value)
    return [*map(int, value)] if isinstance(value, tuple | list | np.ndarray) else value


def fixed(side: Any) -> bool:
    """Whether a side of a shape has a length that is known now."""
    return isinstance(side, int | np.integer)


def unwritable(op: Operation, why: str = "") -> ExportFault:
    """The error for an operation that has no counterpart in ONNX."""
    how = f" ({why})" if why else ""
    return ExportFault(
        f"ONNX cannot express JAX's operation '{op.name}'{how}; --to stablehlo can"
    )


def ints(g: Writing, numbers: Sequence[Any]) -> str:
    return g.constant(np.array(numbers, np.int64))


def either(g: Writing, which: str, yes: str, no: str, kind: np.dtype) -> str:
    """A choice number by number; onnxruntime makes none between booleans."""
    if kind.kind != "b":
        return g.node("Where", which, yes, no)
    one = g.node("And", which, yes)
    return g.node("Or", one, g.node("And", g.node("Not", which), no))
