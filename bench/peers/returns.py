"""Evaluation returns of Stable-Baselines3 and SBX on HalfCheetah-v5, one core a run.

The settings are equal; what else differs is the libraries' own (in TD3, SBX's actor
ascends the smaller of two critics and its targets move at every update; SB3's
ascends the first critic and moves them with the actor). A run's rows are appended
when it is complete, so this can be stopped, repeated, and run on several cores.
"""

import argparse
import fcntl
import importlib
import itertools
import json
import multiprocessing
import os
import platform
import tempfile
import time
from importlib import metadata
from pathlib import Path


ENV = "HalfCheetah-v5"
EPISODES = 10
ORDER = [("sbx", "sac"), ("sb3", "td3"), ("sbx", "td3"), ("sb3", "sac")]
MODULES = {"sb3": "stable_baselines3", "sbx": "sbx"}
PACKAGES = ["stable-baselines3", "sbx-rl", "torch", "jax", "jaxlib", "flax"]
PACKAGES += ["optax", "numpy", "gymnasium", "mujoco"]
VERSIONS = {name: metadata.version(name) for name in PACKAGES}
VERSION = {"sb3": VERSIONS["stable-baselines3"], "sbx": VERSIONS["sbx-rl"]}
NOTE = (
    "Two runs ran side by side, each on one core, at the lowest priority and beside "
    "other work: wall_s is a record of the run, not a measurement of speed."
)
THREADS = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS"], "1")
THREADS |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
SHARED = {
    "learning_rate": 3e-4,
    "batch_size": 256,
    "buffer_size": 100_000,  # more than a run's steps: nothing is ever dropped
    "learning_starts": 10_000,
    "tau": 0.005,
    "gamma": 0.99,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [256, 256]},  # with ReLU and Adam in both
}
OWN = {
    "sac": {"ent_coef": "auto", "target_entropy": "auto"},  # -dim(A)
    "td3": {"policy_delay": 2, "target_policy_noise": 0.2, "target_noise_clip": 0.5},
}


def evaluate(model, env, seed: int) -> list[dict]:
    """Play whole episodes with the deterministic policy; one row for each."""
    rows = []
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=10_000 * (seed + 1) + episode)
        total, length, over = 0.0, 0, False
        while not over:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            total, length = total + float(reward), length + 1
            over = terminated or truncated
        step = model.num_timesteps
        rows.append(
            {"step": step, "episode": episode, "return": total, "length": length}
        )
    return rows


def train(library: str, algorithm: str, seed: int, steps: int, out: Path) -> None:
    """Train one run, evaluate it five times, and append its rows to the results."""
    import gymnasium
    import numpy as np
    import torch
    from stable_baselines3.common.noise import NormalActionNoise

    torch.set_num_threads(1)
    start = time.perf_counter()
    env, test = gymnasium.make(ENV), gymnasium.make(ENV)
    own = dict(OWN[algorithm])
    if algorithm == "td3":
        zero = np.zeros(env.action_space.shape)
        own["action_noise"] = NormalActionNoise(zero, zero + 0.1)
    create = getattr(importlib.import_module(MODULES[library]), algorithm.upper())
    model = create("MlpPolicy", env, seed=seed, device="cpu", **SHARED, **own)

    rows = []
    while model.num_timesteps < steps:
        model.learn(steps // 5, reset_num_timesteps=False)
        rows += evaluate(model, test, seed)
        mean = np.mean([row["return"] for row in rows[-EPISODES:]])
        at = f"{library} {algorithm} seed {seed} step {model.num_timesteps}"
        print(f"{at}: {mean:.1f}, {time.perf_counter() - start:.0f} s", flush=True)

    run = {"library": library, "version": VERSION[library]}
    run |= {"algorithm": algorithm, "env": ENV, "seed": seed}
    wall = {"wall_s": round(time.perf_counter() - start, 1)}
    with out.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("".join(json.dumps(run | row | wall) + "\n" for row in rows))


def complete(out: Path, *job) -> bool:
    """Whether the results hold this library, algorithm and seed at its last step."""
    lines = out.read_text().splitlines() if out.exists() else []
    keys = ("library", "algorithm", "seed", "step")
    return any(tuple(map(json.loads(line).get, keys)) == job for line in lines)


def describe(path: Path) -> None:
    """Write down the machine, the versions and the settings next to the results."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].split("\n")[0]
    about = {"cpu": cpu, "cores": os.cpu_count()}
    about |= {"python": platform.python_version(), "versions": VERSIONS}
    about["threads"] = {"torch": 1, "cores_per_process": 1, **THREADS}
    about["settings"] = {**SHARED, **OWN, "td3_action_noise": 0.1}
    path.write_text(json.dumps(about | {"note": NOTE}, indent=2) + "\n")


def main() -> None:
    out = Path(__file__).resolve().parents[1] / "results" / "peers_halfcheetah.jsonl"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", type=int, default=0, help="the core to run on")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=out)
    args = parser.parse_args()
    os.environ.update(THREADS)
    os.sched_setaffinity(0, {args.core})
    spawn = multiprocessing.get_context("spawn")
    for seed, (library, algorithm) in itertools.product(args.seeds, ORDER):
        job = (library, algorithm, seed, args.steps)
        name = "-".join(map(str, (args.out.stem, *job)))
        with open(Path(tempfile.gettempdir()) / f"{name}.lock", "w") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # another process is at it
            if not complete(args.out, *job):
                describe(args.out.with_name("peers_machine.json"))
                run = spawn.Process(target=train, args=(*job, args.out))
                run.start()
                run.join()


if __name__ == "__main__":
    main()
