"""Policies on disk: they load and run without the run they came from.

A policy is rebuilt from its algorithm's name in the catalogue, its hyper-parameters and
its problem, and then filled with the saved arrays. No code is read from the file.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from ..core import Algorithm, Facts, is_space, PeiraError, Policy, root, RunFault, Spec
from ..core.spaces import from_json, to_json
from . import arrays
from .fields import plain, rebuild
from .files import beside, new_folder


FORMAT = 1
LARGEST = 2**28  # numbers in one observation; more is not of our making


class LoadedPolicy(NamedTuple):
    """A policy and where it came from."""

    policy: Policy
    algorithm: Algorithm
    name: str
    """Of the algorithm, in the catalogue."""
    spec: Spec
    meta: dict[str, Any]


def save_policy(
    folder: Path,
    policy: Policy,
    *,
    algorithm: Algorithm,
    name: str,
    spec: Spec,
    meta: dict[str, Any],
) -> None:
    """Write `policy.safetensors` and `policy.json` into the folder, in place of what
    it held. Raises `RunFault`."""
    about = heading(algorithm, name, spec) | {"meta": meta}
    try:
        with new_folder(folder) as new:
            arrays.write(new, "policy", policy, about)
    except OSError as error:
        raise RunFault(f"cannot write {folder}: {error}") from None


def heading(algorithm: Algorithm, name: str, spec: Spec) -> dict[str, Any]:
    """What `described` reads: all that is needed to make the like of it again."""
    return {
        "format": FORMAT,
        "algorithm": name,
        "version": type(algorithm).version,
        "hyper": plain(algorithm),
        "obs": to_json(spec.obs),
        "action": to_json(spec.action),
        "masked": spec.masked,
        "updates": spec.updates,
        "data": counts(spec.data),
    }


def load_policy(path: Path, get: Callable[[str], type[Algorithm]]) -> LoadedPolicy:
    """The policy in a folder; `get` finds an algorithm's class by its name.

    Raises `RunFault` when the folder is damaged, from a newer Peira, or of an algorithm
    whose numbers have changed since.
    """
    if not path.exists() and beside(path).exists():
        path = beside(path)
    about = arrays.read_about(path, "policy")
    try:
        name, algorithm, spec = described(about, get)
        meta = about["meta"]
        like = jax.eval_shape(lambda: outline(algorithm, spec))
    except RunFault as fault:
        raise RunFault(f"{path}: {fault}") from None
    except Exception as error:  # nothing a file says may end in a traceback
        reason = str(error).partition("\n")[0]
        raise RunFault(f"{path} does not describe a policy: {reason}") from None
    policy = arrays.read(path, "policy", like, about)
    return LoadedPolicy(policy, algorithm, name, spec, meta)


def outline(algorithm: Algorithm, spec: Spec) -> PyTree:
    """A policy before any learning, for its shapes."""
    return algorithm.policy(algorithm.init(spec, key=root(0)))


def described(
    about: dict[str, Any], get: Callable[[str], type[Algorithm]]
) -> tuple[str, Algorithm, Spec]:
    """Name, algorithm and problem, from what `heading` said."""
    if about["format"] > FORMAT:
        raise RunFault("it was written by a newer Peira; please upgrade")
    name, version = about["algorithm"], about["version"]
    try:
        cls = get(name)
        algorithm = rebuild(cls, about["hyper"])
    except PeiraError as error:
        raise RunFault(str(error)) from None
    if version != cls.version:
        raise RunFault(
            f"it is of version {version} of {name}; this Peira has version "
            f"{cls.version}, whose numbers differ"
        )
    obs, action = from_json(about["obs"]), from_json(about["action"])
    for space in jax.tree.leaves((obs, action), is_leaf=is_space):
        if math.prod(space.shape) > LARGEST:
            raise RunFault(f"a space of shape {space.shape} is too large")
    data = facts_like(obs, about.get("data"))
    masked, updates = bool(about["masked"]), int(about["updates"])
    return name, algorithm, Spec(obs, action, masked, updates, data)


def counts(facts: Facts | None) -> dict[str, Any] | None:
    """What is known of a dataset, but for what the learner holds itself."""
    if facts is None:
        return None
    fixed = [f.name for f in dataclasses.fields(facts) if f.metadata.get("static")]
    return {name: getattr(facts, name) for name in fixed}


def facts_like(obs: PyTree, said: dict[str, Any] | None) -> Facts | None:
    """The like of what `counts` was made of."""
    if said is None:
        return None
    nothing = jax.tree.map(lambda s: np.zeros(s.shape, "f4"), obs, is_leaf=is_space)
    return Facts(nothing, nothing, **said)
