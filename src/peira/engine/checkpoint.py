"""Checkpoints: written beside and renamed, checksummed, the last good one kept.

A crash at any instant leaves at least one that is whole; nothing in one can run code.
"""

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from ..core import RunFault
from . import arrays
from .files import beside, new_folder


KEPT = 2
FORMAT = 1


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, whole or not, oldest first."""
    if not folder.is_dir():
        return []
    found = (re.fullmatch(r"step-(\d+)(\.tmp)?", p.name) for p in folder.iterdir())
    return sorted({int(match[1]) for match in found if match})


def save(folder: Path, tree: PyTree, *, meta: dict[str, Any]) -> None:
    """Write arrays (typed random keys included) and plain JSON as `step-<n>`, n being
    `meta["step"]`. Raises `RunFault` with the last checkpoint intact."""
    step = meta["step"]
    about = {"format": FORMAT, "meta": meta}
    try:
        with new_folder(folder / f"step-{step}") as new:
            arrays.write(new, "state", tree, about)
    except OSError as error:
        last = [n for n in steps(folder) if n != step]
        good = f"{folder}/step-{last[-1]}" if last else "none"
        raise RunFault(
            f"cannot write {folder}/step-{step}: {error}; "
            f"the last good checkpoint is {good}"
        ) from None
    past = [n for n in steps(folder) if n <= step]
    for n in set(steps(folder)) - set(past[-KEPT:]):
        remove(folder / f"step-{n}")


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(beside(path), ignore_errors=True)


def latest(
    folder: Path, like: PyTree, *, by: int | None = None
) -> tuple[PyTree, dict[str, Any]]:
    """The newest checkpoint that is whole (no later than step `by`), and its `meta`.

    `like` is a pytree of arrays with the same names, shapes and dtypes; its NumPy
    leaves stay NumPy. Raises `RunFault` when there is none, or when it is another's.
    """
    faults = []
    for step in reversed(steps(folder)):
        if by is not None and step > by:
            continue
        for path in (folder / f"step-{step}", beside(folder / f"step-{step}")):
            if not path.is_dir():
                continue
            try:
                about = arrays.read_about(path, "state")
            except RunFault as fault:
                faults.append(str(fault))
                continue
            if faults:
                warnings.warn(f"{faults[0]}; going back to {path}", stacklevel=2)
            return arrays.read(path, "state", like, about), about["meta"]
    reason = f": {faults[0]}" if faults else ""
    raise RunFault(f"{folder} has no checkpoint to go on from{reason}")
