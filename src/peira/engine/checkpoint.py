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
from .files import new_folder


KEPT = 2
FORMAT = 1


def steps(folder: Path) -> dict[int, Path]:
    """Where the checkpoint of each step lies, oldest first, damaged ones included."""
    found: dict[int, Path] = {}
    for state in sorted(folder.glob("step-*/state.json"), reverse=True):
        match = re.fullmatch(r"step-(\d+)(\.tmp)?", state.parent.name)
        if match:  # sorted so that one in its place goes before one beside it
            found[int(match[1])] = state.parent
    return dict(sorted(found.items()))


def save(folder: Path, tree: PyTree, *, meta: dict[str, Any]) -> None:
    """Write arrays (typed random keys included) and plain JSON as `step-<n>`, n being
    `meta["step"]`. Raises `RunFault` with the last checkpoint intact."""
    step = meta["step"]
    about = {"format": FORMAT, "meta": meta}
    try:
        with new_folder(folder / f"step-{step}") as new:
            arrays.write(new, "state", tree, about)
    except OSError as error:
        last = next(reversed(steps(folder).values()), None)
        raise RunFault(
            f"cannot write {folder}/step-{step}: {error}; "
            f"the last good checkpoint is {last}"
        ) from None
    keep = [path for n, path in steps(folder).items() if n <= step][-KEPT:]
    for path in set(folder.glob("step-*")) - set(keep):
        shutil.rmtree(path, ignore_errors=True)


def latest(
    folder: Path, like: PyTree, *, by: int | None = None
) -> tuple[PyTree, dict[str, Any]]:
    """The newest checkpoint that is whole (no later than step `by`), and its `meta`.

    `like` is a pytree of arrays with the same names, shapes and dtypes; its NumPy
    leaves stay NumPy. Raises `RunFault` when there is none, or when it is another's.
    """
    faults = []
    for step, path in reversed(steps(folder).items()):
        if by is not None and step > by:
            continue
        try:
            about = arrays.read_about(path, "state")
        except RunFault as fault:
            faults.append(str(fault))
            continue
        if faults:
            warnings.warn(f"{faults[0]}; going back to {path}", stacklevel=2)
        match about:
            case {"format": int(form), "meta": {"step": int()} as meta}:
                if form <= FORMAT:
                    return arrays.read(path, "state", like, about), meta
        raise RunFault(f"{path} was not written by this Peira or an older one")
    reason = f": {faults[0]}" if faults else ""
    raise RunFault(f"{folder} has no checkpoint to go on from{reason}")
