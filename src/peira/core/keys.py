"""Randomness: one root key per run; every consumer folds in its own fixed name."""

import zlib

import jax.random as jr
from jaxtyping import Array, Int

from .types import Key


def fold(key: Key, name: str, *counts: int | Int[Array, ""]) -> Key:
    """The key of one consumer, at one count of its own. Depends on nothing else."""
    key = jr.fold_in(key, zlib.crc32(name.encode()))
    for count in counts:
        key = jr.fold_in(key, count)
    return key


def root(seed: int) -> Key:
    """The root key of a run."""
    return jr.key(seed)
