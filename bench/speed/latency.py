"""How long a policy takes to choose one action, for one actor.

    python bench/speed/latency.py [ALGORITHM ...]

Networks of the algorithms' defaults, which have learned nothing, on the sizes of
`datasets/halfcheetah-random`, from the observation on the host to the action on the
host, one call after another; policies take turns. A policy that plans takes long once
and then does what it planned: mean and longest both count. Rows go to
`bench/results/latency.jsonl`; the page shows the last of each.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.random as jr
import numpy as np
from ledger import DATA, keep

from peira import algos
from peira.core import TimeStep
from peira.data import read
from peira.engine.from_data import beat_from
from peira.engine.plan import Plan


ALGORITHMS = ("sac", "td3-bc", "rvs", "dt", "diffusion-policy")
ROUNDS, STEPS = 15, 200  # steps of a round


def actor(name: str) -> Callable[[int], np.ndarray]:
    """A function that takes so many steps and says how many seconds each took."""
    algorithm = algos.get(name)()
    data = read(DATA)
    beat = beat_from(algorithm, data, Plan(steps=1))
    policy = algorithm.policy(algorithm.init(beat.spec, key=jr.key(0)))
    step = jax.jit(
        lambda policy, carry, t, key: policy(carry, t, key=key, explore=False)[:2]
    )
    seen = np.asarray(data.obs)
    carry, key = policy.begin(), jr.key(1)

    def take(n: int) -> np.ndarray:
        nonlocal carry
        seconds = []
        for i in range(n):
            now = TimeStep(seen[i], np.float32(0), np.bool_(i == 0), None)
            began = time.perf_counter()
            action, carry = step(policy, carry, now, key)
            np.asarray(action)
            seconds.append(time.perf_counter() - began)
        return np.array(seconds)

    return take


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("algorithms", nargs="*", default=ALGORITHMS)
    names = parser.parse_args().algorithms
    actors = {name: actor(name) for name in names}
    for take in actors.values():
        take(20)
    found: dict[str, list[list[float]]] = {name: [] for name in actors}
    for _ in range(ROUNDS):
        for name, take in actors.items():
            took = 1e3 * take(STEPS)
            found[name].append([float(took.mean()), float(np.quantile(took, 0.99))])
    for name, rounds in found.items():
        keep("latency", {"algorithm": name, "milliseconds": rounds})
        print(name, np.median(rounds, axis=0).round(3))


if __name__ == "__main__":
    main()
