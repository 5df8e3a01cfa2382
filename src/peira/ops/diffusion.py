"""Noise that takes the place of a signal step by step, and the way back.

Ho, Jain & Abbeel, 2020, https://arxiv.org/abs/2006.11239 (DDPM); Song, Meng & Ermon,
2021, https://arxiv.org/abs/2010.02502 (DDIM); the squared cosine is that of Nichol &
Dhariwal, 2021, https://arxiv.org/abs/2102.09672. How much of the signal's variance is
left at a step is their `ᾱ`: from almost 1 down to almost 0.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .learning import Number


Schedule: TypeAlias = Literal["squared-cosine", "linear"]
STEEPEST = 0.999  # the most that one step may take
LINEAR = (1e-4, 0.02)  # shares taken by the first and the last of a thousand steps
Guess: TypeAlias = Callable[[Float[Array, "*n"], Int[Array, ""]], Float[Array, "*n"]]
"""The noise in what is seen at a step."""


def left(schedule: Schedule, steps: int) -> Float[np.ndarray, " step"]:
    """How much is left after each step."""
    if schedule == "linear":
        taken = np.linspace(*LINEAR, steps)
    else:
        time = np.arange(steps + 1) / steps
        goal = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
        taken = np.minimum(1 - goal[1:] / goal[:-1], STEEPEST)
    return np.cumprod(1 - taken).astype(np.float32)


def noised(
    x: Float[Array, "*n"], noise: Float[Array, "*n"], now: Number
) -> Float[Array, "*n"]:
    """The signal with so much of it left."""
    return jnp.sqrt(now) * x + jnp.sqrt(1 - now) * noise


def denoised(
    x: Float[Array, "*n"],
    noise: Float[Array, "*n"],
    now: Number,
    then: Number,
    *,
    eta: Number,
    draw: Float[Array, "*n"],
) -> Float[Array, "*n"]:
    """One step back, from `now` left to `then`, by a guess of the noise. The signal is
    known to lie in `[-1, 1]`; with `eta` 0 the step is that of DDIM, with 1 the
    posterior of DDPM."""
    signal = jnp.clip((x - jnp.sqrt(1 - now) * noise) / jnp.sqrt(now), -1.0, 1.0)
    noise = (x - jnp.sqrt(now) * signal) / jnp.sqrt(1 - now)
    std = eta * jnp.sqrt((1 - then) / (1 - now) * (1 - now / then))
    rest = jnp.sqrt(jnp.maximum(1 - then - jnp.square(std), 0.0))
    return jnp.sqrt(then) * signal + rest * noise + std * draw


def generated(
    guess: Guess,
    kept: Float[Array, " step"],
    start: Float[Array, "*n"],
    draws: Float[Array, "draw ..."],
    *,
    eta: Number,
) -> Float[Array, "*n"]:
    """A signal from nothing but noise, in as many even strides as there are draws."""
    turns = len(draws)
    times = jnp.arange(turns)[::-1] * (len(kept) // turns)
    now = kept[times]
    then = jnp.append(now[1:], 1.0)

    def turn(x: Array, step: tuple[Array, ...]) -> tuple[Array, None]:
        time, now, then, draw = step
        return denoised(x, guess(x, time), now, then, eta=eta, draw=draw), None

    return jax.lax.scan(turn, start, (times, now, then, draws))[0]
