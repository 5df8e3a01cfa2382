"""Minari's folders, version 0.5 and later: `metadata.json` with Gymnasium's spaces, and
the episodes in HDF5, Arrow or Parquet.

An episode of n steps has n + 1 observations there too. Infos are passed over but for
`propensity`, and `action_mask`, a mask for each observation.
https://minari.farama.org/content/dataset_standards
"""

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as imageio
import jax
import numpy as np
from jaxtyping import PyTree

from ...core import Box, DataFault, is_space, Spec
from ..blocks import Block, fitted, known, Reading
from ..infer import settled
from . import about, gym_spaces, minari_arrow, minari_hdf5
from .gym_spaces import from_zero
from .minari_hdf5 import MEMBERS


ABOUT = "metadata.json"
VERSION = "0.5.4"  # whose layout is written
STORED: Mapping[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "hdf5": minari_hdf5.episodes,
    "arrow": minari_arrow.episodes,
    "parquet": minari_arrow.episodes,
}


class Form(NamedTuple):
    """What has to be known to read an episode."""

    spec: Spec
    starts: tuple[PyTree, PyTree]
    """Where choices begin to count, in observations and in actions."""


def home(path: Path) -> Path | None:
    """The folder with the metadata, which Minari calls `data`."""
    for folder in (path, path / "data"):
        if (folder / ABOUT).is_file():
            return folder
    return None


def is_one(path: Path) -> bool:
    return home(path) is not None


def read(path: Path) -> Reading:
    """A folder whose metadata make sense; raises `DataFault`."""
    folder = home(path) or path
    try:
        said = json.loads((folder / ABOUT).read_text())
        kind, count = said["data_format"], int(said["total_episodes"])
        words = {k: said[f"{k}_space"] for k in ("observation", "action")}
    except KeyError as error:
        raise DataFault(f"{ABOUT} says nothing of {error}: version 0.5 does") from None
    if kind not in STORED:
        raise DataFault(f"{ABOUT}: data_format {kind!r} is not known")
    obs, obs_start = gym_spaces.from_words(words["observation"], "observations")
    action, start = gym_spaces.from_words(words["action"], "actions")
    stored = functools.partial(STORED[kind], folder, count)
    first = next(stored(), None)
    masked = first is not None and "action_mask" in first["infos"]
    form = Form(Spec(obs, action, masked), (obs_start, start))
    return Reading(
        "minari", form.spec, functools.partial(blocks, stored, form), told(said)
    )


def told(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the metadata say beside the spaces, as our `meta`."""
    found = dict(said.get(about.KEY, {}))
    if "dataset_id" in said and about.KEY not in said:
        found["name"] = said["dataset_id"]
    if "env_spec" in said and "env" not in found:
        spec = json.loads(said["env_spec"])
        kwargs = {k: v for k, v in spec["kwargs"].items() if k != "render_mode"}
        found |= {"env": spec["id"], "env_kwargs": kwargs}
    return found | {k: said[k] for k in ("env_spec",) if k in said}


def blocks(
    stored: Callable[[], Iterator[dict[str, Any]]], form: Form, done: Counter[str]
) -> Iterator[Block]:
    for i, episode in enumerate(stored()):
        try:
            one = block(episode, form)
        except DataFault as fault:
            raise DataFault(f"episode {i}: {fault}") from None
        done["unmarked"] += int(not (one.terminated[-1] or one.truncated[-1]))
        one.truncated[-1] |= not one.terminated[-1]
        yield one


def block(episode: Mapping[str, Any], form: Form) -> Block:
    for name in MEMBERS:
        if name not in episode:
            raise DataFault(f"{name} is missing")
    n = len(episode["rewards"])
    spec, infos = form.spec, episode["infos"]
    obs = aligned(spec.obs, episode["observations"], n + 1, "observations")
    action = aligned(spec.action, episode["actions"], n, "actions")
    flags = [np.array(episode[name]) for name in MEMBERS[3:]]
    if n == 0 or {len(x) for x in flags} != {n}:
        raise DataFault(f"it has {n} rewards and {len(flags[0])} terminations")
    likely = infos.get("propensity")
    return Block(
        from_zero(obs, form.starts[0]),
        from_zero(action, form.starts[1]),
        episode["rewards"],
        flags[0],
        flags[1],
        np.array([n]),
        infos.get("action_mask") if spec.masked else None,
        None if likely is None else likely[-n:],  # the reset has an info, but no action
    )


def aligned(space: PyTree, found: PyTree, rows: int, what: str) -> PyTree:
    """The arrays of an episode in the structure of their space, images decoded."""
    leaves, form = jax.tree.flatten(space, is_leaf=is_space)
    given, structure = jax.tree.flatten(found)
    if form != structure:
        raise DataFault(f"the {what} are {structure}, their space is {form}")
    arrays = [decoded(s, x) for s, x in zip(leaves, given, strict=True)]
    for x in arrays:
        if len(x) != rows:
            raise DataFault(f"{len(x)} {what} where there should be {rows}")
    return jax.tree.unflatten(form, arrays)


def decoded(space: Any, x: np.ndarray) -> np.ndarray:
    """Images, which Minari may keep as JPEG: bytes, one string of them per image."""
    if not isinstance(space, Box) or space.dtype != np.uint8 or len(space.shape) < 2:
        return x
    raw = x.shape[1:] in (space.shape, (space.size,))
    if raw or x.dtype.kind not in "uO" or x.ndim > 2:
        return x
    frames = []
    for one in x:
        frame = imageio.imread(bytes(bytearray(one)), extension=".jpeg")
        if frame.shape != space.shape:
            raise DataFault(f"an image is {frame.shape}, its space {space.shape}")
        frames.append(frame)
    return np.stack(frames)


def write(source: Reading, folder: Path, *, storage: str = "hdf5") -> None:
    """Write a folder that Minari opens; images are kept as they are."""
    source = settled(source)
    spec, done = known(source), Counter()
    folder.mkdir()
    each = (e for b in fitted(source.blocks(done), spec) for e in b.episodes())
    store = minari_hdf5.store if storage == "hdf5" else minari_arrow.store
    numbered = zip(itertools.count(), map(members, each))
    episodes, steps = store(folder, numbered, spec)
    if not episodes:
        raise DataFault("the dataset is empty: it holds no step")
    meta = source.notes(done)
    name = str(meta.get("name", "peira/dataset-v0"))
    said = {
        "total_episodes": episodes,
        "total_steps": steps,
        "data_format": storage,
        "jpeg_encoding": False,
        "observation_space": gym_spaces.to_words(spec.obs),
        "action_space": gym_spaces.to_words(spec.action),
        "dataset_id": name,
        "minari_version": VERSION,
        about.KEY: {k: v for k, v in meta.items() if k != "env_spec"},
    }
    said |= {k: meta[k] for k in ("env_spec",) if k in meta}
    (folder / ABOUT).write_text(json.dumps(said))


def members(one: Block) -> dict[str, Any]:
    """One episode as Minari names its parts. Of infos there are as many as of
    observations: what is known of a step stands where it led to."""
    infos: dict[str, np.ndarray] = {}
    if one.legal is not None:
        infos["action_mask"] = one.legal.astype(np.int8)
    if one.propensity is not None:
        infos["propensity"] = np.append(np.float32(np.nan), one.propensity)
    values = (one.obs, one.action, one.reward, one.terminated, one.truncated)
    return dict(zip(MEMBERS, values, strict=True)) | {"infos": infos}
