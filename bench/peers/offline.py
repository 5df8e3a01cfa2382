"""Final returns of d3rlpy from a standard dataset, for `docs/offline_results.md`.

    python bench/peers/offline.py [DATASET]

To be run in the peers' environment, where the dataset has been built under `datasets`.
Data, networks, batch and step sizes are those of our run, its evaluation after as many
updates is what to compare with, and so is the scaling of observations, actions and
rewards; what else differs is d3rlpy's own. Who must be asked for a return is asked for
the highest of the dataset, as ours is. A run's row goes to
bench/results/peers_offline.jsonl when it is complete: this can be stopped and repeated.
"""

import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import d3rlpy
import gymnasium
import numpy as np
import torch


ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "bench" / "results" / "peers_offline.jsonl"
UPDATES, BATCH, HIDDEN, SEEDS, EPISODES = 5_000, 128, [64, 64], range(5), 10
FEWER = {"dt": 3_000}
"""Updates, where they are others."""
WIDE = d3rlpy.models.VectorEncoderFactory(HIDDEN)
LINEAR = d3rlpy.models.VectorEncoderFactory([64], exclude_last_activation=True)
NORMED = d3rlpy.models.VectorEncoderFactory(HIDDEN, use_layer_norm=True)
BOTH = {"actor_encoder_factory": WIDE, "critic_encoder_factory": WIDE}
CLONED = BOTH | {"imitator_encoder_factory": WIDE}
SLOW = {"actor_learning_rate": 3e-4, "critic_learning_rate": 3e-4}
QUICK = {"actor_learning_rate": 1e-3, "critic_learning_rate": 1e-3}
ONE_SCALE = {"observation_scaler": d3rlpy.preprocessing.StandardObservationScaler()}
IQL_SCALE = {
    "reward_scaler": d3rlpy.preprocessing.ReturnBasedRewardScaler(multiplier=1000.0)
}
CQL_RATES = {"actor_learning_rate": 1e-4, "critic_learning_rate": 3e-4}
PEERS = {
    "bc": ("BC", {"learning_rate": 3e-4, "encoder_factory": WIDE, **ONE_SCALE}),
    "td3-bc": ("TD3PlusBC", {**BOTH, **SLOW, **ONE_SCALE}),
    "iql": ("IQL", {**BOTH, **SLOW, **IQL_SCALE, "value_encoder_factory": WIDE}),
    "cql": ("CQL", {**BOTH, **CQL_RATES, "alpha_learning_rate": 0.0}),
    "bcq": ("BCQ", {**CLONED, **QUICK, "imitator_learning_rate": 1e-3}),
    "awac": ("AWAC", {**BOTH, **SLOW}),
    "rebrac": (
        "ReBRAC",
        {
            "actor_encoder_factory": WIDE,
            "critic_encoder_factory": NORMED,
            **QUICK,
            "actor_beta": 0.01,
        },
    ),
    "bear": ("BEAR", {**CLONED, **QUICK, "warmup_steps": UPDATES // 10}),
    "dt": (
        "DecisionTransformer",
        {
            "encoder_factory": LINEAR,  # as wide as every token
            "num_layers": 2,
            "num_heads": 1,
            "context_size": 20,
            "batch_size": 64,
            "learning_rate": 3e-4,
            "optim_factory": d3rlpy.optimizers.AdamWFactory(
                weight_decay=1e-4,
                clip_grad_norm=0.25,
                lr_scheduler_factory=d3rlpy.optimizers.WarmupSchedulerFactory(300),
            ),
            **ONE_SCALE,
        },
    ),
}


class Player(Protocol):
    """Who acts, and may remember what came before."""

    def reset(self) -> None: ...

    def predict(self, x: np.ndarray, reward: float) -> np.ndarray: ...


class Memoryless:
    """A greedy policy that looks at the observation alone."""

    def __init__(self, algorithm: Any):
        self.algorithm = algorithm

    def reset(self) -> None:
        pass

    def predict(self, x: np.ndarray, reward: float) -> np.ndarray:
        return self.algorithm.predict(x[None])[0]


def dataset(name: str) -> tuple[d3rlpy.dataset.MDPDataset, str]:
    """The dataset, and its environment's name."""
    folder = ROOT / "datasets" / name
    about = json.loads((folder / "dataset.json").read_text())
    part = lambda what: np.load(folder / f"{what}.npy")
    starts = part("starts")
    last = starts + np.arange(len(starts))  # an episode has one observation more
    kept = np.ones(last[-1], bool)
    kept[last[1:] - 1] = False
    ends = np.zeros(starts[-1], np.float32)
    ends[starts[1:] - 1] = 1
    died = part("terminated").astype(np.float32)
    data = d3rlpy.dataset.MDPDataset(
        observations=part("obs")[: last[-1]][kept],
        actions=part("action"),
        rewards=part("reward")[:, None],
        terminals=died,
        timeouts=ends * (1 - died),
    )
    return data, about["meta"]["env"]


def returns(
    player: Player, env: gymnasium.Env, seed: int, episodes: int
) -> list[float]:
    """Of whole episodes of the greedy policy."""
    totals = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 * (seed + 1) + episode)
        player.reset()
        total, reward, over = 0.0, 0.0, False
        while not over:
            action = player.predict(obs.astype(np.float32), reward)
            obs, reward, terminated, truncated, _ = env.step(action)
            reward = float(reward)
            total, over = total + reward, terminated or truncated
        totals.append(round(total, 3))
    return totals


def train(
    name: str,
    peer: str,
    seed: int,
    *,
    batch: int = BATCH,
    updates: int = UPDATES,
    episodes: int = EPISODES,
) -> dict:
    data, env = dataset(name)
    world = gymnasium.make(env)
    d3rlpy.seed(seed)
    kind, settings = PEERS[peer]
    high = float(world.action_space.high[0])
    scaler = d3rlpy.preprocessing.MinMaxActionScaler(minimum=-high, maximum=high)
    settings = {"batch_size": batch, "action_scaler": scaler} | settings
    earned = [float(episode.rewards.sum()) for episode in data.episodes]
    if peer == "dt":
        largest = max(map(abs, earned))  # returns are told in units of it
        settings |= {
            "reward_scaler": d3rlpy.preprocessing.MultiplyRewardScaler(1 / largest),
            "max_timestep": max(len(episode.rewards) for episode in data.episodes),
        }
    algorithm = getattr(d3rlpy.algos, f"{kind}Config")(**settings).create(device=False)
    updates = FEWER.get(peer, updates)
    with tempfile.TemporaryDirectory() as logs:
        algorithm.fit(
            data,
            n_steps=updates,
            n_steps_per_epoch=updates,
            show_progress=False,
            logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
            experiment_name=logs,
        )
    player: Player = Memoryless(algorithm)
    if peer == "dt":
        player = algorithm.as_stateful_wrapper(target_return=max(earned))
    return {
        "cell": f"{name}/{peer}",
        "library": "d3rlpy",
        "version": metadata.version("d3rlpy"),
        "seed": seed,
        "step": updates,
        "returns": returns(player, world, seed, episodes),
    }


def main(name: str = "pendulum-medium-expert") -> None:
    torch.set_num_threads(1)
    done = set()
    if OUT.exists():
        rows = map(json.loads, OUT.read_text().splitlines())
        done = {(row["cell"], row["seed"]) for row in rows}
    for seed in SEEDS:
        for peer in PEERS:
            if (f"{name}/{peer}", seed) not in done:
                row = train(name, peer, seed)
                print(row["cell"], seed, np.mean(row["returns"]), flush=True)
                with OUT.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
