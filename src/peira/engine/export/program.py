"""A JAX function as a graph of primitive operations, read backwards from its outputs.

What the outputs do not depend on is never reached, so the graph says what a function
really uses. Calls (`jit`, custom derivatives, checkpoints) are opened; loops and
branches are one operation each.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import jax
import jax.extend.core as jex
import numpy as np


# The parameter that holds the function which is called.
CALLS = {
    "jit": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Input:
    """What is handed to the function."""

    name: str
    depth = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """An array that is known beforehand, perhaps by a name."""

    array: Any
    name: str = ""
    depth = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    primitive: Any
    params: dict[str, Any]
    inputs: tuple["Value", ...]
    given: tuple[Any, ...]
    """Shapes and dtypes of the inputs."""
    made: tuple[Any, ...]
    """Shapes and dtypes of the outputs."""
    depth: int

    @property
    def name(self) -> str:
        return self.primitive.name


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """One output of an operation."""

    operation: Operation
    index: int

    @property
    def depth(self) -> int:
        return self.operation.depth


Value: TypeAlias = Input | Constant | Result


def trace(call: Callable[..., Any], shapes: Sequence[Any], inputs: Sequence[Value]):
    """The outputs of a function of arrays, as values of a graph."""
    closed = jax.make_jaxpr(call)(*shapes)
    return opened(closed.jaxpr, closed.consts, inputs)


def opened(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
    """The outputs of a jaxpr, given its inputs."""
    names = [*jaxpr.constvars, *jaxpr.invars]
    known: dict[Any, Value] = dict(
        zip(names, [*map(Constant, consts), *inputs], strict=True)
    )

    def value(atom: Any) -> Value:
        if isinstance(atom, jex.Literal):
            aval: Any = atom.aval
            return Constant(np.asarray(atom.val, aval.dtype))
        return known[atom]

    for step in jaxpr.eqns:
        given = tuple(value(x) for x in step.invars)
        inner = step.params.get(CALLS.get(step.primitive.name))
        if inner is None:
            operation = Operation(
                step.primitive,
                step.params,
                given,
                tuple(x.aval for x in step.invars),
                tuple(x.aval for x in step.outvars),
                1 + max((x.depth for x in given), default=0),
            )
            made = [Result(operation, i) for i in range(len(step.outvars))]
        else:
            whole = getattr(inner, "jaxpr", inner)
            made = opened(whole, getattr(inner, "consts", ()), given)
        known.update(zip(step.outvars, made, strict=True))
    return [value(x) for x in jaxpr.outvars]


def operations(values: Iterable[Value]) -> list[Operation]:
    """All that the values depend on, each after what it needs."""
    seen, waiting = set(), list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, Result) and value.operation not in seen:
            seen.add(value.operation)
            waiting += value.operation.inputs
    return sorted(seen, key=lambda operation: operation.depth)


def uses(values: Sequence[Value]) -> set[str]:
    """Names of the inputs that the values depend on."""
    handed = [x for op in operations(values) for x in op.inputs] + list(values)
    return {x.name for x in handed if isinstance(x, Input)}


def evaluate(values: Sequence[Value], arrays: dict[str, Any]) -> list[Any]:
    """The values for given inputs; also under `jit`."""
    known: dict[Operation, Sequence[Any]] = {}

    def array(value: Value) -> Any:
        match value:
            case Input(name):
                return arrays[name]
            case Constant(x):
                return x
            case Result(operation, i):
                return known[operation][i]

    for operation in operations(values):
        known[operation] = run(operation, [array(x) for x in operation.inputs])
    return [array(x) for x in values]


def run(operation: Operation, inputs: Sequence[Any]) -> Sequence[Any]:
    """What an operation makes of arrays."""
    made = operation.primitive.bind(*inputs, **operation.params)
    return made if operation.primitive.multiple_results else [made]
