"""From the shell to the first learned update.

    python bench/speed/start.py [--rounds 7]

`peira train ppo CartPole-v1` until its first line of the log, without any compiled
program on disk and with those of the run before; and, where PEERS names a Python that
has it, Stable-Baselines3 until its first update. They take turns. Rows go to
`bench/results/start.jsonl`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ledger import keep


PEIRA = [Path(sys.executable).parent / "peira", "train", "ppo", "CartPole-v1"]
SB3 = """
from stable_baselines3 import PPO
PPO("MlpPolicy", "CartPole-v1", device="cpu").learn(1)
print("learned", flush=True)
"""


def first_line(words: list, env: Mapping[str, str], cwd: str) -> float:
    """Seconds until something is said that tells of learning."""
    began = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=2
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "loss" in line or "learned" in line:
                return time.perf_counter() - began
        raise RuntimeError(f"{words[0]} ended without having learned")
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            env = dict(os.environ) | {"PEIRA_CACHE": home}
            for way in ("cold", "warm"):
                took = first_line([*PEIRA, "--json", "--name", way], env, home)
                seconds.setdefault(f"peira, {way}", []).append(took)
            if python := os.environ.get("PEERS"):
                took = first_line([python, "-c", SB3], env, home)
                seconds.setdefault("sb3", []).append(took)
    keep("start", seconds)
    for way, x in seconds.items():
        print(f"{way:12s} {np.median(x):5.1f} s [{min(x):.1f}, {max(x):.1f}]")


if __name__ == "__main__":
    main()
