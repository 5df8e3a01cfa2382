"""How near updates come to what the machine can multiply.

    python bench/speed/roof.py [ALGORITHM ...]

The updates of one algorithm at its defaults, from `datasets/halfcheetah-random`, the
products of matrices in one of them without all the rest, and one large product take
turns in one process. An update's operations are counted by the compiler
(`peira.engine.cost`), on the program as it is written. Rows go to
`bench/results/roof.jsonl`; the page shows the last of each.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jaxtyping import Array
from ledger import DATA, keep

from peira import algos
from peira.core import Algorithm, Spec
from peira.data import read
from peira.engine.blackbox import outline
from peira.engine.cost import of_update
from peira.engine.from_data import beat_from, FromData
from peira.engine.plan import Plan


ALGORITHMS = ("sac", "td3", "bc", "td3-bc", "iql", "bear", "cql", "bcq", "dt")
DELAYED = ("td3", "td3-bc")  # whose actor learns every second time; here every time
SIDE = 2048  # of the matrices whose product is the limit
ROUNDS, SECONDS = 15, 1.0


def timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(do())
    return time.perf_counter() - began


def products(algorithm: Algorithm, spec: Spec) -> Callable[[], list[Array]]:
    """All products of matrices in an update, of ones, and nothing else."""
    shapes = jax.eval_shape(lambda: outline(algorithm, spec, 1))
    update = lambda learner, batch, key: algorithm.update(learner, batch, key=key)
    found = list(multiplied(jax.make_jaxpr(update)(**shapes)))
    factors = [[jnp.ones(x.aval.shape, x.aval.dtype) for x in e.invars] for e in found]

    @jax.jit
    def compute(factors: list[list[Array]]) -> list[Array]:
        pairs = zip(found, factors, strict=True)
        return [e.primitive.bind(*xs, **e.params) for e, xs in pairs]

    return lambda: compute(factors)


def multiplied(part: Any) -> Iterator[JaxprEqn]:
    """The products in a program, and in those that it is made of."""
    match part:
        case ClosedJaxpr():
            yield from multiplied(part.jaxpr)
        case Jaxpr():
            for equation in part.eqns:
                if equation.primitive is jax.lax.dot_general_p:
                    yield equation
                for inner in equation.params.values():
                    yield from multiplied(inner)
        case tuple() | list():
            for one in part:
                yield from multiplied(one)


def measure(name: str) -> dict:
    """FLOP per second of updates, of their products and of the large one, in each
    round."""
    algorithm = algos.get(name)(**({"delay": 1} if name in DELAYED else {}))
    data = read(DATA)
    beat = beat_from(algorithm, data, Plan(steps=10**7))
    loop = FromData(beat, data, (0,), resident=2**32)
    learned = lambda n: (loop.advance(n), loop.life.count)[1]
    timed(lambda: learned(1))
    n = max(1, round(SECONDS / timed(lambda: learned(4)) * 4))
    x = jnp.ones((SIDE, SIDE))
    product = jax.jit(jnp.matmul)
    timed(lambda: product(x, x))
    times = max(1, round(SECONDS / timed(lambda: product(x, x))))
    cost = of_update(algorithm, beat.spec)
    alone = products(algorithm, beat.spec)
    timed(alone)
    speeds, limits, peaks = [], [], []
    for _ in range(ROUNDS):
        speeds.append(n * cost.flops / timed(lambda: learned(n)))
        spent = sum(timed(alone) for _ in range(n))
        limits.append(n * cost.flops / spent)
        spent = sum(timed(lambda: product(x, x)) for _ in range(times))
        peaks.append(times * 2 * SIDE**3 / spent)
    return {
        "algorithm": name,
        "flops": cost.flops,
        "traffic": cost.traffic,
        "speeds": speeds,
        "limits": limits,
        "peaks": peaks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("algorithms", nargs="*", default=ALGORITHMS)
    for name in parser.parse_args().algorithms:
        line = measure(name)
        keep("roof", line)
        speeds = np.array(line["speeds"])
        for what, known in (("large product", "peaks"), ("own products", "limits")):
            share = np.median(speeds / np.array(line[known]))
            print(f"{name:8s} {100 * share:5.1f} % of the {what}'s")


if __name__ == "__main__":
    main()
