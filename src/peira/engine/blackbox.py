"""The update in which a number was not finite: written down, and made again slowly.

What is kept is the learner as the update left it (whatever refused its step is as it
was before), the batch and the key.
"""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from ..core import Algorithm, keeper, Key, root, RunFault, Spec
from ..data import dealt, sketch
from . import arrays, policies
from .files import new_folder
from .loop import unborn


NOTHING = "nothing: made again, every number is finite"
LIBRARIES: tuple[ModuleType, ...] = (jax, eqx, optax, np)


def record(
    folder: Path,
    *,
    algorithm: Algorithm,
    name: str,
    spec: Spec,
    envs: int,
    learner: PyTree,
    batch: PyTree,
    key: Key,
    meta: dict[str, Any],
) -> str:
    """Write the update down; what in it was not finite first. Raises `RunFault`."""
    said = policies.heading(algorithm, name, spec) | {"envs": envs, "meta": meta}
    tree = {"learner": learner, "batch": batch, "key": key}
    said["first"] = first_odd(algorithm, learner, batch, key)
    try:
        with new_folder(folder) as new:
            arrays.write(new, "update", tree, said)
    except OSError as error:
        raise RunFault(f"cannot write {folder}: {error}") from None
    return said["first"]


def replay(folder: Path, get: Callable[[str], type[Algorithm]]) -> dict[str, Any]:
    """Make the recorded update again, operation by operation: `meta`, what was found
    `first` and what is found `now`. Raises `RunFault`."""
    about = arrays.read_about(folder, "update")
    try:
        _, algorithm, spec = policies.described(about, get)
        envs, meta, first = int(about["envs"]), dict(about["meta"]), str(about["first"])
        like = jax.eval_shape(lambda: outline(algorithm, spec, envs))
    except RunFault as fault:
        raise RunFault(f"{folder}: {fault}") from None
    except Exception as error:  # nothing a file says may end in a traceback
        reason = str(error).partition("\n")[0]
        raise RunFault(f"{folder} does not describe an update: {reason}") from None
    tree = arrays.read(folder, "update", like, about)
    now = first_odd(algorithm, tree["learner"], tree["batch"], tree["key"])
    return {"meta": meta, "first": first, "now": now}


def outline(algorithm: Algorithm, spec: Spec, envs: int) -> dict[str, PyTree]:
    """An update before any experience, for its shapes."""
    if spec.data is not None:
        learner = algorithm.init(spec, key=root(0))
        deal = dealt(algorithm.store(spec))
        kept = jax.tree.map(jnp.asarray, sketch(spec, deal))
        batch = deal.sample(kept, key=root(0))
        return {"learner": learner, "batch": batch, "key": root(0)}
    store = keeper(algorithm, spec)
    learner, kept = unborn(algorithm, spec, store, envs)
    batch = store.sample(kept, key=root(0))
    return {"learner": learner, "batch": batch, "key": root(0)}


def first_odd(algorithm: Algorithm, learner: PyTree, batch: PyTree, key: Key) -> str:
    """The first number that is not finite: in the batch, in the learner, or else the
    line of code it comes from."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(
        {"batch": batch, "learner": learner}
    ):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not jnp.isfinite(leaf).all():
            return jax.tree_util.keystr(path, simple=True, separator=".")
    for switch in (jax.debug_nans, jax.debug_infs):
        with jax.disable_jit(), switch(True):
            try:
                algorithm.update(learner, batch, key=key)
            except FloatingPointError as error:
                return place(error)
    return NOTHING


def place(error: FloatingPointError) -> str:
    """The last line of the algorithm's own, or of ours, that an error came through."""
    homes = [str(Path(str(m.__file__)).parent) for m in LIBRARIES]
    lines = [
        f"{Path(line.filename).name}:{line.lineno}: {line.line}"
        for line in own(traceback.extract_tb(error.__traceback__), homes)
    ]
    return lines[-1] if lines else str(error).partition("\n")[0]


def own(
    lines: traceback.StackSummary, homes: list[str]
) -> Iterator[traceback.FrameSummary]:
    for line in lines:
        if not any(line.filename.startswith(home) for home in homes):
            yield line
