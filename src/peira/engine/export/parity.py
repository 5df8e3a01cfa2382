"""Does what was exported act as the policy does? Thousands of observations tell.

They are drawn from the problem's spaces, and taken from the environment where there is
one. Each is answered in a batch and alone. Real-valued outputs may differ by the
tolerance; choices must be the same, but where the policy itself finds the two best as
good as equal (a tie within the tolerance).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from ...core import (
    Box,
    Discrete,
    ExportFault,
    is_space,
    MultiDiscrete,
    Space,
    Spec,
    TimeStep,
)
from .greedy import graph, Greedy, split
from .program import evaluate, operations


Arrays = Mapping[str, np.ndarray]
Runner = Callable[[Arrays], Arrays]
ROWS, STEPS = 256, 8  # actors side by side, and steps of each
MOST = 2**24  # numbers at once: of large observations there are fewer
NARROW = 256  # a wider range is drawn from as if it had no end


class Parity(NamedTuple):
    """How an exported policy compares with the policy itself."""

    drawn: int
    """Observations drawn from the spaces."""
    recorded: int
    """Observations taken from the environment."""
    error: float
    """Largest difference of a real-valued output, in units of its size where that is
    larger than one."""
    ties: int
    """Observations at which another choice was made that is as good."""


def compare(
    policy: Greedy, run: Runner, recorded: Iterable[TimeStep], *, tolerance: float
) -> Parity:
    """Hold an exported policy against the policy itself; raises `ExportFault` where
    they differ by more than the tolerance."""
    found = Parity(0, 0, 0.0, 0)
    for kind, steps in (("drawn", drawn(policy.spec)), ("recorded", recorded)):
        for inputs, wanted, answers in walk(policy, run, steps):
            found_here = [difference(policy, wanted, got) for got in answers]
            error = max(error for error, _ in found_here)
            odd = np.any([odd for _, odd in found_here], axis=0)
            ties = near_ties(policy, inputs, tolerance) if odd.any() else odd
            if not error <= tolerance or (odd & ~ties).any():
                raise ExportFault(failure(error, odd & ~ties, tolerance))
            found = found._replace(
                error=max(found.error, error),
                ties=found.ties + int(odd.sum()),
                **{kind: getattr(found, kind) + odd.size},
            )
    return found


def failure(error: float, odd: np.ndarray, tolerance: float) -> str:
    what = (
        f"chooses otherwise on {odd.sum()} of {odd.size} observations"
        if odd.any()
        else f"differs by {error:.2g}, more than the tolerance of {tolerance:g}"
    )
    return f"what was exported {what}; nothing was written"


def walk(
    policy: Greedy, run: Runner, steps: Iterable[TimeStep]
) -> Iterator[tuple[Arrays, Arrays, tuple[Arrays, Arrays]]]:
    """For each step of many actors: what is asked, what the policy answers, and what
    was exported answers, in a batch and alone. All carry what the policy does."""
    answer, carry = jax.jit(policy), None
    for t in steps:
        n = t.first.shape[0]
        inputs = policy.feed(t) | (policy.start(n) if carry is None else carry)
        wanted = {k: np.asarray(x) for k, x in answer(inputs).items()}
        rows = [run({k: x[i : i + 1] for k, x in inputs.items()}) for i in range(n)]
        alone = {k: np.concatenate([row[k] for row in rows]) for k in wanted}
        yield inputs, wanted, (run(inputs), alone)
        following = {k.removeprefix("next_"): x for k, x in wanted.items()}
        carry = {k: following[k] for k in policy.begin}


def difference(policy: Greedy, wanted: Arrays, got: Arrays) -> tuple[float, np.ndarray]:
    """The largest difference of real-valued outputs, and the rows in which any other
    output differs."""
    spaces = split("action", policy.spec.action)
    error, odd = 0.0, np.zeros(len(next(iter(wanted.values()))), bool)
    for port in policy.outputs:
        x, y = wanted[port.name], got[port.name]
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            raise ExportFault(
                f"what was exported gives {port.name} as {y.dtype}{list(y.shape)}, "
                f"not {x.dtype}{list(x.shape)}; nothing was written"
            )
        if x.dtype.kind != "f":
            odd |= (x != y).reshape(len(x), -1).any(axis=1)
            continue
        if not np.isfinite(x).all():
            raise ExportFault(f"the policy itself gives {port.name} that is not finite")
        gap = np.abs(x - y) / scale(spaces.get(port.name), x)
        error = max(error, float(np.where(np.isfinite(y), gap, np.inf).max(initial=0)))
    return error, odd


def scale(space: Space | None, x: np.ndarray) -> np.ndarray:
    """The size of real numbers, at least one: of an action that of its bounds, of
    anything else its own."""
    if isinstance(space, Box) and space.bounded:
        return np.maximum(1, np.maximum(np.abs(space.low), np.abs(space.high)))
    return np.maximum(1, np.abs(x))


def near_ties(policy: Greedy, inputs: Arrays, tolerance: float) -> np.ndarray:
    """The rows in which the two best of any choice that the policy makes are within
    the tolerance of each other (in units of their size)."""
    n = len(next(iter(inputs.values())))
    outputs = graph(policy.policy, policy.spec, policy.inputs, n)
    choices = [op for op in operations(outputs) if op.name in ("argmax", "argmin")]
    scores = jax.jit(lambda given: evaluate([op.inputs[0] for op in choices], given))
    close = np.zeros(n, bool)
    for op, x in zip(choices, scores(dict(inputs)), strict=True):
        last = np.moveaxis(np.asarray(x), op.params["axes"][0], -1)
        best = np.sort(last if op.name == "argmax" else -last)[..., -2:]
        size = np.maximum(1, np.abs(best[..., -1]))
        near = (best[..., -1] - best[..., 0]) <= tolerance * size
        close |= near.reshape(n, -1).any(axis=1)
    return close


def drawn(spec: Spec) -> Iterator[TimeStep]:
    """Steps of many actors as the spaces allow them; episodes open by chance."""
    rng = np.random.default_rng(0)
    size = sum(s.size for s in jax.tree.leaves(spec.obs, is_leaf=is_space))
    n = min(ROWS, 1 + MOST // size)

    def fill(tree: PyTree, make: Callable[..., np.ndarray]) -> PyTree:
        return jax.tree.map(lambda s: make(s, rng, n), tree, is_leaf=is_space)

    for step in range(STEPS):
        yield TimeStep(
            fill(spec.obs, draw),
            rng.normal(size=n).astype(np.float32),
            (rng.random(n) < 0.1) | (step == 0),
            fill(spec.action, masks) if spec.masked else None,
        )


def draw(space: Space, rng: np.random.Generator, n: int) -> np.ndarray:
    """Items of a space: uniform, or normal of various sizes where it has no end."""
    shape = (n, *space.shape)
    match space:
        case Box(low, high):
            near = high.astype(float) - low <= NARROW
            ends = np.where(near, low, 0.0), np.where(near, high, 1.0)
            size = 10 ** rng.uniform(-1, 1, (n, *(1 for _ in space.shape)))
            far = np.clip(size * rng.normal(size=shape), low, high)
            x = np.where(near, rng.uniform(*ends, shape), far)
            return (x if space.dtype.kind == "f" else np.rint(x)).astype(space.dtype)
        case Discrete(m):
            return rng.integers(m, size=shape, dtype=np.int32)
        case MultiDiscrete(nvec):
            return rng.integers(nvec, size=shape, dtype=np.int32)
    return rng.integers(2, size=shape, dtype=np.int8)


def masks(
    space: Discrete | MultiDiscrete, rng: np.random.Generator, n: int
) -> np.ndarray:
    """Masks of legal actions, with one or more of each choice legal."""
    sides = space.nvec if isinstance(space, MultiDiscrete) else (space.n,)
    parts = [rng.random((n, side)) for side in sides]
    least = [x <= np.maximum(x.min(axis=1, keepdims=True), 0.5) for x in parts]
    return np.concatenate(least, axis=1)
