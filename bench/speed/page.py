"""Write `docs/benchmarks.md` and its pictures from the rows of `bench/results`.

    python bench/speed/page.py

What has not been measured is named there.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pictures
from ledger import kept, ROOT
from measured import curves, median, quickest, raced, Result, results, Runs
from rows import NAMES, ROWS


PAGE = ROOT / "docs" / "benchmarks.md"

INTRODUCTION = """# Benchmarks

Written by `bench/speed/page.py`; `make bench` measures what is missing. The same
task, networks, batches and updates per step for all, in one process each, taking turns
of as many steps or updates while the others are stopped. What counts is the ratio
within a round: the median of all rounds, with an interval for it of 95 % or more from
the ranks alone. Peers are run with one thread and with all cores, and the better one
counts.
"""
MET = {True: "yes", False: "**no**"}


def page() -> str:
    """The whole of it."""
    done = results(kept("speed"))
    parts = [INTRODUCTION, *map(about, done[-1:])]
    if done:
        parts += ["## Beside peers\n", picture(pictures.RATIOS, RATIOS)]
        parts += ["\n".join(beside(done)) + "\n"]
    ran = {result.row.name for result in done}
    if missing := [name for name in ROWS if name not in ran]:
        parts.append("Not run yet:\n\n" + "".join(f"- {name}\n" for name in missing))
    if done:
        parts += ["## Starting, and memory\n", "\n".join(starting(done)) + "\n"]
    for name, title, table in (
        ("reach", REACH, reach),
        ("start", START, start),
        ("roof", ROOF, roof),
        ("latency", LATENCY, latency),
        ("scaling", SCALING, scaling),
    ):
        if lines := kept(name):
            parts += [title, "\n".join(table(lines)) + "\n"]
    return "\n".join(parts)


def picture(name: str, what: str) -> str:
    return f"![{what}](assets/{name})\n"


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


RATIOS = "How many times as fast as each peer, with intervals, beside what is asked"


def beside(done: list[Result]) -> Iterator[str]:
    yield "| Work | per second | Peira | Peer | | times as fast | asked | reached |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in done:
        row = result.row
        for library, target in result.peers.items():
            entry = result.best(library)
            who, ratio = entry.replace(library, NAMES[library]), result.against(entry)
            yield (
                f"| {row.name} | {row.unit} | {result.rate('peira'):,.0f} | "
                f"{who} | {result.rate(entry):,.1f} | "
                f"{ratio} | {asked(ratio.value, target)} |"
            )
        for entry in row.ours[1:]:
            if entry not in row.targets:
                ratio, way = result.against("peira", entry), entry.partition(", ")[2]
                yield (
                    f"| {row.name} | {row.unit} | {result.rate(entry):,.0f} ({way}) "
                    f"| Peira | {result.rate('peira'):,.0f} | {ratio} | | |"
                )


def asked(ratio: float, target: float | None) -> str:
    """The target and whether it is reached, if there is one."""
    return "|" if target is None else f"{target:.3g} | {MET[ratio >= target]}"


def starting(done: list[Result]) -> Iterator[str]:
    yield "| Work | who | ready after | first turn | later turns | most memory |"
    yield "|---|---|---|---|---|---|"
    for result in done:
        for entry, seconds in result.seconds.items():
            yield (
                f"| {result.row.name} | {entry} | {result.ready[entry]:.1f} s | "
                f"{result.first[entry]:.1f} s | {np.median(seconds):.2f} s | "
                f"{result.mib[entry]:,.0f} MiB |"
            )


REACH = """## Until a policy is good

Seconds from the start of the process (importing, compiling and judging counted) until
the mean return of the greedy policy over 20 episodes was as high as asked, seed by
seed, with the same settings for all; who was not there at the last step never was.
Times as fast: the median of the ratios of equal seeds, and the lowest and highest.

"""


def reach(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| Work | Return | Who | reached | seconds | steps | Peira is times as fast |"
    yield "|---|---|---|---|---|---|---|"
    for name, line in {line["race"]: line for line in lines}.items():
        runs = raced(line)
        for entry, run in runs.items():
            of = f"{run.reached} of {len(run.seconds)}"
            yield (
                f"| {name} | {line['goal']:g} | {entry} | {of} | {each(run.seconds)} | "
                f"{each(run.steps)} | {sooner(entry, runs)} |"
            )


def each(x: np.ndarray) -> str:
    """Number by number; a dash for what never was."""
    return ", ".join(f"{v:,.0f}" if np.isfinite(v) else "-" for v in x)


def sooner(entry: str, runs: dict[str, Runs]) -> str:
    """Our ratio to a library's quickest entry; nothing for its others and for ours."""
    library = entry.partition(", ")[0]
    if library == "peira" or quickest(library, runs) != entry:
        return ""
    ours, theirs = runs["peira"].seconds, runs[entry].seconds
    if not np.isfinite(ours).all():
        return "-"  # a seed of ours never was there
    ratios = theirs / ours
    more = lambda x: f"{x:.1f}" if np.isfinite(x) else "∞"
    ends = f"{more(ratios.min())}, {more(ratios.max())}"
    return f"{more(float(np.median(ratios)))} ({ends})"


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
program as it is written; of one product of 2048 x 2048; and of the products that are in
an update, as they are but without all else (own products). The three take turns in one
process. Of TD3 and TD3+BC every update is one of the actor, too.

"""


def roof(lines: list[dict[str, Any]]) -> Iterator[str]:
    last = {line["algorithm"]: line for line in lines}
    yield (
        "| Algorithm | MFLOP per update | FLOP per byte | updates per second | GFLOP "
        "per second | limit | share | own products | share |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, row in last.items():
        speeds, peaks = np.array(row["speeds"]), np.array(row["peaks"])
        limits, speed = np.array(row["limits"]), float(np.median(speeds))
        yield (
            f"| {name} | {row['flops'] / 1e6:,.0f} | "
            f"{row['flops'] / row['traffic']:.1f} | {speed / row['flops']:,.1f} | "
            f"{speed / 1e9:.0f} | {np.median(peaks) / 1e9:.0f} | "
            f"{median(speeds / peaks)} | {np.median(limits) / 1e9:.0f} | "
            f"{median(speeds / limits)} |"
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


SCALING = f"""## Scaling

Medians of a second, by points that take turns. Seeds in one program are beside as many
processes at the same time; what is counted is all of their steps or updates together.

{picture(pictures.SCALING, "Steps or updates per second over what is varied")}"""


def scaling(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| What | Axis | At | Per second | Beside the first |"
    yield "|---|---|---|---|---|"
    for name, line in {line["curve"]: line for line in lines}.items():
        found = curves(line)
        base = next(iter(next(iter(found.values())).values()))
        for label, points in found.items():
            for x, spent in points.items():
                yield (
                    f"| {name}{', ' * bool(label)}{label} | {line['axis']} | {x:,g} | "
                    f"{1 / np.median(spent):,.0f} {line['unit']} | "
                    f"{median(base / spent)} |"
                )


def write() -> None:
    """The page, and the pictures that it shows."""
    if done := results(kept("speed")):
        pictures.ratios(done)
    if lines := kept("scaling"):
        pictures.scaling(lines)
    PAGE.write_text(page())


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    write()
