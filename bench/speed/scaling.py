"""How speed goes with the number of seeds and of environments, the width of networks
and the size of the replay.

    python bench/speed/scaling.py [CURVE ...]

Each point is a process of its own, and the points of a curve take turns. Seeds are
measured twice: all in one program, and each in a process of its own at the same time.
Rows go to `bench/results/scaling.jsonl`, the last of a curve counts.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contest import Contestant, Entry, machine
from ledger import keep
from rows import BATCHED, CARTPOLE, DATA, SCRIPT


ROUNDS = 9
SEEDS = (1, 2, 4, 8, 16)
CAPACITIES = (10_000, 100_000, 1_000_000)
PPO = {"algorithm": "ppo", **CARTPOLE, **SCRIPT, "backend": "jax"}
DQN = {"algorithm": "dqn", "env": "CartPole-v1", **BATCHED, "backend": "jax"}
TD3_BC = {"algorithm": "td3-bc", **DATA}


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting: what it is drawn at, what is changed, and how much makes a turn."""

    x: float
    change: Mapping[str, Any]
    n: int
    apart: int = 0
    """So many processes at the same time, with a seed each."""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points that are measured in turns."""

    name: str
    unit: str
    axis: str
    settings: Mapping[str, Any]
    points: Sequence[Point]


def seeds(name: str, unit: str, settings: Mapping[str, Any], n: int) -> Curve:
    """In one program and apart."""
    one = [Point(k, {"seeds": [*range(k)]}, n, label="one program") for k in SEEDS]
    apart = [Point(k, {}, n, k, "processes") for k in SEEDS]
    return Curve(name, unit, "seeds", settings, [*one, *apart])


def environments() -> list[Point]:
    """The rollout shortens as they get more, so that updates stay the same."""
    counts = (4, 16, 64, 256)
    return [Point(k, {"envs": k, "rollout": 512 // k}, 512 * 100) for k in counts]


def replays() -> list[Point]:
    return [
        Point(size, {"capacity": size, "prioritised": how}, 256 * 8, label=label)
        for size in CAPACITIES
        for how, label in ((False, "uniform"), (True, "prioritised"))
    ]


CURVES = {
    curve.name: curve
    for curve in [
        seeds("ppo CartPole-v1", "environment steps", PPO, 512 * 40),
        seeds("dqn CartPole-v1", "environment steps", DQN, 256 * 4),
        seeds("td3-bc", "updates", TD3_BC, 30),
        Curve("environments", "environment steps", "envs", PPO, environments()),
        Curve(
            "width",
            "updates",
            "hidden",
            TD3_BC,
            [Point(w, {"hidden": [w, w]}, 40) for w in (64, 128, 256, 512, 1024)],
        ),
        Curve("replay", "environment steps", "capacity", DQN, replays()),
    ]
}


def run(curve: Curve) -> Iterator[dict[str, Any]]:
    """Seconds of every point in every round."""
    contestants = {
        i: [
            Contestant(Entry("peira"), dict(curve.settings) | dict(point.change))
            for _ in range(max(1, point.apart))
        ]
        for i, point in enumerate(curve.points)
    }
    try:
        for round_ in range(-1, ROUNDS):  # the first compiles
            for i, group in contestants.items():
                point = curve.points[i]
                began = time.perf_counter()
                for one in group:
                    one.go(point.n)
                for one in group:
                    one.wait()
                if round_ >= 0:
                    yield {
                        "x": point.x,
                        "label": point.label,
                        "n": point.n,
                        "round": round_,
                        "seconds": time.perf_counter() - began,
                    }
    finally:
        for group in contestants.values():
            for one in group:
                one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("curves", nargs="*", metavar="CURVE", help=", ".join(CURVES))
    names = parser.parse_args().curves
    if unknown := [name for name in names if name not in CURVES]:
        parser.error(f"unknown curve {unknown[0]}; known: {', '.join(CURVES)}")
    for name in names or CURVES:
        curve = CURVES[name]
        turns = list(run(curve))
        about = {"curve": name, "unit": curve.unit, "axis": curve.axis}
        keep("scaling", about | {"machine": machine(), "turns": turns})
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
