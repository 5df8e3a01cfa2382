"""A folder of episodes, each a `.npz` file, in the order of their names.

`obs`, `action`, `reward`, `terminated`, `truncated`, and perhaps `next_obs`, `legal`,
`next_legal`, `propensity`; parts of a Dict as `obs.camera`. Of observations there is
one more than of rewards; or as many, and then a file is read as a table is.
"""

import functools
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...core import DataFault, Spec
from ..blocks import Block, fitted, known, Reading
from ..flat import episodes, rows
from ..infer import settled
from ..names import belongs, listed, named, unnamed
from . import about


PARTS = ("obs", "action", "legal")
PLAIN = ("reward", "terminated", "truncated", "propensity")
SAID = "peira.json"


def is_one(path: Path) -> bool:
    return path.is_dir() and next(path.glob("*.npz"), None) is not None


def read(path: Path, spec: Spec | None) -> Reading:
    file = path / SAID
    own, meta = about.heard(file.read_text() if file.is_file() else None)
    spec = own or spec
    files = sorted(path.glob("*.npz"))
    return Reading("npz", spec, functools.partial(blocks, files, spec), meta)


def blocks(files: list[Path], spec: Spec | None, done: Counter[str]) -> Iterator[Block]:
    for file in files:
        try:
            yield from episode(loaded(file), spec, done)
        except DataFault as fault:
            raise DataFault(f"{file.name}: {fault}") from None


def loaded(file: Path) -> dict[str, np.ndarray]:
    """All arrays; raises `DataFault` for a file that is no such, or holds objects."""
    try:
        with file.open("rb") as raw:
            held = np.load(raw, allow_pickle=False)
            if isinstance(held, np.ndarray):
                raise DataFault("cannot be read: it is one array without a name")
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise DataFault(f"cannot be read: {reason}") from None


def episode(
    found: dict[str, np.ndarray], spec: Spec | None, done: Counter[str]
) -> Iterator[Block]:
    obs = unnamed("obs", found, None if spec is None else spec.obs)
    action = unnamed("action", found, None if spec is None else spec.action)
    if "reward" not in found:
        raise DataFault(f"reward is missing: there are {listed(found)}")
    reward, n = found["reward"], len(found["reward"])
    legal, likely = found.get("legal"), found.get("propensity")
    seen = [x for name, x in found.items() if belongs(name, "obs")]
    if any(len(x) != n + 1 for x in seen):
        led = None
        if any(belongs(name, "next_obs") for name in found):
            next_obs = unnamed("next_obs", found, None if spec is None else spec.obs)
            led = (next_obs, found.get("next_legal"))
        flags = (found.get("terminated"), found.get("truncated"))
        whole = rows((obs, legal), action, reward, *flags, led=led, propensity=likely)
        yield from episodes([whole], done)
        return
    flags = (found.get("terminated"), found.get("truncated"))
    told = rows((), action, reward, *flags, propensity=likely)
    if legal is not None and len(legal) != n + 1:
        raise DataFault(f"{len(legal)} masks for {n + 1} observations")
    if n == 0:
        raise DataFault("it holds no step")
    terminated, truncated = told.terminated, told.truncated.copy()
    done["unmarked"] += int(not (terminated[-1] or truncated[-1]))
    truncated[-1] |= not terminated[-1]
    ends = (terminated, truncated, np.array([n]))
    yield Block(obs, action, told.reward, *ends, legal, likely)


def write(source: Reading, folder: Path) -> None:
    """Write a file for each episode, and one with the spaces."""
    source = settled(source)
    spec, done = known(source), Counter()
    folder.mkdir()
    each = (e for b in fitted(source.blocks(done), spec) for e in b.episodes())
    count = 0
    for count, one in enumerate(each, start=1):
        arrays = {n: x for p in PARTS for n, x in named(p, getattr(one, p)).items()}
        arrays |= {p: getattr(one, p) for p in PLAIN if getattr(one, p) is not None}
        np.savez(folder / f"{count - 1:08}.npz", **arrays)
    if not count:
        raise DataFault("the dataset is empty: it holds no step")
    (folder / SAID).write_text(about.said(spec, source.notes(done)))
