"""Time Peira beside its peers, keep every turn, and write `docs/benchmarks.md`.

    python bench/speed/contest.py               every row that has not been run
    python bench/speed/contest.py ROW ...       these rows, anew
    python bench/speed/contest.py --write       only write the page

The contestants of a row are processes of their own. They take turns, all others being
stopped meanwhile, so that a noisy machine troubles them alike; what counts is the
ratio within a round. Peers are run with one thread and with all cores, and the better
one counts. Where they are is said by PEERS (a Python with what `bench/peers` requires),
and by PUREJAXRL (a folder that holds the repository) and PUREJAXRL_PYTHON; a row whose
peers are not there is left out.

Turns are kept in `bench/results/speed.jsonl`, the last run of a row counts.
"""

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

from page import kept, PAGE, page
from rows import Row, ROWS


HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEPT = ROOT / "bench" / "results" / "speed.jsonl"
CORES = len(os.sched_getaffinity(0))
FILES = {"peira": "ours.py", "sb3": "sb3.py", "sbx": "sb3.py", "d3rlpy": "fit.py"}
FILES |= {"purejaxrl": "purejax.py"}
PACKAGES = {"sb3": "stable-baselines3", "sbx": "sbx-rl", "d3rlpy": "d3rlpy"}
ONE = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Entry(NamedTuple):
    """A library, and how it is run."""

    library: str
    threads: int = CORES
    overlap: bool = False

    def __str__(self) -> str:
        if self.library == "peira":
            return "peira, overlapped" if self.overlap else "peira"
        return f"{self.library}, {self.threads} thread{'s' * (self.threads > 1)}"


class Contestant:
    """A process that takes turns; stopped while it is not its turn."""

    def __init__(self, entry: Entry, given: Mapping[str, Any]):
        settings = dict(given)
        env = dict(os.environ)
        python = sys.executable
        if entry.library == "peira":
            settings |= {"overlap": True} if entry.overlap else {}
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

    def ask(self, n: int) -> dict[str, float]:
        self.go(n)
        return self.wait()

    def go(self, n: int) -> None:
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


def entries(row: Row) -> Iterator[Entry]:
    for way in row.ours:
        yield Entry("peira", overlap=way != "peira")
    for library in row.targets:
        yield Entry(library, CORES)
        if CORES > 1:
            yield Entry(library, 1)


def run(row: Row) -> Iterator[dict[str, Any]]:
    """The contestants' turns, round by round; the first of each compiles."""
    contestants: list[Contestant] = []
    try:
        for entry in entries(row):
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


def keep(lines: Iterable[Mapping[str, Any]]) -> None:
    with KEPT.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def machine() -> dict[str, Any]:
    """What ran: processor, cores, versions."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2]
    about: dict[str, Any] = {"cpu": cpu.partition("\n")[0], "cores": CORES}
    ours = {name: metadata.version(name) for name in ("jax", "jaxlib", "mujoco")}
    about |= {"python": platform.python_version(), "ours": ours}
    if python := os.environ.get("PEERS"):
        code = (
            "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
        )
        names = [*PACKAGES.values(), "torch", "jax"]
        versions = subprocess.check_output([python, "-c", code, *names], text=True)
        about["peers"] = dict(zip(names, versions.split(), strict=True))
    return about


def main(words: list[str]) -> None:
    wanted = [w for w in words if w != "--write"]
    if unknown := [w for w in wanted if w not in ROWS]:
        sys.exit(f"unknown row {unknown[0]}; known: {', '.join(ROWS)}")
    done = {line["row"] for line in kept("speed")}
    if "--write" not in words:
        for name in wanted or [name for name in ROWS if name not in done]:
            if away := [x for x in ROWS[name].targets if not home(x)]:
                print(f"{name}: left out, because {away[0]} is not here")
                continue
            lines = list(run(ROWS[name]))
            about = {"row": name, "n": ROWS[name].n, "machine": machine()}
            keep([about | {"turns": lines}])
            print(name, "done", flush=True)
            PAGE.write_text(page(kept("speed")))
    PAGE.write_text(page(kept("speed")))


if __name__ == "__main__":
    main(sys.argv[1:])
