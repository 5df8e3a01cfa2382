"""A greedy policy as StableHLO: what `jax.export` writes, for CPU and CUDA at once."""

import flatbuffers  # noqa: F401  (jax.export needs it, and learns so too late)
import jax
import numpy as np

from .greedy import Greedy
from .parity import Arrays, Runner


PLATFORMS = ("cpu", "cuda")


def program(policy: Greedy) -> bytes:
    """The policy as a file: `jax.export.deserialize` gives back a function from a dict
    of inputs to a dict of outputs."""
    (n,) = jax.export.symbolic_shape("batch")
    shapes = {p.name: p.batched(n) for p in policy.inputs}
    exported = jax.export.export(jax.jit(policy), platforms=PLATFORMS)(shapes)
    return bytes(exported.serialize())


def runner(file: bytes) -> Runner:
    """The program, read back and compiled."""
    call = jax.jit(jax.export.deserialize(bytearray(file)).call)

    def run(inputs: Arrays) -> Arrays:
        return {k: np.asarray(x) for k, x in call(dict(inputs)).items()}

    return run
