"""Train every row of `docs/results.md`, keep what came out, and write the page.

    python bench/learn.py             train what is missing, then write (hours)
    python bench/learn.py NAME ...    only these rows
    python bench/learn.py --write     only write the page

Runs lie under `runs/learn`; a run cut short is resumed and a finished one is not
repeated. What the page is made of is kept in `bench/results/learn.jsonl`: one line per
row, seed, step and kind of evaluation, with the return of every episode.
"""

import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from lines import kept

from peira.engine.run import Run
from peira.evidence import difference, Estimate, mean


ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "learn"
KEPT = ROOT / "bench" / "results" / "learn.jsonl"
PEERS = ROOT / "bench" / "results" / "peers_halfcheetah.jsonl"
PAGE = ROOT / "docs" / "results.md"


@dataclasses.dataclass(frozen=True)
class Row:
    """One experiment: a command, and the return it has to reach."""

    name: str
    command: str
    """What follows `peira train`."""
    target: float | None = None
    """Return to reach at the last step."""
    each: bool = False
    """Whether every seed has to, or the mean."""
    note: str = ""
    source: str = ""
    """Where the target comes from."""


LUNAR = "--gamma 0.999 --gae-lambda 0.98 --entropy-cost 0.01 --envs 16"
BOARD = "--envs 64 --rollout 128 --epochs 4 --learning-rate 1e-3 --entropy-cost 0.01"
ATARI = "--learning-rate 2.5e-4 --batch 32 --every 4 --warmup 2000 --capacity 20000"
CHEETAH = "HalfCheetah-v5 --steps 50000 --evaluate-every 10000"
ISSUE = "CartPole's own limit of 475"
GYMNASIUM = "Gymnasium's 'solved'"
ROWS = [
    Row("ppo-cartpole", "ppo CartPole-v1 --seeds 5", 475, True, source=ISSUE),
    Row("trpo-cartpole", "trpo CartPole-v1 --seeds 5", 475, source=ISSUE),
    Row(
        "dqn-cartpole",
        "dqn CartPole-v1 --seeds 200,201,202,203,204",
        475,
        source=ISSUE,
        note="The defaults were chosen on the seeds 0 to 11; these are others. An "
        "earlier choice, made on the seeds 0 to 4 (targets copied every 50 updates), "
        "reached 437 [262, 612] on five others: five seeds are too few to choose by.",
    ),
    Row(
        "dqn-double-cartpole",
        "dqn CartPole-v1 --double --seeds 200,201,202,203,204",
        475,
        source=ISSUE,
    ),
    Row(
        "dqn-prioritised-cartpole",
        "dqn CartPole-v1 --prioritised --seeds 200,201,202,203,204",
        475,
        source=ISSUE,
    ),
    Row(
        "dqn-plain-cartpole",
        "dqn CartPole-v1 --n 1 --seeds 200,201,202,203,204",
        None,
        note="One-step targets, for comparison: what the three-step default replaced.",
    ),
    Row(
        "sac-pendulum",
        "sac Pendulum-v1 --steps 15000 --warmup 1000 --seeds 5",
        -200,
    ),
    Row(
        "arsq-pendulum",
        "arsq Pendulum-v1 --steps 15000 --warmup 1000 --seeds 5",
        -200,
        note="No score of the paper's on this task: the target is SAC's and TD3's.",
    ),
    Row(
        "td3-pendulum",
        "td3 Pendulum-v1 --steps 15000 --warmup 1000 --seeds 5",
        -200,
    ),
    Row(
        "td3-pendulum-fast",
        "td3 Pendulum-v1 --steps 15000 --warmup 1000 --learning-rate 1e-3 "
        "--seeds 200,201,202,203,204",
        -200,
        note="The paper's own step size, tried after the default had left one seed of "
        "five unsolved; these seeds chose nothing.",
    ),
    Row("sac-halfcheetah", f"sac {CHEETAH} --seeds 5", note="Beside peers: below."),
    Row("td3-halfcheetah", f"td3 {CHEETAH} --seeds 5", note="Beside peers: below."),
    Row(
        "ppo-lunarlander",
        f"ppo LunarLander-v3 --steps 1000000 {LUNAR} --seeds 5",
        200,
        source=GYMNASIUM,
    ),
    Row(
        "ppo-halfcheetah",
        "ppo HalfCheetah-v5 --steps 1000000 --seeds 5",
        1442.64 - 46.03,
        source="CleanRL, HalfCheetah-v4 at 1M steps, 3 seeds: 1442.64 ± 46.03 "
        "(its docs/benchmark/ppo_continuous_action.md)",
    ),
    Row(
        "ppo-minatar",
        f"ppo gymnax:Breakout-MinAtar --steps 50000 {BOARD} --seeds 5",
        2.0,
        source="well above the random policy, which earns 0.46 (200 episodes)",
    ),
    Row(
        "dqn-pong",
        f"dqn ALE/Pong-v5 --steps 10000 {ATARI} --episodes 2",
        None,
        note="A smoke run: that Atari trains, not that it is learned.",
    ),
    Row(
        "td3-halfcheetah-long",
        "td3 HalfCheetah-v5 --steps 300000 --seeds 2",
        None,
        note="A longer run, for its curve.",
    ),
]


def train(row: Row) -> None:
    """Run the row's command, or the rest of it, and keep its evaluations."""
    path = RUNS / row.name
    if not path.exists():
        peira("train", *shlex.split(row.command), "--name", row.name, "--runs", RUNS)
    run = Run.open(path)
    if not run.done:
        peira("resume", path)
        run = Run.open(path)
    others = [line for line in kept(KEPT) if line["row"] != row.name]
    ours = [{"row": row.name, "command": row.command, **line} for line in scores(run)]
    KEPT.write_text("".join(json.dumps(line) + "\n" for line in others + ours))


def peira(*words: str | Path) -> None:
    command = [sys.executable, "-m", "peira", *map(str, words)]
    subprocess.run(command, check=True)


def scores(run: Run) -> Iterator[dict]:
    """The returns of every evaluation of a run, in order."""
    found: dict[tuple, list[float]] = {}
    for line in run.evaluations().to_pylist():
        key = (line["seed"], line["step"], line["mode"])
        found.setdefault(key, []).append(round(line["return"], 3))
    for (seed, step, mode), returns in found.items():
        yield {"seed": seed, "step": step, "mode": mode, "returns": returns}


def final(lines: Iterable[dict]) -> tuple[int, dict[int, float]]:
    """The last step, and the mean return of each seed there."""
    lines = [line for line in lines if line["mode"] == "greedy"]
    last = max(line["step"] for line in lines)
    at_end = [line for line in lines if line["step"] == last]
    return last, {x["seed"]: float(np.mean(x["returns"])) for x in at_end}


def peers() -> dict[tuple[str, str], dict[int, float]]:
    """Each peer's mean return at 50 000 steps, by library and algorithm, by seed."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for line in PEERS.read_text().splitlines():
        x = json.loads(line)
        if x["step"] == 50_000:
            seeds = found.setdefault((x["library"], x["algorithm"]), {})
            seeds.setdefault(x["seed"], []).append(x["return"])
    return {
        who: {seed: float(np.mean(r)) for seed, r in sorted(seeds.items())}
        for who, seeds in sorted(found.items())
    }


def verdict(row: Row, by_seed: dict[int, float]) -> str:
    if row.target is None:
        return ""
    got = min(by_seed.values()) if row.each else np.mean(list(by_seed.values()))
    what = "every seed" if row.each else "mean"
    return f"{what} ≥ {row.target:g}: {'**yes**' if got >= row.target else '**no**'}"


def page() -> str:
    """The whole of docs/results.md."""
    lines = kept(KEPT)
    by_row = {r.name: [x for x in lines if x["row"] == r.name] for r in ROWS}
    parts = [INTRODUCTION, table(by_row), PEERS_INTRODUCTION, beside(by_row)]
    parts += ["## Commands and sources\n", commands(by_row)]
    return "\n".join(parts)


INTRODUCTION = """# Results

Written by `bench/learn.py` from `bench/results/`; `make learn` repeats the runs. Every
figure is the return of the greedy policy at the **last** step (never the best one) on
fresh episodes, ten for each seed unless said otherwise; its interval is Student's t at
95 % over seeds. Nothing was selected on these seeds unless a note says so.
"""
PEERS_INTRODUCTION = """
## Beside peers

HalfCheetah-v5 at 50 000 steps, same machine, same seeds, same settings (step size
3e-4, batch 256, 10 000 random steps, networks 256-256); the peers' runs are made by
`bench/peers/returns.py`. The difference is ours minus theirs with Welch's interval at
95 %.
"""


def table(by_row: dict[str, list[dict]]) -> str:
    head = "| Run | Steps | Seeds | Return | Lowest, highest seed | Reached |"
    body = [head, "|---|---|---|---|---|---|"]
    for row in ROWS:
        if not by_row[row.name]:
            body.append(f"| [{row.name}](#{row.name}) | | | not run yet | | |")
            continue
        step, by_seed = final(by_row[row.name])
        values = list(by_seed.values())
        body.append(
            f"| [{row.name}](#{row.name}) | {step:,} | {len(values)} | "
            f"{show(mean(np.array(values)))} | {min(values):.1f}, {max(values):.1f} | "
            f"{verdict(row, by_seed)} |"
        )
    return "\n".join(body) + "\n"


def beside(by_row: dict[str, list[dict]]) -> str:
    body = ["| | n | Return | Ours minus theirs |", "|---|---|---|---|"]
    for algorithm in ("sac", "td3"):
        lines = by_row[f"{algorithm}-halfcheetah"]
        ours = final(lines)[1] if lines else {}
        if ours:
            values = np.array(list(ours.values()))
            body.append(
                f"| {algorithm.upper()}, Peira | {len(ours)} | {show(mean(values))} | |"
            )
        for (library, name), theirs in peers().items():
            if name != algorithm:
                continue
            rest = np.array(list(theirs.values()))
            gap = show(difference(values, rest)) if ours else ""
            body.append(
                f"| {name.upper()}, {library.upper()} | {len(rest)} | "
                f"{show(mean(rest))} | {gap} |"
            )
    return "\n".join(body) + "\n"


def show(x: Estimate, digits: int = 1) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in (x.value, x.low, x.high))
    return value if np.isnan(x.low) else f"{value} [{low}, {high}]"


def commands(by_row: dict[str, list[dict]]) -> str:
    """How each row is made, and its curve: mean over seeds at each evaluation."""
    parts = []
    for row in ROWS:
        parts.append(f"### {row.name}\n\n```sh\npeira train {row.command}\n```\n")
        if row.note:
            parts.append(row.note + "\n")
        if row.source:
            parts.append(f"Source of the target: {row.source}.\n")
        if by_row[row.name]:
            parts.append(curve(by_row[row.name]))
    return "\n".join(parts)


def curve(lines: list[dict]) -> str:
    steps: dict[int, list[float]] = {}
    for line in lines:
        if line["mode"] == "greedy":
            steps.setdefault(line["step"], []).append(float(np.mean(line["returns"])))
    shown = ", ".join(f"{np.mean(v):.0f} at {s:,}" for s, v in sorted(steps.items()))
    return f"Mean over seeds: {shown}.\n"


def main(words: list[str]) -> None:
    names = {row.name: row for row in ROWS}
    if words != ["--write"]:
        unknown = [w for w in words if w not in names]
        if unknown:
            sys.exit(f"unknown row {unknown[0]}; known: {', '.join(names)}")
        for name in words or names:
            train(names[name])
            PAGE.write_text(page())
    PAGE.write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
