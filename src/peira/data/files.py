"""Files and folders that are written whole, or not at all."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..core import DataFault


@contextlib.contextmanager
def fresh(path: Path) -> Iterator[Path]:
    """Where to write a file or a folder that is named `path` once the block has ended
    well. Raises `DataFault`, with nothing written, when that is there already or cannot
    be written."""
    if path.exists():
        raise DataFault(f"{path} exists: choose another name")
    new = path.with_name(path.name + ".tmp")
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        remove(new)
        yield new
        new.rename(path)
    except BaseException as error:
        remove(new)
        if isinstance(error, OSError):
            raise DataFault(f"cannot write {path}: {error}") from None
        raise


def remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
