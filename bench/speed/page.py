"""`docs/benchmarks.md` and its pictures, from the rows of `bench/results`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from rows import Row, ROWS
from scipy.stats import quantile_test


ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
NAMES = {"sb3": "SB3", "sbx": "SBX", "purejaxrl": "PureJaxRL"}

INTRODUCTION = """# Benchmarks

Written by `bench/speed/contest.py`; `make bench` measures what is missing. The same
task, networks, batches and updates per step for all, in one process each, taking turns
of as many steps or updates while the others are stopped. What counts is the ratio
within a round: the median of all rounds, with an interval for it of 95 % or more from
the ranks alone. Peers are run with one thread and with all cores, and the better one
counts.
"""
MET = {True: "yes", False: "**no**"}


class Median(NamedTuple):
    """A median and the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def kept(name: str) -> list[dict[str, Any]]:
    """The rows of a file of results; none where there is none yet."""
    path = RESULTS / f"{name}.jsonl"
    return list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def median(x: Float[np.ndarray, " n"]) -> Median:
    """With an interval that holds whatever the distribution is."""
    ends = quantile_test(x, p=0.5).confidence_interval(0.95)
    return Median(float(np.median(x)), float(ends.low), float(ends.high))


class Result(NamedTuple):
    """One row as it was run."""

    row: Row
    machine: Mapping[str, Any]
    seconds: Mapping[str, Float[np.ndarray, " round"]]
    """Of every turn, by who took it."""
    ready: Mapping[str, float]
    first: Mapping[str, float]
    mib: Mapping[str, float]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Result":
        seconds: dict[str, list[float]] = {}
        starts = [turn for turn in line["turns"] if "ready" in turn]
        turns = [turn for turn in line["turns"] if "round" in turn]
        for turn in turns:
            seconds.setdefault(turn["entry"], []).append(turn["seconds"])
        return cls(
            ROWS[line["row"]],
            line["machine"],
            {entry: np.array(x) for entry, x in seconds.items()},
            {turn["entry"]: turn["ready"] for turn in starts},
            {turn["entry"]: turn["first"] for turn in starts},
            {turn["entry"]: turn["mib"] for turn in turns},
        )

    def rate(self, entry: str) -> float:
        """Per second."""
        return self.row.n / float(np.median(self.seconds[entry]))

    def best(self, library: str) -> str:
        """The faster of its entries."""
        own = [entry for entry in self.seconds if entry.startswith(library + ",")]
        return max(own, key=self.rate)

    def against(self, entry: str, ours: str = "peira") -> Median:
        """How many times as fast ours is."""
        return median(self.seconds[entry] / self.seconds[ours])


def page(lines: list[dict[str, Any]]) -> str:
    last = {line["row"]: Result.of(line) for line in lines if line["row"] in ROWS}
    results = [last[name] for name in ROWS if name in last]
    parts = [INTRODUCTION, *map(about, results[-1:]), "## Beside peers\n"]
    parts += ["\n".join(beside(results)) + "\n"]
    missing = [name for name in ROWS if name not in last]
    if missing:
        parts.append(f"Not run yet: {', '.join(missing)}.\n")
    parts += ["## Starting, and memory\n", "\n".join(starting(results)) + "\n"]
    for name, title, table in (
        ("start", START, start),
        ("roof", ROOF, roof),
        ("latency", LATENCY, latency),
        ("scaling", SCALING, scaling),
    ):
        if lines := kept(name):
            parts += [title, "\n".join(table(lines)) + "\n"]
    return "\n".join(parts)


def about(result: Result) -> str:
    machine = result.machine
    versions = dict(machine["ours"]) | {
        f"{name} (theirs)" if name in machine["ours"] else name: version
        for name, version in machine.get("peers", {}).items()
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"On {machine['cores']} cores of {machine['cpu']}, Python "
        f"{machine['python']}; {listed}.\n"
    )


def beside(results: list[Result]) -> Iterator[str]:
    yield "| Work | per second | Peira | Peer | | times as fast | asked | reached |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        for library, target in result.row.targets.items():
            entry = result.best(library)
            ratio = result.against(entry)
            name, _, threads = entry.partition(", ")
            yield (
                f"| {result.row.name} | {result.row.unit} | "
                f"{result.rate('peira'):,.0f} | {NAMES.get(name, name)}, {threads} | "
                f"{result.rate(entry):,.1f} | {ratio} | {target:g} | "
                f"{MET[ratio.value >= target]} |"
            )
        for entry in result.row.ours[1:]:
            ratio = result.against("peira", entry)
            yield (
                f"| {result.row.name} | {result.row.unit} | {result.rate(entry):,.0f} "
                f"(`--overlap`) | Peira | {result.rate('peira'):,.0f} | {ratio} | | |"
            )


def starting(results: list[Result]) -> Iterator[str]:
    yield "| Work | who | ready after | first turn | later turns | most memory |"
    yield "|---|---|---|---|---|---|"
    for result in results:
        for entry, seconds in result.seconds.items():
            yield (
                f"| {result.row.name} | {entry} | {result.ready[entry]:.1f} s | "
                f"{result.first[entry]:.1f} s | {np.median(seconds):.2f} s | "
                f"{result.mib[entry]:,.0f} MiB |"
            )


START = """## From the shell to the first update

`peira train ppo CartPole-v1` until the first line of its log, which is after 1,024
steps and their updates, and Stable-Baselines3's PPO until the end of its first update.

"""


def start(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| | seconds | n |"
    yield "|---|---|---|"
    for way, seconds in lines[-1].items():
        yield f"| {way} | {median(np.array(seconds))} | {len(seconds)} |"


ROOF = """## Updates beside the machine's limit

Floating point operations per second of the updates, counted by the compiler on the
program as it is written, and of a product of two matrices of 2048 x 2048 in the same
process, taking turns.

"""


def roof(lines: list[dict[str, Any]]) -> Iterator[str]:
    last = {line["algorithm"]: line for line in lines}
    yield (
        "| Algorithm | MFLOP per update | FLOP per byte | updates per second | GFLOP "
        "per second | limit | share |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, row in last.items():
        speeds, peaks = np.array(row["speeds"]), np.array(row["peaks"])
        speed = float(np.median(speeds))
        yield (
            f"| {name} | {row['flops'] / 1e6:,.0f} | "
            f"{row['flops'] / row['traffic']:.1f} | {speed / row['flops']:,.1f} | "
            f"{speed / 1e9:.0f} | {np.median(peaks) / 1e9:.0f} | "
            f"{median(speeds / peaks)} |"
        )


LATENCY = """## One action

Milliseconds from an observation to an action, for one actor: the mean over the steps of
an episode, and what one step of a hundred exceeds (a policy that plans takes long once,
and then does what it planned). DT reads 20 steps anew for every action;
`diffusion-policy` makes a plan of 8 in 10 steps of DDIM.

"""


def latency(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| Policy | mean | one in a hundred |"
    yield "|---|---|---|"
    for name, line in {line["algorithm"]: line for line in lines}.items():
        often, seldom = np.array(line["milliseconds"]).T
        yield f"| {name} | {median(often)} | {median(seldom)} |"


SCALING = """## Scaling

Medians of a second, by points that take turns. Seeds in one program are beside as many
processes at the same time; what is counted is all of their steps or updates together.

"""


def scaling(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| What | Axis | At | Per second | Beside the first |"
    yield "|---|---|---|---|---|"
    last = {line["curve"]: line for line in lines}
    for name, line in last.items():
        spent: dict[tuple[str, float], list[float]] = {}
        work: dict[tuple[str, float], float] = {}
        for turn in line["turns"]:
            point = turn["label"], turn["x"]
            spent.setdefault(point, []).append(turn["seconds"])
            many = turn["x"] if line["axis"] == "seeds" else 1
            work[point] = turn["n"] * many
        first = next(iter(spent))
        base = np.array(spent[first]) / work[first]
        for point, seconds in spent.items():
            each = np.array(seconds) / work[point]
            label, x = point
            yield (
                f"| {name}{', ' * bool(label)}{label} | {line['axis']} | {x:,g} | "
                f"{1 / np.median(each):,.0f} {line['unit']} | {median(base / each)} |"
            )
