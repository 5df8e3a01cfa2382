"""Compiled programs are kept on disk: the second start of the same work compiles
nothing."""

import os
from pathlib import Path


def keep_compiled() -> None:
    """Tell JAX, before it is imported (here or in a child), where to keep programs:
    `PEIRA_CACHE`, or the user's cache directory. Without a place to write, nothing."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(os.environ.get("PEIRA_CACHE") or Path(home) / "peira") / "jax"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(place, os.W_OK):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(place))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
