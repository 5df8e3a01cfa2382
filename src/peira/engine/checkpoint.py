"""Checkpoints: written beside and renamed, checksummed, the last good one kept.

A crash at any instant leaves at least one that is whole; nothing in one can run code.
"""

import contextlib
import errno
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from ..core import RunFault
from . import arrays, pieces
from .files import new_folder


PIECES = "pieces"  # of large arrays, shared by the checkpoints of a folder
FORMAT = 2


def steps(folder: Path) -> dict[int, Path]:
    """Where the checkpoint of each step lies, oldest first, damaged ones included."""
    found: dict[int, Path] = {}
    for state in sorted(folder.glob("step-*/state.json"), reverse=True):
        match = re.fullmatch(r"step-(\d+)(\.tmp)?", state.parent.name)
        if match:  # sorted so that one in its place goes before one beside it
            found[int(match[1])] = state.parent
    return dict(sorted(found.items()))


def save(
    folder: Path, tree: PyTree, *, meta: dict[str, Any], owner: str = "", keep: int = 2
) -> None:
    """Write arrays (typed random keys included) and plain JSON as `step-<n>`, n being
    `meta["step"]`, in the name of an owner. Raises `RunFault` with the last checkpoint
    intact."""
    step = meta["step"]
    about = {"format": FORMAT, "owner": owner, "meta": meta}
    try:
        with new_folder(folder / f"step-{step}") as new:
            arrays.write(new, "state", tree, about, folder / PIECES)
    except OSError as error:
        last = next(reversed(steps(folder).values()), None)
        raise RunFault(
            f"cannot write {folder}/step-{step}: {error}{room(folder, tree, error)}; "
            f"the last good checkpoint is {last}"
        ) from None
    kept = [path for n, path in steps(folder).items() if n <= step][-keep:]
    for path in set(folder.glob("step-*")) - set(kept):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(RunFault):  # one that cannot be read may still be mended
        said = [arrays.read_about(path, "state") for path in kept]
        large = [array for x in said for array in x["large"].values()]
        used = {part for array in large for part in array["parts"]}
        pieces.sweep(folder / PIECES, used)


def room(folder: Path, tree: PyTree, error: OSError) -> str:
    """How much space is needed, where that is what is lacking."""
    if error.errno != errno.ENOSPC:
        return ""
    needed = sum(x.nbytes for x in jax.tree.leaves(tree) if not arrays.is_key(x))
    free = shutil.disk_usage(folder).free
    return f" (at most {needed / 2**20:.1f} MiB needed, {free / 2**20:.1f} MiB free)"


def latest(
    folder: Path, like: PyTree, *, by: int | None = None, owner: str = ""
) -> tuple[PyTree, dict[str, Any]]:
    """The newest checkpoint that is whole and the owner's (no later than step `by`),
    and its `meta`.

    `like` is a pytree of arrays with the same names, shapes and dtypes; its NumPy
    leaves stay NumPy. Raises `RunFault` when there is none, or when its arrays are
    others.
    """
    faults = []
    for step, path in reversed(steps(folder).items()):
        if by is not None and step > by:
            continue
        try:
            about = arrays.read_about(path, "state")
            meta = described(path, about, owner)
            tree = arrays.read(path, "state", like, about, folder / PIECES)
        except pieces.DamageFault as fault:
            faults.append(str(fault))
            continue
        if faults:
            warnings.warn(f"{faults[0]}; going back to {path}", stacklevel=2)
        return tree, meta
    reason = f": {faults[0]}" if faults else ""
    raise RunFault(f"{folder} has no checkpoint to go on from{reason}")


def described(path: Path, about: dict[str, Any], owner: str) -> dict[str, Any]:
    """The `meta` of a checkpoint that this Peira can read and that is the owner's."""
    match about:
        case {"format": int(form), "meta": {"step": int()} as meta} if form <= FORMAT:
            # The first format did not know its owner.
            if about.get("owner", owner) != owner:
                raise pieces.DamageFault(
                    f"{path} is a checkpoint of another run or seed"
                )
            return meta
    raise RunFault(
        f"{path} was not written by this Peira or an older one: upgrade Peira, or "
        "remove it to go on from the one before"
    )
