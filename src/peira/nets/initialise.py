"""How weights begin: functions from a key and a shape `(*window, in, out)`."""

import math
from collections.abc import Callable

import jax
import jax.random as jr
from jaxtyping import Array, Float

from ..core import Key


Initialise = Callable[[Key, tuple[int, ...]], Float[Array, "..."]]


def orthogonal(gain: float) -> Initialise:
    """Orthogonal columns. Saxe et al., 2014."""

    def start(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
        # One after another under vmap: on a CPU two batched factorisations at once wait
        # for each other for ever when they hold all of XLA's threads (jaxlib 0.10).
        one = lambda k: jax.nn.initializers.orthogonal(gain)(k, shape)
        return jax.custom_batching.sequential_vmap(one)(key)

    return start


def he(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal with variance 2 / fan-in. He et al., 2015."""
    return jax.nn.initializers.he_normal()(key, shape)


def fan_in(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform in ±1/√fan-in: what the reference code of DQN, TD3 and SAC starts from
    (PyTorch's default)."""
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    return jr.uniform(key, shape, minval=-bound, maxval=bound)


def normal(std: float) -> Initialise:
    """Normal with this standard deviation, whatever the fan-in; 0.02 is GPT-2's."""
    return lambda key, shape: std * jr.normal(key, shape)
