"""Values as how likely each of some numbers is: what is learned by classification.

The numbers, `atoms`, are evenly spaced from one end of the support to the other; what
lies beyond counts as the end. For one value each; callers vmap. Farebrother et al.,
2024. https://arxiv.org/abs/2403.03950
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from ..core import BadConfig
from .learning import Number


Encoding = Literal["two-hot", "hl-gauss"]
"""How one value becomes a histogram."""


def check_support(where: str, low: Number | None, high: Number | None) -> None:
    """Raise `BadConfig`, which begins with `where`, for a support that is not given or
    has nothing in it. Arrays pass: a swept field is one, perhaps traced."""
    if low is None or high is None:
        raise BadConfig(
            f"{where} needs value_low and value_high: between which numbers do "
            "discounted returns lie?"
        )
    known = isinstance(low, int | float) and isinstance(high, int | float)
    if known and not low < high:
        raise BadConfig(
            f"{where}: nothing lies between value_low = {low:g} and "
            f"value_high = {high:g}"
        )


def support(low: Number | None, high: Number | None, bins: int) -> Float[Array, " bin"]:
    """The atoms: so many numbers from one end to the other."""
    return jnp.linspace(jnp.asarray(low), jnp.asarray(high), bins)


def expected(
    logits: Float[Array, "*n bin"], atoms: Float[Array, " bin"]
) -> Float[Array, "*n"]:
    """The mean of what is likely."""
    return jax.nn.softmax(logits) @ atoms


def two_hot(y: Float[Array, ""], atoms: Float[Array, " bin"]) -> Float[Array, " bin"]:
    """All mass on the two atoms around a value, which is their mean."""
    width = atoms[1] - atoms[0]
    apart = jnp.abs(atoms - jnp.clip(y, atoms[0], atoms[-1]))
    return jnp.maximum(1.0 - apart / width, 0.0)


def hl_gauss(
    y: Float[Array, ""], atoms: Float[Array, " bin"], *, sigma: Number
) -> Float[Array, " bin"]:
    """What a normal around a value, of `sigma` times the distance of two atoms, puts
    into the bin around each atom; of the mass in all bins. Imani & White, 2018."""
    width = atoms[1] - atoms[0]
    edges = jnp.append(atoms - width / 2, atoms[-1] + width / 2)
    y = jnp.clip(y, atoms[0], atoms[-1])
    below = ndtr((edges - y) / (sigma * width))
    return jnp.diff(below) / (below[-1] - below[0])


def encoded(
    y: Float[Array, ""], atoms: Float[Array, " bin"], *, how: Encoding, sigma: Number
) -> Float[Array, " bin"]:
    """A value as a histogram, by one of the two."""
    return two_hot(y, atoms) if how == "two-hot" else hl_gauss(y, atoms, sigma=sigma)


def projected(
    values: Float[Array, " value"],
    probs: Float[Array, " value"],
    atoms: Float[Array, " bin"],
) -> Float[Array, " bin"]:
    """A distribution of any values as one of the atoms: the mass of each value goes to
    the two around it. Bellemare, Dabney & Munos, 2017, eq. 7.
    https://arxiv.org/abs/1707.06887
    """
    return probs @ jax.vmap(lambda y: two_hot(y, atoms))(values)
