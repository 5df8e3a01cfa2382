"""Time Peira beside its peers, and keep every turn.

    python bench/speed/contest.py               every row that has not been run
    python bench/speed/contest.py ROW ...       these rows, anew

The contestants of a row are processes of their own. They take turns, all others being
stopped meanwhile, so that a noisy machine troubles them alike; what counts is the
ratio within a round. Peers are run with one thread and with all cores, and the better
one counts. Where they are is said by PEERS (a Python with what `bench/peers` requires),
and by PUREJAXRL (a folder that holds the repository) and PUREJAXRL_PYTHON; a row whose
peers are not there is left out, but for those that have no target: it is run without
them.

Turns are kept in `bench/results/speed.jsonl`, the last run of a row counts.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ledger import keep, kept, ROOT
from rows import Row, ROWS, WAYS


HERE = Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))
FILES = {"peira": "ours.py", "sb3": "sb3.py", "sbx": "sb3.py", "d3rlpy": "fit.py"}
FILES |= {"purejaxrl": "purejax.py", "tianshou": "tian.py"}
PACKAGES = ("stable-baselines3", "sbx-rl", "d3rlpy", "torch", "jax")
BESIDE = ("tianshou",)  # packages that may be missing
FOUND = "import sys, importlib.util as u; sys.exit(not u.find_spec(sys.argv[1]))"
ONE = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Entry(NamedTuple):
    """A library, and how it is run: on so many threads, or ours in one of `WAYS`."""

    library: str
    threads: int = CORES
    way: str = "peira"

    def __str__(self) -> str:
        if self.library == "peira":
            return self.way
        return f"{self.library}, {self.threads} thread{'s' * (self.threads > 1)}"


class Contestant:
    """A process that takes turns; stopped while it is not its turn."""

    def __init__(self, entry: Entry, given: Mapping[str, Any]):
        settings = dict(given)
        env = dict(os.environ)
        python = sys.executable
        if entry.library == "peira":
            settings |= WAYS[entry.way]
        else:
            settings |= {"library": entry.library, "threads": entry.threads}
            env["OMP_NUM_THREADS"] = str(entry.threads)
            python = home(entry.library) or python
            if entry.threads == 1:
                env["XLA_FLAGS"] = ONE
        self.entry = entry
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [python, HERE / FILES[entry.library], json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=env,
        )
        self.ready = self.answer() | {"seconds": time.perf_counter() - began}
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, n: int | str) -> dict[str, float]:
        """A turn of so many steps or updates, or what else `turns.serve` is told."""
        self.go(n)
        return self.wait()

    def go(self, n: int | str) -> None:
        """Begin a turn."""
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdin is not None
        print(n, file=self.process.stdin, flush=True)

    def wait(self) -> dict[str, float]:
        """End it."""
        answer = self.answer()
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):  # else it was said by something imported
                return json.loads(line)
        raise RuntimeError(f"{self.entry} ended: run its file to see why")

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


def home(library: str) -> str | None:
    """Its Python."""
    return os.environ.get("PUREJAXRL_PYTHON" if library == "purejaxrl" else "PEERS")


def away(libraries: Iterable[str]) -> list[str]:
    """Those of the libraries that are not here."""
    return [library for library in libraries if not home(library)]


def installed(library: str) -> bool:
    """Whether its Python finds the package of that name."""
    python = home(library)
    return bool(python) and not subprocess.call([python, "-c", FOUND, library])


def entries(ours: Iterable[str], libraries: Iterable[str]) -> Iterator[Entry]:
    for way in ours:
        yield Entry("peira", way=way)
    for library in libraries:
        yield Entry(library, CORES)
        if CORES > 1:
            yield Entry(library, 1)


def peers(row: Row) -> list[str]:
    """Those with a target, and of the others those that are here."""
    asked = [library for library in row.targets if library not in WAYS]
    return asked + [library for library in row.beside if installed(library)]


def run(row: Row) -> Iterator[dict[str, Any]]:
    """The contestants' turns, round by round; the first of each compiles."""
    contestants: list[Contestant] = []
    try:
        for entry in entries(row.ours, peers(row)):
            contestants.append(Contestant(entry, row.settings))
            first = contestants[-1].ask(row.n)
            ready = contestants[-1].ready["seconds"]
            yield {"entry": str(entry), "ready": ready, "first": first["seconds"]}
        for round_ in range(row.rounds):
            for contestant in contestants:
                answer = contestant.ask(row.n)
                yield {"entry": str(contestant.entry), "round": round_} | answer
    finally:
        for contestant in contestants:
            contestant.close()


def machine() -> dict[str, Any]:
    """What ran: processor, cores, versions."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2]
    about: dict[str, Any] = {"cpu": cpu.partition("\n")[0], "cores": CORES}
    ours = {name: metadata.version(name) for name in ("jax", "jaxlib", "mujoco")}
    about |= {"python": platform.python_version(), "ours": ours}
    if python := home("sb3"):
        about["peers"] = versions(python, [*PACKAGES, *filter(installed, BESIDE)])
    return about


def versions(python: str, packages: Iterable[str]) -> dict[str, str]:
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    said = subprocess.check_output([python, "-c", code, *packages], text=True)
    return dict(zip(packages, said.split(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    names = parser.parse_args().rows
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"unknown row {unknown[0]}; known: {', '.join(ROWS)}")
    done = {line["row"] for line in kept("speed")}
    for name in names or [name for name in ROWS if name not in done]:
        if missing := away(peers(ROWS[name])):
            print(f"{name}: left out, because {missing[0]} is not here")
            continue
        turns = list(run(ROWS[name]))
        about = {"row": name, "n": ROWS[name].n, "machine": machine()}
        keep("speed", about | {"turns": turns})
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
