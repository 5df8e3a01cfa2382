"""D4RL's layout: one HDF5 file of flat arrays.

`observations`, `actions`, `rewards`, `terminals`, `timeouts` (without which time limits
are not known), and perhaps `next_observations` and `infos/propensity`; all else is
passed over. Fu et al., 2020. https://arxiv.org/abs/2004.07219
"""

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core import DataFault, Spec
from ..blocks import Block, fitted, known, Reading
from ..dataset import CHUNK
from ..flat import episodes, Rows, rows
from ..infer import settled
from ..names import listed, named, unnamed
from . import about, hdf5


NAMES = ("observations", "actions", "rewards", "terminals")
SAID = "metadata"  # the group with what Peira adds


def is_one(path: Path) -> bool:
    return path.is_file() and hdf5.has_magic(path)


def read(path: Path, spec: Spec | None) -> Reading:
    """A file that is checked, but not read; raises `DataFault`."""
    with hdf5.opened(path) as file:
        for name in NAMES:
            if name not in file:
                raise DataFault(f"{name} is missing: there are {listed(file)}")
        lengths = {name: len(x) for name, x in held(file).items()}
        if len(set(lengths.values())) > 1:
            raise DataFault(f"its arrays are not equally long: {lengths}")
        own, meta = about.heard(hdf5.text(file, SAID, about.KEY))
        notes = [] if "timeouts" in file else ["no timeouts: time limits are not known"]
    spec = own or spec
    if notes:
        meta |= {"notes": [*meta.get("notes", ()), *notes]}
    return Reading("d4rl", spec, functools.partial(blocks, path, spec), meta)


def held(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The arrays that count, by their paths."""
    names = (*NAMES, "timeouts", "next_observations")
    found = {path: x for n in names for path, x in hdf5.arrays(file, n).items()}
    infos = hdf5.member(file, "infos")
    if isinstance(infos, h5py.Group):
        likely = hdf5.array(infos, "propensity")
        found |= {} if likely is None else {"propensity": likely}
    return found


def blocks(path: Path, spec: Spec | None, done: Counter[str]) -> Iterator[Block]:
    with hdf5.opened(path) as file:
        yield from episodes(chunks(held(file), spec), done)


def chunks(found: dict[str, h5py.Dataset], spec: Spec | None) -> Iterator[Rows]:
    """Some rows at a time."""
    widest = max(x.dtype.itemsize * int(np.prod(x.shape[1:])) for x in found.values())
    n, size = len(found["rewards"]), max(1, CHUNK // max(1, widest))
    obs, action = (None, None) if spec is None else (spec.obs, spec.action)
    for first in range(0, n, size):
        part = {name: x[first : first + size] for name, x in found.items()}
        seen = unnamed("observations", part, obs)
        led = "next_observations"
        known = any(name.startswith(led) for name in part)
        yield rows(
            (seen, None),
            unnamed("actions", part, action),
            part["rewards"],
            part["terminals"],
            part.get("timeouts"),
            led=(unnamed(led, part, obs), None) if known else None,
            propensity=part.get("propensity"),
            first=first,
        )


def write(source: Reading, path: Path) -> None:
    """Write a file of this layout, with the next observations, so that all of it can be
    read again."""
    source = settled(source)
    spec, done = known(source), Counter()
    if spec.masked:
        raise DataFault(
            "D4RL's layout has no place for masks of legal actions: choose native, "
            "minari, npz or parquet"
        )
    with h5py.File(path, "w") as file:
        for block in fitted(source.blocks(done), spec):
            for name, x in laid_out(block).items():
                append(file, name, x)
        if "rewards" not in file:
            raise DataFault("the dataset is empty: it holds no step")
        hdf5.write_text(
            file, f"{SAID}/{about.KEY}", about.said(spec, source.notes(done))
        )


def laid_out(block: Block) -> dict[str, np.ndarray]:
    """The arrays of a block by their paths."""
    row = np.arange(len(block.reward)) + np.repeat(
        np.arange(len(block.lengths)), block.lengths
    )
    found = {name: x[row] for name, x in named("observations", block.obs).items()}
    led = named("next_observations", block.obs)
    found |= {name: x[row + 1] for name, x in led.items()}
    found |= named("actions", block.action) | {"rewards": block.reward}
    found |= {"terminals": block.terminated, "timeouts": block.truncated}
    if block.propensity is not None:
        found |= {"infos/propensity": block.propensity}
    return {name.replace(".", "/"): x for name, x in found.items()}


def append(file: h5py.File, name: str, x: np.ndarray) -> None:
    if name not in file:
        file.create_dataset(name, data=x, chunks=True, maxshape=(None, *x.shape[1:]))
        return
    old: Any = file[name]
    old.resize(len(old) + len(x), axis=0)
    old[-len(x) :] = x
