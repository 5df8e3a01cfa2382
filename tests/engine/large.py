"""A process with little memory and a large dataset: trains from it, converts one, or
tries to hold it. Its files are of holes, and take no room on the disk."""

import json
import re
import resource
import sys
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from peira.algos.offline.td3_bc import TD3BC
from peira.core import Box, Spec
from peira.core.spaces import to_json
from peira.data import convert, read
from peira.engine.from_data import beat_from, FromData
from peira.engine.plan import Plan


MIB = 2**20
LENGTH, WIDE = 1_000, 1_024
# Steps of 4 KiB, and room in MiB beside what is held with everything imported. Training
# looks up 128 MiB of batches in advance, of which there are two copies under way.
SIZES = {"train": (250_000, 400), "convert": (100_000, 160), "whole": (100_000, 160)}
OBS = Box(np.full(WIDE, -1, np.float32), np.full(WIDE, 1, np.float32))
ACTION = Box(np.full(1, -1, np.float32), np.full(1, 1, np.float32))


def native(folder: Path, steps: int) -> Path:
    """Episodes of zeros."""
    folder.mkdir()
    rows = steps + steps // LENGTH
    shapes = {"obs": (rows, WIDE), "action": (steps, 1), "reward": (steps,)}
    for name, shape in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
    over = np.arange(1, steps + 1) % LENGTH == 0
    np.save(folder / "terminated.npy", over)
    np.save(folder / "truncated.npy", np.zeros(steps, bool))
    np.save(folder / "starts.npy", np.arange(0, steps + 1, LENGTH))
    spaces = {"obs": to_json(OBS), "action": to_json(ACTION)}
    about = {"format": 1, "masked": False, "propensity": False, "meta": {}}
    (folder / "dataset.json").write_text(json.dumps(spaces | about))
    return folder


def flat(path: Path, steps: int) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("observations", (steps, WIDE), "f4")  # not written: zeros
        file["actions"] = np.zeros((steps, 1), np.float32)
        file["rewards"] = np.zeros(steps)
        file["terminals"] = np.arange(1, steps + 1) % LENGTH == 0
        file["timeouts"] = np.zeros(steps, bool)
    return path


def held() -> int:
    """Bytes of its own that this process holds, of those that a limit counts."""
    said = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmData:\s+(\d+)", said)[1])


def warm() -> None:
    """Let JAX start its threads and compile once before the limit."""
    jax.jit(lambda x: x @ x)(jnp.ones((64, 64))).block_until_ready()
    import peira.data.formats  # noqa: F401


def main(what: str, home: Path) -> None:
    steps, room = SIZES[what]
    make, name = (flat, "flat") if what == "convert" else (native, "set")
    source = make(home / name, steps)
    warm()
    most = held() + room * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if what == "whole":
        try:
            np.array(read(source).obs)
        except MemoryError:
            print("too-large")
    elif what == "convert":
        convert(source, home / "native", spec=Spec(OBS, ACTION))
        found = read(home / "native")
        assert (found.steps, found.episodes) == (steps, steps // LENGTH)
        print("done")
    else:
        data = read(source)
        algorithm = TD3BC(hidden=(4,), batch=8)
        beat = beat_from(algorithm, data, Plan(steps=30))
        loop = FromData(beat, data, (0,), resident=100 * MIB)
        (row,) = loop.advance(30)
        assert all(np.isfinite(v) for v in row.values())
        print("done")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
