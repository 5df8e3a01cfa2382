"""Pytrees as arrays with names: `obs`, or `obs.camera` and `obs.speed`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from ..core import DataFault, is_space


def named(part: str, tree: PyTree) -> dict[str, Any]:
    """Every leaf under its name."""
    return {
        name_of(part, path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_space)
    }


def name_of(part: str, path: Any) -> str:
    inner = jax.tree_util.keystr(path, simple=True, separator=".")
    name = f"{part}.{inner}" if inner else part
    if not re.fullmatch(r"[\w.-]+", name):
        raise DataFault(f"{inner!r} cannot be a name")
    return name


def unnamed(part: str, found: Mapping[str, Any], like: PyTree | None) -> PyTree:
    """The pytree of the arrays whose names begin with `part`, like a pytree of spaces,
    or as the names say. Raises `DataFault` for one that is missing or too many."""
    own = {name: x for name, x in found.items() if belongs(name, part)}
    if like is None:
        return nested({n[len(part) + 1 :]: x for n, x in own.items()}, part)
    names = list(named(part, like))
    for name in names:
        if name not in own:
            raise DataFault(f"{name} is missing: there are {listed(found)}")
    for name in own:
        if name not in names:
            raise DataFault(f"{name} is not in the space of {part}")
    form = jax.tree.structure(like, is_leaf=is_space)
    return jax.tree.unflatten(form, [own[name] for name in names])


def belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def nested(inner: Mapping[str, Any], part: str) -> PyTree:
    """Dicts by the dots in the names; a tuple where they count from 0."""
    if not inner:
        raise DataFault(f"{part} is missing")
    if "" in inner:
        if len(inner) > 1:
            raise DataFault(f"{part} is there both whole and in parts")
        return inner[""]
    groups: dict[str, dict[str, Any]] = {}
    for name, x in inner.items():
        head, _, rest = name.partition(".")
        groups.setdefault(head, {})[rest] = x
    trees = {head: nested(g, f"{part}.{head}") for head, g in groups.items()}
    counted = [str(i) for i in range(len(trees))]
    return tuple(trees[i] for i in counted) if set(counted) == set(trees) else trees


def listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
