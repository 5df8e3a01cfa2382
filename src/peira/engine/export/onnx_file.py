"""A greedy policy as ONNX, written from the primitive operations it is made of.

What does not depend on the inputs is computed once, here; every other operation becomes
a node or a few (`operators.py`).
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
from onnx import helper

from ... import __version__
from ...core import ExportFault
from .greedy import graph, Greedy, Port
from .nodes import fixed, Writing
from .operators import write
from .parity import Arrays, Runner
from .program import Constant, Operation, operations, Result, run, Value


OPSET = 18


def model(policy: Greedy, about: dict[str, Any]) -> bytes:
    """The policy as an ONNX file, with what there is to say about it as JSON in its
    metadata. Raises `ExportFault` naming the first operation that ONNX lacks."""
    (n,) = jax.export.symbolic_shape("batch")
    values = graph(policy.policy, policy.spec, policy.inputs, n)
    g = Writing(policy.inputs[0].name, n)
    named = written(g, values)
    for port, value in zip(policy.outputs, values, strict=True):
        g.made.append(helper.make_node("Identity", [named(value)], [port.name]))
    whole = helper.make_model(
        helper.make_graph(
            g.made,
            "policy",
            [*map(declared, policy.inputs)],
            [*map(declared, policy.outputs)],
            g.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="peira",
        producer_version=__version__,
    )
    helper.set_model_props(whole, {"peira": json.dumps(about)})
    faults = onnx.checker.ValidationError, onnx.shape_inference.InferenceError
    try:
        onnx.checker.check_model(whole, full_check=True)
        return whole.SerializeToString()
    except (*faults, ValueError) as error:  # the last one beyond 2 GB
        raise ExportFault(f"the policy makes no valid ONNX: {error}") from None


def written(g: Writing, values: Sequence[Value]) -> Callable[[Value], str]:
    """Write all that the values depend on; the names of values from then on."""
    known: dict[Operation, Sequence[Any]] = {}  # arrays, or names where it depends
    constants: dict[int, str] = {}

    def array(value: Value) -> Any:
        match value:
            case Constant(x):
                return x
            case Result(operation, i):
                return known[operation][i]
        return value.name

    def named(value: Value) -> str:
        x = array(value)
        if isinstance(x, str):
            return x
        if id(x) not in constants:
            name = value.name if isinstance(value, Constant) else ""
            constants[id(x)] = g.constant(x, name)
        return constants[id(x)]

    for op in operations(values):
        given = [array(x) for x in op.inputs]
        free = all(fixed(side) for made in op.made for side in made.shape)
        if free and not any(isinstance(x, str) for x in given):
            known[op] = run(op, given)
            continue
        names = write(g, [named(x) for x in op.inputs], op)
        known[op] = [names] if isinstance(names, str) else names
    return named


def declared(port: Port) -> onnx.ValueInfoProto:
    """An input or output of the graph."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, kind, ["batch", *port.shape])


def runner(model: bytes) -> Runner:
    """The model in onnxruntime; raises `ExportFault` where it cannot be run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what matters is raised

    def attempt(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:  # of classes that are not public
            raise ExportFault(f"onnxruntime cannot run the policy: {error}") from None

    cpu = ["CPUExecutionProvider"]
    session = attempt(
        lambda: onnxruntime.InferenceSession(model, options, providers=cpu)
    )
    names = [x.name for x in session.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        made = attempt(lambda: session.run(names, dict(inputs)))
        return dict(zip(names, made, strict=True))

    return run
