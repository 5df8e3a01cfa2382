"""Minari's HDF5 storage: a group for each episode, and in it one for each Dict or
Tuple."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import PyTree

from ...core import DataFault, Spec
from . import hdf5


FILE = "main_data.hdf5"
MEMBERS = ("observations", "actions", "rewards", "terminations", "truncations")
INFOS = ("action_mask", "propensity")
PART = "_index_"  # of a tuple


def episodes(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """The episodes in their order, each as a dict of what it is made of."""
    with hdf5.opened(folder / FILE) as file:
        for i in range(count):
            group = hdf5.member(file, f"episode_{i}")
            if not isinstance(group, h5py.Group):
                raise DataFault(f"episode_{i} is missing, of {count} announced")
            infos = hdf5.member(group, "infos")
            yield parts(group, MEMBERS) | {
                "infos": parts(infos, INFOS) if isinstance(infos, h5py.Group) else {}
            }


def parts(group: h5py.Group, names: tuple[str, ...]) -> dict[str, PyTree]:
    return {name: tree(group, name) for name in names if name in group}


def tree(group: Any, name: str) -> PyTree:
    found = hdf5.member(group, name)
    if isinstance(found, h5py.Group):
        names = list(found)
        if all(k.startswith(PART) for k in names):
            return tuple(tree(found, f"{PART}{i}") for i in range(len(names)))
        return {k: tree(found, k) for k in names}
    if isinstance(found, h5py.Dataset) and is_bytes(found):
        return found[()]
    x = hdf5.array(group, name)
    if x is None:
        raise DataFault(f"{name} is missing")
    return x[()]


def is_bytes(x: h5py.Dataset) -> bool:
    """Strings of bytes of various lengths: images as JPEG."""
    return h5py.check_vlen_dtype(x.dtype) == np.uint8 and not x.external


def store(
    folder: Path, numbered: Iterable[tuple[int, dict[str, Any]]], spec: Spec
) -> tuple[int, int]:
    """Write episodes; how many, and how many steps."""
    count = steps = 0
    with h5py.File(folder / FILE, "w", track_order=True) as file:
        for i, episode in numbered:
            group = file.create_group(f"episode_{i}")
            n = len(episode["rewards"])
            group.attrs.update({"id": i, "total_steps": n})
            for name, inner in episode.items():
                if inner is not None:
                    put(group, name, inner)
            count, steps = i + 1, steps + n
    return count, steps


def put(group: h5py.Group, name: str, x: PyTree) -> None:
    if isinstance(x, dict | tuple):
        parts = x if isinstance(x, dict) else {f"{PART}{i}": v for i, v in enumerate(x)}
        inner = group.create_group(name)
        for key, value in parts.items():
            put(inner, key, value)
        return
    group.create_dataset(name, data=x, chunks=True, maxshape=(None, *x.shape[1:]))
