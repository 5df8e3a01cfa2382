"""Files and folders that are either wholly there or not at all.

Everything is written beside its place, forced to the disk and then renamed. The last
instant before a folder's rename has its old self removed already: a reader then takes
the one that lies beside, which is whole.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def beside(path: Path) -> Path:
    """Where the next version of a file or folder is written."""
    return path.with_name(path.name + ".tmp")


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file at one stroke; raises `OSError` with the old one intact."""
    new = beside(path)
    with removed(new):
        new.write_bytes(data)
    move(new, path)


def move(new: Path, path: Path) -> None:
    """Put a file that was written beside into its place; raises `OSError`."""
    with removed(new):
        sync(new)
        os.replace(new, path)
    sync(path.parent)


@contextlib.contextmanager
def removed(path: Path) -> Iterator[None]:
    """A file that cannot be finished does not stay."""
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


@contextlib.contextmanager
def hold(path: Path, *, join: bool = False) -> Iterator[None]:
    """Hold a folder until the block ends, or this process, however it ends; with
    `join`, together with those who hold it. Raises `BlockingIOError` when it is held.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        try:
            if not join:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(number, fcntl.LOCK_SH)
        except BlockingIOError:
            raise
        except OSError:
            pass  # a file system without locks, as on some clusters
        yield
    finally:
        os.close(number)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when all went well."""
    new = beside(path)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        for file in new.iterdir():
            sync(file)
        sync(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if path.exists():
        shutil.rmtree(path)
    os.rename(new, path)
    sync(path.parent)
