"""JAX's primitive operations in ONNX (opset 18): for each a name or a function.

A function is handed the graph, the names of the operands and the operation, and returns
the names of what it made.
"""

import string
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .lookup import pick, put
from .nodes import either, fixed, ints, unwritable, Writing
from .program import Operation


Made = str | list[str]
Operator = Callable[[Writing, Sequence[str], Operation], Made]


def write(g: Writing, x: Sequence[str], op: Operation) -> Made:
    """Add the nodes of one operation; the names of its outputs."""
    if op.name in NAMES:
        return g.node(NAMES[op.name], *x)
    if op.name in FUNCTIONS:
        return FUNCTIONS[op.name](g, x, op)
    raise unwritable(op)


def like(op: Operation, number: float) -> np.ndarray:
    """A number of the kind that the operation has before it."""
    return np.array(number, op.given[0].dtype)


# Form


def broadcast(g: Writing, x: Sequence[str], op: Operation) -> str:
    """Put the sides in their places, then stretch those of length one."""
    shape, places = op.params["shape"], op.params["broadcast_dimensions"]
    new = sorted({*range(len(shape))} - {*places})
    y = g.node("Unsqueeze", x[0], ints(g, new)) if new else x[0]
    kept = dict(zip(places, op.given[0].shape, strict=True))
    if all(kept.get(i, 1) == side for i, side in enumerate(shape)):
        return y
    return g.node("Expand", y, g.sizes(shape))


def reshape(g: Writing, x: Sequence[str], op: Operation) -> str:
    sides = op.params["new_sizes"]
    if op.params["dimensions"] is not None or sum(not fixed(s) for s in sides) > 1:
        raise unwritable(op, "of this form")
    return g.node("Reshape", x[0], ints(g, [s if fixed(s) else -1 for s in sides]))


def cut(g: Writing, x: Sequence[str], op: Operation) -> str:
    """A slice; sides that stay whole are left out, for the batch has no length yet."""
    whole, p = op.given[0].shape, op.params
    steps = p["strides"] or (1,) * len(whole)
    parts = zip(p["start_indices"], p["limit_indices"], whole, steps, strict=True)
    some = [
        (a, b, axis, step)
        for axis, (a, b, side, step) in enumerate(parts)
        if not (fixed(a) and a == 0 and b == side and step == 1)
    ]
    if not all(map(fixed, (v for part in some for v in part))):
        raise unwritable(op, "of the batch")
    return g.node("Slice", x[0], *(ints(g, v) for v in zip(*some, strict=True)))


def pad(g: Writing, x: Sequence[str], op: Operation) -> str:
    low, high, between = zip(*op.params["padding_config"], strict=True)
    if any(between):
        raise unwritable(op, "between numbers")
    return g.node("Pad", x[0], ints(g, [*low, *high]), x[1])


def reverse(g: Writing, x: Sequence[str], op: Operation) -> str:
    axes = op.params["dimensions"]
    ends = [np.iinfo(np.int64).min] * len(axes)
    steps = [-1] * len(axes)
    return g.node("Slice", x[0], *(ints(g, v) for v in (steps, ends, axes, steps)))


def stack(g: Writing, x: Sequence[str], op: Operation) -> str:
    axis = op.params["axis"]
    parts = [g.node("Unsqueeze", y, ints(g, [axis])) for y in x]
    return g.node("Concat", *parts, axis=axis)


def unstack(g: Writing, x: Sequence[str], op: Operation) -> list[str]:
    axis, n = op.params["axis"], len(op.made)
    parts = g.nodes("Split", n, x[0], ints(g, [1] * n), axis=axis)
    return [g.node("Squeeze", y, ints(g, [axis])) for y in parts]


def divide(g: Writing, x: Sequence[str], op: Operation) -> list[str]:
    sizes = op.params["sizes"]
    return g.nodes(
        "Split", len(sizes), x[0], ints(g, sizes), axis=int(op.params["axis"])
    )


# Numbers


def differ(g: Writing, x: Sequence[str], op: Operation) -> str:
    return g.node("Not", g.node("Equal", *x))


def inverse_root(g: Writing, x: Sequence[str], op: Operation) -> str:
    return g.node("Reciprocal", g.node("Sqrt", x[0]))


def log_of_more(g: Writing, x: Sequence[str], op: Operation) -> str:
    return g.node("Log", g.node("Add", x[0], g.constant(like(op, 1))))


def exp_less_one(g: Writing, x: Sequence[str], op: Operation) -> str:
    return g.node("Sub", g.node("Exp", x[0]), g.constant(like(op, 1)))


def convert(g: Writing, x: Sequence[str], op: Operation) -> str:
    return g.node("Cast", x[0], to=op.made[0].dtype)


def running_sum(g: Writing, x: Sequence[str], op: Operation) -> str:
    axis, back = op.params["axis"], op.params["reverse"]
    return g.node("CumSum", x[0], g.constant(np.array(axis)), reverse=int(back))


def power(g: Writing, x: Sequence[str], op: Operation) -> str:
    return g.node("Pow", x[0], g.constant(like(op, op.params["y"])))


def nearest(g: Writing, x: Sequence[str], op: Operation) -> str:
    if int(op.params["rounding_method"]) != 1:
        raise unwritable(op, "away from zero")
    return g.node("Round", x[0])


def finite(g: Writing, x: Sequence[str], op: Operation) -> str:
    odd = g.node("Or", g.node("IsInf", x[0]), g.node("IsNaN", x[0]))
    return g.node("Not", odd)


def select(g: Writing, x: Sequence[str], op: Operation) -> str:
    if len(x) != 3 or op.given[0].dtype != bool:
        raise unwritable(op, "of more than two")
    return either(g, x[0], x[2], x[1], op.made[0].dtype)


def reduction(kind: str) -> Operator:
    """A reduction over some axes; those of booleans go by way of integers."""

    def made(g: Writing, x: Sequence[str], op: Operation) -> str:
        boolean = op.given[0].dtype == bool
        y = g.node("Cast", x[0], to=np.dtype(np.int32)) if boolean else x[0]
        y = g.node(kind, y, ints(g, op.params["axes"]), keepdims=0)
        return g.node("Cast", y, to=op.made[0].dtype) if boolean else y

    return made


def extreme(kind: str) -> Operator:
    """The place of the first largest or smallest along one axis."""

    def made(g: Writing, x: Sequence[str], op: Operation) -> str:
        (axis,) = op.params["axes"]
        y = g.node(kind, x[0], axis=int(axis), keepdims=0)
        return g.node("Cast", y, to=np.dtype(op.params["index_dtype"]))

    return made


# Products


def product(g: Writing, x: Sequence[str], op: Operation) -> str:
    """Any contraction; `x @ W` as a matrix product."""
    (left, right), (left_batch, right_batch) = op.params["dimension_numbers"]
    m, n = (len(a.shape) for a in op.given)
    if not left_batch and n == 2 and (*left,) == (m - 1,) and (*right,) == (0,):
        return g.node("MatMul", *x)
    free = iter(string.ascii_letters)
    a = [next(free) for _ in range(m)]
    b = [next(free) for _ in range(n)]
    for i, j in zip((*left, *left_batch), (*right, *right_batch), strict=True):
        b[j] = a[i]
    batch = [a[i] for i in left_batch]
    rest = [c for i, c in enumerate(a) if i not in (*left, *left_batch)]
    rest += [c for j, c in enumerate(b) if j not in (*right, *right_batch)]
    formula = f"{''.join(a)},{''.join(b)}->{''.join(batch + rest)}"
    return g.node("Einsum", *x, equation=formula)


def convolution(g: Writing, x: Sequence[str], op: Operation) -> str:
    p = op.params
    if p["batch_group_count"] != 1 or set(p["lhs_dilation"]) - {1}:
        raise unwritable(op, "transposed")
    image, window, out = p["dimension_numbers"]
    y = g.node(
        "Conv",
        g.node("Transpose", x[0], perm=image),
        g.node("Transpose", x[1], perm=window),
        strides=p["window_strides"],
        pads=[side for sides in zip(*p["padding"], strict=True) for side in sides],
        dilations=p["rhs_dilation"],
        group=p["feature_group_count"],
    )
    return g.node("Transpose", y, perm=np.argsort(out))


def pool(g: Writing, x: Sequence[str], op: Operation) -> str:
    """The largest in each window. ONNX slides over all axes but the first two, so two
    over which nothing slides come first."""
    p, still = op.params, (1, 1, (0, 0), 1)
    keys = ("window_dimensions", "window_strides", "padding", "window_dilation")
    moves = list(zip(*(p[k] for k in keys), strict=True))
    first = [i for i, move in enumerate(moves) if move == still][:2]
    axes = [i for i in range(len(moves)) if i not in first]
    if set(p["base_dilation"]) - {1} or len(first) < 2:
        raise unwritable(op, "over these axes")
    windows, strides, pads, dilations = zip(*(moves[i] for i in axes), strict=True)
    y = g.node(
        "MaxPool",
        g.node("Transpose", x[0], perm=first + axes),
        kernel_shape=windows,
        strides=strides,
        pads=[side for sides in zip(*pads, strict=True) for side in sides],
        dilations=dilations,
    )
    return g.node("Transpose", y, perm=np.argsort(first + axes))


NAMES: Mapping[str, str] = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "ceil": "Ceil",
    "copy": "Identity",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "stop_gradient": "Identity",
    "sub": "Sub",
    "tanh": "Tanh",
    "xor": "Xor",
}
FUNCTIONS: Mapping[str, Operator] = {
    "argmax": extreme("ArgMax"),
    "argmin": extreme("ArgMin"),
    "broadcast_in_dim": broadcast,
    "clamp": lambda g, x, op: g.node("Max", x[0], g.node("Min", x[1], x[2])),
    "concatenate": lambda g, x, op: g.node("Concat", *x, axis=op.params["dimension"]),
    "conv_general_dilated": convolution,
    "convert_element_type": convert,
    "cumsum": running_sum,
    "dot_general": product,
    "expm1": exp_less_one,
    "gather": pick,
    "integer_pow": power,
    "is_finite": finite,
    "log1p": log_of_more,
    "ne": differ,
    "pad": pad,
    "reduce_and": reduction("ReduceMin"),
    "reduce_max": reduction("ReduceMax"),
    "reduce_min": reduction("ReduceMin"),
    "reduce_or": reduction("ReduceMax"),
    "reduce_prod": reduction("ReduceProd"),
    "reduce_sum": reduction("ReduceSum"),
    "reduce_window_max": pool,
    "rem": lambda g, x, op: g.node("Mod", *x, fmod=1),
    "reshape": reshape,
    "rev": reverse,
    "round": nearest,
    "rsqrt": inverse_root,
    "scatter": put,
    "select_n": select,
    "slice": cut,
    "split": divide,
    "square": lambda g, x, op: g.node("Mul", x[0], x[0]),
    "squeeze": lambda g, x, op: g.node(
        "Squeeze", x[0], ints(g, op.params["dimensions"])
    ),
    "stack": stack,
    "tile": lambda g, x, op: g.node("Tile", x[0], ints(g, op.params["reps"])),
    "transpose": lambda g, x, op: g.node(
        "Transpose", x[0], perm=op.params["permutation"]
    ),
    "unstack": unstack,
}
