"""What is compared: every setting that both sides are given.

`n` is how many steps or updates make a turn, the same for all contestants of a row.
A target is the smallest ratio to that library, each given its best number of threads,
or to another way to run our side.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    unit: str
    n: int
    settings: Mapping[str, Any]
    targets: Mapping[str, float]
    rounds: int = 11
    ours: tuple[str, ...] = ("peira",)
    """Of `WAYS`; the first is the one that the targets are about."""
    beside: tuple[str, ...] = ()
    """Libraries without a target, measured where they are installed."""


WAYS: Mapping[str, Mapping[str, Any]] = {
    "peira": {},
    "peira, overlapped": {"overlap": True},
    "peira, Gymnasium": {"backend": "gymnasium"},
    "peira, uniform": {"prioritised": False},
}
"""How to run our side, and what is then set otherwise."""
NAMES = {"sb3": "SB3", "sbx": "SBX", "d3rlpy": "d3rlpy", "purejaxrl": "PureJaxRL"}
NAMES |= {"tianshou": "Tianshou", "peira, uniform": "Peira, uniform"}
STEPS, UPDATES = "environment steps", "updates"
REPLAY = {"hidden": [256, 256], "batch": 256, "capacity": 100_000, "warmup": 1_000}
CHEETAH = {"env": "HalfCheetah-v5", **REPLAY}
CARTPOLE = {"env": "CartPole-v1", "hidden": [64, 64]}
# Of PureJaxRL's own script.
SCRIPT = {"envs": 4, "rollout": 128, "minibatches": 4, "epochs": 4}
SCRIPT |= {"learning_rate": 2.5e-4, "gamma": 0.99, "gae_lambda": 0.95}
SCRIPT |= {"entropy_cost": 0.01, "value_cost": 0.5, "max_gradient": 0.5, "clip": 0.2}
# Of the Zoo's tuned DQN: network, batch, and 128 updates after every 256 steps.
BATCHED = {"hidden": [256, 256], "batch": 64, "every": 2, "block": 256}
BATCHED |= {"capacity": 100_000, "warmup": 1_000}
# Of the Nature paper, but for the size of the replay.
PIXELS = {"env": "ALE/Pong-v5", "hidden": [], "batch": 32, "every": 4, "block": 4}
PIXELS |= {"n": 1, "target_every": 2_500, "capacity": 10_000, "warmup": 1_000}
PIXELS |= {"learning_rate": 1e-4}
# Filled before the first turn.
MILLION = {"env": "CartPole-v1", "hidden": [128, 128], "batch": 128, "every": 1}
MILLION |= {"block": 128, "capacity": 1_000_000, "warmup": 1_000_000}
DATA = {"data": "datasets/halfcheetah-random", "hidden": [256, 256], "batch": 256}
TOKENS = {"algorithm": "dt", "data": DATA["data"], "batch": 64, "context": 20}
TOKENS |= {"width": 128, "layers": 3, "heads": 1}
HOSTED = {"backend": "gymnasium"}
OURS = ("peira", "peira, overlapped")


def fit(name: str, n: int, target: float, **settings: Any) -> Row:
    """Learning from a dataset."""
    same = DATA | {"algorithm": name} | settings
    return Row(name, UPDATES, n, same, {"d3rlpy": target}, rounds=7)


ROWS = {
    row.name: row
    for row in [
        Row(
            "sac HalfCheetah-v5",
            STEPS,
            250,
            {"algorithm": "sac", **CHEETAH},
            {"sbx": 1.15, "sb3": 2.2},
            ours=OURS,
            beside=("tianshou",),
        ),
        Row(
            "td3 HalfCheetah-v5",
            STEPS,
            400,
            {"algorithm": "td3", **CHEETAH},
            {"sbx": 1.15, "sb3": 2.2},
            ours=OURS,
            beside=("tianshou",),
        ),
        Row(
            "ppo CartPole-v1",
            STEPS,
            4 * 128 * 400,
            {"algorithm": "ppo", **CARTPOLE, **SCRIPT, "backend": "jax"},
            {"purejaxrl": 1.0},
        ),
        Row(
            "ppo CartPole-v1, theirs stepped by Gymnasium",
            STEPS,
            4 * 128 * 20,
            {"algorithm": "ppo", **CARTPOLE, **SCRIPT, "backend": "jax"},
            {"sbx": 25.0, "sb3": 25.0},
        ),
        Row(
            "ppo CartPole-v1, Gymnasium, 8 environments",
            STEPS,
            8 * 128 * 8,
            {"algorithm": "ppo", **CARTPOLE, **SCRIPT, **HOSTED, "envs": 8},
            {"sbx": 1.5, "sb3": 3.0},
            ours=OURS,
        ),
        Row(
            "dqn CartPole-v1",
            STEPS,
            256 * 16,
            {"algorithm": "dqn", "env": "CartPole-v1", **BATCHED, "backend": "jax"},
            {"sbx": 1.2, "sb3": 2.0},
            beside=("tianshou",),
        ),
        Row(
            "dqn CartPole-v1, Gymnasium",
            STEPS,
            256 * 16,
            {"algorithm": "dqn", "env": "CartPole-v1", **BATCHED, **HOSTED},
            {"sbx": 1.2, "sb3": 2.0},
            ours=OURS,
            beside=("tianshou",),
        ),
        Row(
            "dqn ALE/Pong-v5",
            STEPS,
            400,
            {"algorithm": "dqn", **PIXELS, **HOSTED},
            {"sb3": 1.3},
            ours=OURS,
        ),
        Row(
            "dqn, prioritised replay of 1M",
            UPDATES,
            128 * 20,
            {"algorithm": "dqn", **MILLION, "prioritised": True, "backend": "jax"},
            {"peira, uniform": 1 / 1.15},
            ours=("peira", "peira, uniform"),
        ),
        fit("bc", 600, 4.0, standardise=False),
        fit("td3-bc", 400, 2.5),
        fit("iql", 300, 3.0),
        fit("bear", 150, 2.0, vae_hidden=[256, 256], matches=4, warm_start=0),
        fit("cql", 40, 1.3),
        fit("bcq", 60, 2.0, vae_hidden=[256, 256]),
        Row("dt", UPDATES, 5, TOKENS, {"d3rlpy": 4.0}, rounds=7),
    ]
}
