"""How long it takes until a policy is good, beside peers.

    python bench/speed/reach.py [RACE ...]

Wall clock from the start of the process until the greedy policy's mean return over 20
episodes is as high as asked: importing, compiling, learning and judging. All have the
same settings, and one seed of all is run at a time; they take turns of as many steps,
the others being stopped meanwhile (see `contest.py`, which says where peers are), until
each is there or has taken all its steps. Rows go to `bench/results/reach.jsonl`, the
last of a race counts.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from contest import away, Contestant, entries, machine
from ledger import keep
from measured import raced
from rows import CARTPOLE


EPISODES = 20


@dataclasses.dataclass(frozen=True)
class Race:
    """To a return, in so many steps at most."""

    name: str
    goal: float
    n: int
    """Steps between evaluations."""
    most: int
    """Steps."""
    settings: Mapping[str, Any]
    ours: tuple[str, ...] = ("peira", "peira, Gymnasium")
    libraries: tuple[str, ...] = ("sbx", "sb3")


# Of the Zoo, with a constant step size and clip.
SWIFT = {"envs": 8, "rollout": 32, "minibatches": 1, "epochs": 20, "clip": 0.2}
SWIFT |= {"learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.8, "anneal": False}
SWIFT |= {"entropy_cost": 0.0, "value_cost": 0.5, "max_gradient": 0.5}
# Of the Zoo.
SWING = {"env": "Pendulum-v1", "hidden": [256, 256], "batch": 256}
SWING |= {"capacity": 100_000, "warmup": 1_000, "learning_rate": 1e-3}
RACES = {
    race.name: race
    for race in [
        Race(
            "ppo CartPole-v1",
            475,
            8 * 32 * 20,
            8 * 32 * 400,
            {"algorithm": "ppo", **CARTPOLE, **SWIFT},
        ),
        Race(
            "sac Pendulum-v1",
            -200,
            500,
            20_000,
            {"algorithm": "sac", **SWING},
        ),
    ]
}


def run(race: Race, seed: int) -> Iterator[dict[str, Any]]:
    """What each contestant did with one seed: when it was ready, and then for every
    evaluation the step, the seconds of learning and of judging, and the return."""
    settings = dict(race.settings) | {"seed": seed}
    begun = race.settings.get("warmup", 0)
    running: list[tuple[Contestant, dict[str, Any]]] = []
    try:
        for entry in entries(race.ours, race.libraries):
            one = Contestant(entry, settings)
            about = {"entry": str(entry), "seed": seed, "ready": one.ready["seconds"]}
            running.append((one, about | {"points": []}))
        racing = running
        for step in range(begun + race.n, race.most + 1, race.n):
            for one, about in racing:
                about["points"].append({"step": step} | turn(one, race.n))
            racing = [x for x in racing if x[1]["points"][-1]["return"] < race.goal]
        yield from (about for _, about in running)
    finally:
        for one, _ in running:
            one.close()


def turn(one: Contestant, n: int) -> dict[str, float]:
    """Learn, then look how good it has become."""
    learning = one.ask(n)["seconds"]
    seen = one.ask(f"look {EPISODES}")
    return {"learning": learning, "looking": seen["seconds"], "return": seen["return"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("races", nargs="*", metavar="RACE", help=", ".join(RACES))
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    if unknown := [name for name in args.races if name not in RACES]:
        parser.error(f"unknown race {unknown[0]}; known: {', '.join(RACES)}")
    for name in args.races or RACES:
        race = RACES[name]
        if missing := away(race.libraries):
            print(f"{name}: left out, because {missing[0]} is not here")
            continue
        runs = [one for seed in range(args.seeds) for one in run(race, seed)]
        line = {"race": name, "goal": race.goal, "episodes": EPISODES}
        line |= {"settings": race.settings, "machine": machine(), "runs": runs}
        keep("reach", line)
        for who, found in raced(line).items():
            print(f"{who:20s} {found.seconds.round(1)} s, {found.steps} steps")


if __name__ == "__main__":
    main()
