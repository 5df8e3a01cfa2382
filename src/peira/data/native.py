"""A dataset as a folder of NumPy arrays beside `dataset.json`: memory-mapped when
opened, so that nothing is read before it is needed."""

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ..core import DataFault, is_space, Spec
from ..core.spaces import from_json, to_json
from .dataset import check, Dataset


ABOUT = "dataset.json"
FORMAT = 1
PARTS = ("obs", "action", "legal")
PLAIN = ("reward", "terminated", "truncated", "starts", "propensity")


def save(data: Dataset, folder: Path) -> None:
    """Write the dataset into a folder that must not be there yet; raises `DataFault`,
    with nothing written, when it is."""
    if folder.exists():
        raise DataFault(f"{folder} exists: choose another name")
    beside = folder.with_name(folder.name + ".tmp")
    try:
        beside.mkdir(parents=True)
        for part in PARTS:
            for name, x in named(part, getattr(data, part)).items():
                np.save(beside / name, x, allow_pickle=False)
        for part in PLAIN:
            if getattr(data, part) is not None:
                np.save(beside / part, getattr(data, part), allow_pickle=False)
        (beside / ABOUT).write_text(json.dumps(heading(data), indent=2) + "\n")
        beside.rename(folder)
    except OSError as error:
        raise DataFault(f"cannot write {folder}: {error}") from None


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
        legal = spec.action if spec.masked else None
        parts = dict(zip(PARTS, (spec.obs, spec.action, legal), strict=True))
        arrays = {part: fill(folder, part, like) for part, like in parts.items()}
        plain = {part: mapped(folder / f"{part}.npy") for part in PLAIN[:-1]}
        plain["starts"] = np.array(plain["starts"], np.int64)
        if about["propensity"]:
            plain["propensity"] = mapped(folder / "propensity.npy")
        return check(Dataset(spec, **arrays, **plain, meta=dict(about["meta"])))
    except DataFault as fault:
        raise DataFault(f"{folder}: {fault}") from None
    except Exception as error:  # nothing a file says may end in a traceback
        reason = str(error).partition("\n")[0]
        raise DataFault(f"{folder} is not a dataset: {reason}") from None


def named(part: str, tree: PyTree) -> dict[str, Any]:
    """Every leaf under the name of its file, without the ending."""
    return {
        file_name(part, path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_space)
    }


def file_name(part: str, path: Any) -> str:
    inner = jax.tree_util.keystr(path, simple=True, separator=".")
    name = f"{part}.{inner}" if inner else part
    if not re.fullmatch(r"[\w.-]+", name):
        raise DataFault(f"{inner!r} cannot be the name of a file")
    return name


def fill(folder: Path, part: str, like: PyTree) -> PyTree:
    """The arrays of a pytree of spaces."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: mapped(folder / f"{file_name(part, path)}.npy"),
        like,
        is_leaf=is_space,
    )


def mapped(file: Path) -> np.ndarray:
    if not file.is_file():
        raise DataFault(f"{file.name} is missing")
    return np.load(file, mmap_mode="r", allow_pickle=False)
