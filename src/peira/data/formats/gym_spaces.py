"""Gymnasium's spaces as Minari writes them in JSON, and ours."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ...core import Box, DataFault, Discrete, MultiBinary, MultiDiscrete, Space
from ...core.spaces import fit, narrow


Start = np.ndarray | int


def from_words(words: Any, what: str) -> tuple[PyTree, PyTree]:
    """A space, and where the choices of each part begin to count. Raises
    `DataFault`."""
    try:
        said = json.loads(words) if isinstance(words, str) else words
        starts = translated(said, lambda s: np.asarray(s.get("start", 0)).ravel())
        return translated(said, leaf), starts
    except DataFault:
        raise
    except Exception as error:
        raise DataFault(f"the space of {what} makes no sense: {error!r}") from None


def translated(said: Any, each: Callable[[Any], Any]) -> PyTree:
    match said:
        case {"type": "Dict", "subspaces": dict(inner)}:
            return {k: translated(v, each) for k, v in inner.items()}
        case {"type": "Tuple", "subspaces": list(inner)}:
            return tuple(translated(v, each) for v in inner)
    return each(said)


def leaf(said: Any) -> Space:
    match said:
        case {"type": "Box", "dtype": name, "shape": shape, "low": low, "high": high}:
            theirs = np.dtype(name)
            dtype = narrow(theirs)
            sides = (np.asarray(x, theirs).reshape(shape) for x in (low, high))
            return Box(*(fit(x, dtype) for x in sides))
        case {"type": "Discrete", "n": n}:
            return Discrete(int(n))
        case {"type": "MultiDiscrete", "nvec": nvec}:
            return MultiDiscrete(tuple(int(n) for n in np.ravel(nvec)))
        case {"type": "MultiBinary", "n": n}:
            return MultiBinary(tuple(int(k) for k in np.ravel(n)))
    kind = said.get("type") if isinstance(said, dict) else said
    raise DataFault(
        f"a {kind} space cannot be learned from; served are Box, Discrete, "
        "MultiBinary, MultiDiscrete, and Dict and Tuple of them"
    )


def to_words(space: PyTree) -> str:
    return json.dumps(plain(space))


def plain(space: PyTree) -> dict[str, Any]:
    match space:
        case dict():
            inner = {k: plain(v) for k, v in space.items()}
            return {"type": "Dict", "subspaces": inner}
        case tuple() | list():
            return {"type": "Tuple", "subspaces": [plain(v) for v in space]}
        case Box():
            return {
                "type": "Box",
                "dtype": space.dtype.name,
                "shape": list(space.shape),
                "low": space.low.tolist(),
                "high": space.high.tolist(),
            }
        case Discrete(n):
            return {"type": "Discrete", "dtype": "int64", "start": 0, "n": n}
        case MultiDiscrete(nvec):
            none = [0] * len(nvec)
            return {
                "type": "MultiDiscrete",
                "dtype": "int32",
                "nvec": list(nvec),
                "start": none,
            }
        case MultiBinary(sides):
            return {"type": "MultiBinary", "n": list(sides)}
    raise DataFault(f"{space!r} has no form in Gymnasium")


def from_zero(tree: PyTree, starts: PyTree) -> PyTree:
    """Choices counted from zero; all else as it is."""
    leaves, form = jax.tree.flatten(tree)
    shifted = [
        x - s.reshape(s.shape if s.size > 1 else ()) if s.any() else x
        for x, s in zip(leaves, form.flatten_up_to(starts), strict=True)
    ]
    return jax.tree.unflatten(form, shifted)
