"""A dataset from whatever it lies in."""

from pathlib import Path

from ..core import DataFault
from . import native
from .dataset import Dataset


def read(path: Path | str) -> Dataset:
    """The dataset at a path; raises `DataFault` for what is none."""
    path = Path(path)
    if not path.exists():
        raise DataFault(f"{path} does not exist")
    if (path / native.ABOUT).exists():
        return native.load(path)
    raise DataFault(f"{path} is not a dataset of a known format")
