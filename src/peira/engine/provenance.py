"""Where a run came from: versions, machine, commit."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections import Counter
from datetime import datetime, UTC
from pathlib import Path
from typing import Any

import jax


HOME = Path(__file__).parents[1]
DECIDING = ("core", "nets", "ops", "data", "envs", "algos", "engine")  # floors
PACKAGES = ("peira", "jax", "jaxlib", "numpy", "gymnasium", "equinox", "optax")


def provenance() -> dict[str, Any]:
    """What one would have to know to repeat a run; nothing that names a person."""
    devices = Counter(f"{d.platform}: {d.device_kind}" for d in jax.devices()).items()
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "code": code(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": [f"{n} x {kind}" if n > 1 else kind for kind, n in devices],
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
        "git": commit(),
        "started": now(),
        "finished": None,
        "seconds": None,
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def code() -> str:
    """Peira's version, and a hash of all of its source that decides a run's numbers:
    it needs no repository, and a change that was not committed changes it."""
    files = sorted(f for floor in DECIDING for f in (HOME / floor).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(HOME)).encode() + file.read_bytes())
    return f"{version('peira')}+{digest.hexdigest()[:12]}"


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> dict[str, Any] | None:
    """The commit of the working directory, and whether files have changed since."""

    def ask(*words: str) -> str:
        said = subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, timeout=10
        )
        return said.stdout.strip()

    try:
        head = ask("rev-parse", "HEAD")
        changed = bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": head, "changed": changed}
