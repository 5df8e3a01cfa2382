"""Damage files at random and load them: every loader answers with what it should, or
with one line of ours, runs nothing, touches nothing elsewhere and needs little memory.

    python tests/faults/fuzz.py [--files 10000] [--seed 0]

Half of what is damaged is signed again with a valid checksum, so that what lies behind
the checksums is reached.
"""

import argparse
import json
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import peira
from peira import algos
from peira.cli.train import configured
from peira.core import Box, fold, PeiraError, root, Spec
from peira.data import Dataset, native, read
from peira.engine import arrays, blackbox, checkpoint, faults, pieces, policies
from peira.engine.loop import strong
from peira.engine.run import Run
from peira.envs import make


ROOM = 2**30  # bytes that loading may ask for
RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")
HOMES = (sys.prefix, sys.base_prefix, str(Path(peira.__file__).parent))
HOMES += ("/proc", "/sys", __file__)
ODD: list[Any] = [None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, "", "x", "../../x"]
ODD += ["os:system", "__import__('os')", [], {}, [[]], {"a": {}}, "\0", "é" * 99]
SMALL: dict[str, Any] = {"hidden": (4,), "batch": 4, "capacity": 100, "warmup": 20}


class Target(NamedTuple):
    """A loader and the folder it reads."""

    load: Callable[[Path], Any]
    folder: Path
    files: tuple[str, ...] = ("**/*",)
    """Which of them it reads."""


def targets(home: Path) -> dict[str, Target]:
    """One of everything that is ever loaded."""
    pieces.SIZE = 256  # so that there are pieces
    run = peira.train(
        "sac",
        "Pendulum-v1",
        steps=60,
        name="run",
        runs=home,
        sinks=[],
        film=False,
        **SMALL,
    )
    seed = run.path / "seed-0"
    record(home / "update")
    native.save(tiny(), home / "data")
    tree = {"w": jnp.arange(300.0), "key": root(0), "n": jnp.array(1)}
    checkpoint.save(home / "saved", tree, meta={"step": 1})
    episode = {"message": "m", "seed": 0, "index": 0, "episode": 0, "actions": [[0.0]]}
    (home / "faulty/faults").mkdir(parents=True)
    (home / "faulty/faults/episode-0-0.json").write_text(json.dumps(episode))
    host = lambda: make("Pendulum-v1", backend="gymnasium")

    def opened(path: Path) -> Any:
        one = Run.open(path)
        return one.metrics(), one.evaluations(), one.done, one.owner(0)

    return {
        "checkpoint": Target(lambda p: checkpoint.latest(p, tree), home / "saved"),
        "policy": Target(lambda p: policies.load_policy(p, algos.get), seed / "policy"),
        "run": Target(opened, run.path, ("*.toml", "*.json", "*/*.parquet")),
        "config": Target(
            lambda p: configured(["--config", str(p / "config.toml")]),
            run.path,
            ("config.toml",),
        ),
        "update": Target(lambda p: blackbox.replay(p, algos.get), home / "update"),
        "episode": Target(
            lambda p: [*faults.replay(p, host, algos.get)], home / "faulty"
        ),
        "dataset": Target(lambda p: read(p).fingerprint(), home / "data"),
    }


def record(folder: Path) -> None:
    """An update that was not finite."""
    algorithm, spec = algos.get("sac")(**SMALL), make("Pendulum-v1").spec
    sketch = blackbox.outline(algorithm, spec, 1)
    blackbox.record(
        folder,
        algorithm=algorithm,
        name="sac",
        spec=spec,
        envs=1,
        learner=strong(sketch["learner"]),
        batch=jax.tree.map(lambda x: x * jnp.nan if x.ndim > 1 else x, sketch["batch"]),
        key=fold(root(0), "update"),
        meta={"seed": 0, "update": 0, "step": 1},
    )


def tiny() -> Dataset:
    one, six = np.ones(2, np.float32), np.arange(6, dtype=np.float32)
    return Dataset(
        Spec({"a": Box(-9 * one, 9 * one)}, Box(-one, one)),
        {"a": np.stack([six, six], axis=1)[:5]},
        np.zeros((3, 2), np.float32),
        six[:3],
        np.array([False, True, False]),
        np.array([False, False, True]),
        np.array([0, 2, 3]),
    )


def damage(file: Path, chance: random.Random) -> None:
    """Change a file somehow."""
    held = file.read_bytes()
    kinds: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, splice]
    if file.suffix == ".json":
        kinds = [in_json] * 5 + kinds
    elif file.suffix == ".toml" or held[:6] == b"\x93NUMPY":
        kinds = [in_words] * 5 + kinds
    elif file.suffix == ".safetensors":
        kinds = [in_header] * 2 + kinds
    file.write_bytes(chance.choice(kinds)(held, chance))


def flip(held: bytes, chance: random.Random) -> bytes:
    out = bytearray(held or b"\0")
    for _ in range(chance.randint(1, 8)):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def cut(held: bytes, chance: random.Random) -> bytes:
    return held[: chance.randint(0, len(held))]


def splice(held: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(held))
    return held[:at] + chance.randbytes(chance.randint(0, 99)) + held[at:][::-1]


def in_header(held: bytes, chance: random.Random) -> bytes:
    """Another length of the header, or another word in it."""
    if chance.random() < 0.3:
        length = chance.choice([0, 1, len(held), 2**31, 2**63, 2**64 - 1])
        return length.to_bytes(8, "little") + held[8:]
    size = int.from_bytes(held[:8], "little")
    header = in_words(held[8 : 8 + size], chance)
    return len(header).to_bytes(8, "little") + header + held[8 + size :]


def in_words(held: bytes, chance: random.Random) -> bytes:
    """Another word or number in a text."""
    words = [*re.finditer(rb"\d+|\w+", held[:4000])]
    if not words:
        return b"x"
    word = chance.choice(words)
    new = str(chance.choice([*ODD, "|O", "f8", "nan", "-" + "9" * 30])).encode()
    return held[: word.start()] + new + held[word.end() :]


def in_json(held: bytes, chance: random.Random) -> bytes:
    """Another value somewhere in it, one less, or one more."""
    tree = json.loads(held)
    *way, last = chance.choice([*places(tree)] or [("x",)])
    inner = tree
    for step in way:
        inner = inner[step]
    if chance.random() < 0.2 and isinstance(inner, dict):
        del inner[last]
    else:
        inner[last] = chance.choice(ODD)
    return json.dumps(tree).encode()


def places(tree: Any, way: tuple = ()) -> Any:
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield (*way, key)
            yield from places(tree[key], (*way, key))


def sign(folder: Path) -> None:
    """Put the checksums right, as an attacker would."""
    for file in folder.rglob("*.json"):
        arrays_of = file.with_suffix(".safetensors")
        if arrays_of.exists():
            try:
                about = json.loads(file.read_text())
                about.pop("sha256", None)
                about["sha256"] = arrays.checksum(arrays_of, about)
                file.write_text(json.dumps(about))
            except (ValueError, AttributeError, TypeError):
                pass  # it is beyond signing


class Watch:
    """Notes what a loader does beside reading its folder."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple) -> None:
        if self.folder is None:
            return
        if event.startswith(RUNS):
            self.seen.append(f"{event} {args[:1]}")
        if event == "open" and isinstance(args[0], str | bytes):
            path, writes = str(args[0]), any(c in str(args[1]) for c in "wxa+")
            inside = Path(path).resolve().is_relative_to(self.folder)
            if writes or not (inside or path.startswith(HOMES)):
                self.seen.append(f"open {path} {args[1]}")


class Score(NamedTuple):
    outcomes: Counter
    """How often each loader refused, and how often it loaded."""
    slowest: float
    bad: list[str]
    """What should not have been."""


def campaign(count: int, *, seed: int, home: Path) -> Score:
    """Load so many damaged files."""
    found, chance, watch = targets(home), random.Random(seed), Watch()
    outcomes, bad, slowest = Counter(), [], 0.0
    for target in found.values():
        target.load(target.folder)  # as it was; and whatever is imported late
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, old[1]))
    for number in range(count):
        name = [*found][number % len(found)]
        load, folder, files = found[name]
        whole = home / "whole"
        shutil.copytree(folder, whole)
        file = chance.choice(
            sorted(p for g in files for p in folder.glob(g) if p.is_file())
        )
        damage(file, chance)
        if chance.random() < 0.5:
            sign(folder)
        start, watch.folder = time.perf_counter(), folder
        try:
            load(folder)
            outcomes[f"{name} loaded"] += 1
        except PeiraError as error:
            outcomes[f"{name} refused"] += 1
            if "\n" in str(error):
                bad.append(f"{number} {name} {file.name}: more than a line: {error}")
        except Exception as error:
            bad.append(f"{number} {name} {file.name}: {type(error).__name__}: {error}")
        watch.folder = None
        slowest = max(slowest, time.perf_counter() - start)
        bad += [f"{number} {name} {file.name}: {what}" for what in watch.seen]
        watch.seen = []
        shutil.rmtree(folder)
        whole.rename(folder)
    resource.setrlimit(resource.RLIMIT_AS, old)
    return Score(outcomes, slowest, bad)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peira-fuzz-") as home:
        score = campaign(said.files, seed=said.seed, home=Path(home).resolve())
    print("\n".join(score.bad))
    print(dict(sorted(score.outcomes.items())))
    print(f"files {said.files}, not as it should be {len(score.bad)}, ", end="")
    print(f"slowest {score.slowest:.1f} s")
    sys.exit(bool(score.bad))


if __name__ == "__main__":
    main()
