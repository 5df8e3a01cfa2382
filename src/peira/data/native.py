"""A dataset as a folder of NumPy arrays beside `dataset.json`: memory-mapped when
opened, so that nothing is read before it is needed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ..core import DataFault, is_space, Spec
from ..core.spaces import from_json, to_json
from .blocks import Block, fitted, known, Reading
from .dataset import check, check_columns, Dataset
from .files import fresh
from .infer import settled
from .names import name_of, named


ABOUT = "dataset.json"
FORMAT = 1
PARTS = ("obs", "action", "legal")
PLAIN = ("reward", "terminated", "truncated", "starts", "propensity")


def save(data: Dataset, folder: Path) -> None:
    """Write the dataset into a folder that must not be there yet; raises `DataFault`,
    with nothing written, when it is."""
    with fresh(folder) as new:
        new.mkdir()
        for part in PARTS:
            for name, x in named(part, getattr(data, part)).items():
                np.save(new / name, x, allow_pickle=False)
        for part in PLAIN:
            if getattr(data, part) is not None:
                np.save(new / part, getattr(data, part), allow_pickle=False)
        (new / ABOUT).write_text(json.dumps(heading(data), indent=2) + "\n")


def stream(source: Reading, folder: Path) -> None:
    """Write what is read into such a folder, block by block: no more than one of them
    is ever in memory."""
    source = settled(source)
    spec, done = known(source), Counter()
    with fresh(folder) as new:
        new.mkdir()
        files: dict[str, Growing] = {}
        try:
            for block in fitted(source.blocks(done), spec):
                for name, x in columns(block).items():
                    if name not in files:
                        files[name] = Growing(new / f"{name}.npy", x)
                    files[name].append(x)
        finally:
            for file in files.values():
                file.close()
        if not files:
            raise DataFault("the dataset is empty: it holds no step")
        lengths = np.load(new / "lengths.npy", allow_pickle=False)
        (new / "lengths.npy").unlink()
        np.save(new / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]))
        data = opened(new, spec, "propensity" in files, source.notes(done))
        (new / ABOUT).write_text(json.dumps(heading(data), indent=2) + "\n")


def columns(block: Block) -> dict[str, np.ndarray]:
    """All arrays of a block by the names of their files."""
    trees = {part: getattr(block, part) for part in PARTS}
    found = {n: x for part, tree in trees.items() for n, x in named(part, tree).items()}
    plain = (*PLAIN[:3], "lengths", "propensity")
    found |= {part: getattr(block, part) for part in plain}
    return {name: x for name, x in found.items() if x is not None}


class Growing:
    """A `.npy` file that rows are appended to; its length is filled in at the end."""

    def __init__(self, file: Path, like: np.ndarray):
        self.file, self.rows = file.open("wb"), 0
        self.dtype, self.shape = like.dtype, like.shape[1:]
        self.head()

    def head(self) -> None:
        """NumPy leaves room in a header for the first axis to grow."""
        said = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.rows, *self.shape),
        }
        np.lib.format.write_array_header_1_0(self.file, said)

    def append(self, x: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(x, self.dtype).data)
        self.rows += len(x)

    def close(self) -> None:
        self.file.seek(0)
        self.head()
        self.file.close()


def heading(data: Dataset) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "steps": data.steps,
        "episodes": data.episodes,
        "obs": to_json(data.spec.obs),
        "action": to_json(data.spec.action),
        "masked": data.spec.masked,
        "propensity": data.propensity is not None,
        "fingerprint": data.fingerprint(),
        "meta": dict(data.meta),
    }


def load(folder: Path) -> Dataset:
    """The dataset in a folder; raises `DataFault` for anything else."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] > FORMAT:
            raise DataFault(f"{folder} was written by a newer Peira; please upgrade")
        spec = Spec(
            from_json(about["obs"]), from_json(about["action"]), bool(about["masked"])
        )
        likely = bool(about["propensity"])
        return check(opened(folder, spec, likely, dict(about["meta"])))
    except DataFault as fault:
        raise DataFault(f"{folder}: {fault}") from None
    except Exception as error:  # nothing a file says may end in a traceback
        reason = str(error).partition("\n")[0]
        raise DataFault(f"{folder} is not a dataset: {reason}") from None


def opened(folder: Path, spec: Spec, likely: bool, meta: dict[str, Any]) -> Dataset:
    """The arrays in a folder, mapped."""
    legal = spec.action if spec.masked else None
    parts = dict(zip(PARTS, (spec.obs, spec.action, legal), strict=True))
    arrays = {part: fill(folder, part, like) for part, like in parts.items()}
    plain = {part: mapped(folder / f"{part}.npy") for part in PLAIN[:-1]}
    plain["starts"] = np.array(plain["starts"], np.int64)
    if likely:
        plain["propensity"] = mapped(folder / "propensity.npy")
    columns = {**plain, "legal": arrays["legal"]}
    check_columns(spec, columns.pop("starts"), columns)
    return Dataset(spec, **arrays, **plain, meta=meta)


def fill(folder: Path, part: str, like: PyTree) -> PyTree:
    """The arrays of a pytree of spaces."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: mapped(folder / f"{name_of(part, path)}.npy"),
        like,
        is_leaf=is_space,
    )


def mapped(file: Path) -> np.ndarray:
    if not file.is_file():
        raise DataFault(f"{file.name} is missing")
    return np.load(file, mmap_mode="r", allow_pickle=False)
