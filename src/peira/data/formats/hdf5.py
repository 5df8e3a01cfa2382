"""HDF5 files of strangers: only arrays of numbers that lie in the file itself."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from ...core import DataFault


MAGIC = b"\x89HDF\r\n\x1a\n"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, to be read; raises `DataFault` for one that is none or is cut off."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        said = str(error).partition("\n")[0]
        raise DataFault(f"not an HDF5 file, or a part of one: {said}") from None
    with file:
        yield file


def has_magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def array(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """An array of a group, not read yet, or nothing; raises `DataFault` for what is no
    array of numbers or would be read from another file."""
    found = member(group, name)
    if found is None:
        return None
    if not isinstance(found, h5py.Dataset):
        raise DataFault(f"{name} is a group, not an array")
    if found.is_virtual or found.external:
        raise DataFault(f"{name} lies in another file: copy it into this one")
    if found.dtype.kind not in "fiub":
        raise DataFault(f"{name} is {found.dtype}: not numbers")
    return found


def member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """What a group holds under a name; raises `DataFault` for a link to elsewhere."""
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise DataFault(f"{name} is a link to elsewhere: copy what it leads to")
    found = group.get(name)
    if not isinstance(found, h5py.Group | h5py.Dataset):
        raise DataFault(f"{name} is neither an array nor a group")
    return found


def arrays(group: h5py.Group, name: str) -> dict[str, h5py.Dataset]:
    """Every array at or below a name, by its path with dots between: `observations`,
    or `observations.camera`."""
    found = member(group, name)
    if not isinstance(found, h5py.Group):
        one = array(group, name)
        return {} if one is None else {name: one}
    inner = [arrays(found, str(child)) for child in found]
    return {f"{name}.{path}": x for part in inner for path, x in part.items()}


def text(file: h5py.File, group: str, name: str) -> str | None:
    """Text that was written by `write_text`."""
    home = member(file, group)
    found = array(home, name) if isinstance(home, h5py.Group) else None
    return None if found is None else bytes(np.asarray(found, np.uint8)).decode()


def write_text(file: h5py.File, name: str, said: str) -> None:
    """Text as bytes: an attribute holds no more than 64 KiB."""
    file.create_dataset(name, data=np.frombuffer(said.encode(), np.uint8))
