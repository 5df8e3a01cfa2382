"""Large arrays on disk in pieces that are named by their checksums: what has not
changed since it was last written is there already, and is not written again.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..core import RunFault
from .files import beside, move, removed


SIZE = 2**22  # bytes


class DamageFault(RunFault):
    """A file is not as it was written."""


def store(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays into one file; raises `OSError`."""
    try:
        save_file(arrays, file)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def is_large(x: np.ndarray) -> bool:
    """Whether it comes in several pieces."""
    return x.nbytes >= 2 * SIZE


def put(folder: Path, x: np.ndarray) -> dict[str, Any]:
    """Keep an array; what it is, and the names of its pieces. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = x.reshape(-1).view(np.uint8)
    parts = [keep(folder, flat[i : i + SIZE]) for i in range(0, flat.size, SIZE)]
    return {"dtype": x.dtype.name, "shape": list(x.shape), "parts": parts}


def keep(folder: Path, part: np.ndarray) -> str:
    """Write a piece unless it is there already; its name."""
    name = hashlib.sha256(part.data).hexdigest()
    file = place(folder, name)
    if not file.exists():
        with removed(beside(file)):
            store(beside(file), {"bytes": part})
        move(beside(file), file)
    return name


def place(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def gather(folder: Path, said: dict[str, Any], size: int) -> np.ndarray:
    """The array of so many bytes that `put` described; raises `DamageFault`, or
    `ValueError` and the like for what it cannot have said."""
    parts: list[np.ndarray] = []
    for name in said["parts"]:
        parts.append(fetch(folder, name))
        size -= parts[-1].size
        if size < 0:  # no file may fill the memory
            raise ValueError("its pieces hold too much")
    whole = np.concatenate(parts)
    return whole.view(np.dtype(said["dtype"])).reshape(said["shape"])


def fetch(folder: Path, name: Any) -> np.ndarray:
    if not (isinstance(name, str) and re.fullmatch("[0-9a-f]{64}", name)):
        raise DamageFault(f"{folder} can hold no piece of the name {name!r}")
    file = place(folder, name)
    try:
        part = load_file(file)["bytes"]
    except (OSError, SafetensorError, KeyError) as error:
        raise DamageFault(f"{file} cannot be read: {error}") from None
    if hashlib.sha256(part.data).hexdigest() != name:
        raise DamageFault(f"{file} is damaged: its checksum does not hold")
    return part


def sweep(folder: Path, used: set[str]) -> None:
    """Remove every piece but these."""
    for file in folder.glob("*"):
        if file.name.partition(".")[0] not in used:
            file.unlink(missing_ok=True)
