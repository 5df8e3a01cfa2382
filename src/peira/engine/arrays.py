"""A pytree of arrays on disk: safetensors for the numbers, JSON for everything else.

No code is ever read from a file. The JSON carries a SHA-256 checksum of the arrays and
of itself. Large arrays lie in pieces, each under its checksum, so that what has not
changed since it was last written is not written again.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree
from safetensors import safe_open, SafetensorError

from ..core import RunFault
from .files import write_file
from .pieces import DamageFault, gather, is_large, put, store


LONGEST = 64 * 2**20  # bytes of JSON; more is not of our making


def named(tree: PyTree) -> dict[str, Any]:
    """Every leaf by its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def write(
    folder: Path,
    stem: str,
    tree: PyTree,
    about: dict[str, Any],
    pieces: Path | None = None,
) -> None:
    """Write `stem.safetensors` and `stem.json`, and large arrays into the folder for
    pieces, where there is one; raises `OSError`."""
    leaves = named(tree)
    keys = {k: str(jr.key_impl(x)) for k, x in leaves.items() if is_key(x)}
    arrays = {
        k: np.asarray(jr.key_data(x) if k in keys else x, order="C")
        for k, x in leaves.items()
    }
    large = {}
    if pieces is not None:
        for name in [k for k, x in arrays.items() if is_large(x)]:
            large[name] = put(pieces, arrays.pop(name))
    file = folder / f"{stem}.safetensors"
    store(file, arrays)
    about = json.loads(json.dumps(about | {"keys": keys, "large": large}))
    signed = about | {"sha256": checksum(file, about)}
    text = json.dumps(signed, indent=1) + "\n"
    write_file(folder / f"{stem}.json", text.encode())  # last: it says all is there


def checksum(file: Path, about: dict[str, Any]) -> str:
    """SHA-256 of the arrays and of what is said about them."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    digest.update(json.dumps(about, sort_keys=True).encode())
    return digest.hexdigest()


def read_about(folder: Path, stem: str) -> dict[str, Any]:
    """What `write` was told about the arrays; raises `RunFault` unless the checksum
    holds."""
    file = folder / f"{stem}.json"
    try:
        if file.stat().st_size > LONGEST:
            raise ValueError("it is too large")
        about = json.loads(file.read_text())
        said = about.pop("sha256")
        good = said == checksum(folder / f"{stem}.safetensors", about)
    except FileNotFoundError as error:
        raise DamageFault(
            f"{folder}: there is no {Path(error.filename).name}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageFault(f"{file} cannot be read: {error}") from None
    except RecursionError:
        raise DamageFault(f"{file} cannot be read: it is too deep") from None
    if not good:
        raise DamageFault(f"{folder} is damaged: its checksum does not hold")
    return about


def read(
    folder: Path,
    stem: str,
    like: PyTree,
    about: dict[str, Any],
    pieces: Path | None = None,
) -> PyTree:
    """The arrays in the shape of `like`: NumPy leaves as NumPy arrays, all others as
    JAX arrays. Raises `RunFault` naming the first leaf that is another, `DamageFault`
    for a piece that is not as it was."""
    file = folder / f"{stem}.safetensors"
    leaves, form = named(like), jax.tree.structure(like)
    try:
        with safe_open(file, framework="numpy") as held:
            large = about.get("large", {}) if pieces else {}
            odd = sorted({*held.keys(), *large} ^ set(leaves))
            if odd:
                there = "has an array too many" if odd[0] not in leaves else "lacks"
                raise RunFault(f"{file} {there}: {odd[0]}")
            filled = []
            for name, leaf in leaves.items():
                x = (
                    gather(pieces, large[name], size(leaf))
                    if pieces and name in large
                    else held.get_tensor(name)
                )
                impl = about["keys"].get(name)
                filled.append(fill(f"{file}: {name}", x, leaf, impl))
    except (
        OSError,
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise RunFault(f"{file} cannot be read: {error}") from None
    return jax.tree.unflatten(form, filled)


def size(leaf: Any) -> int:
    """Bytes of a leaf on disk."""
    raw = jax.eval_shape(jr.key_data, leaf) if is_key(leaf) else leaf
    return math.prod(raw.shape) * raw.dtype.itemsize


def fill(where: str, x: np.ndarray, leaf: Any, impl: str | None) -> Any:
    """The array of one leaf, checked against what it should be."""
    new: Any = x
    if is_key(leaf):
        try:
            new = jr.wrap_key_data(jnp.asarray(x), impl=impl)
        except (ValueError, TypeError):
            raise RunFault(f"{where} is not a random key") from None
    if new.shape != leaf.shape or new.dtype != leaf.dtype:
        raise RunFault(
            f"{where} is {new.dtype}{list(new.shape)}, "
            f"should be {leaf.dtype}{list(leaf.shape)}"
        )
    return new if isinstance(leaf, np.ndarray | np.generic) else jnp.array(new)
