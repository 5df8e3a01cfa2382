"""Losses of regression that lean to one side, of single errors `u = target - guess`."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .learning import Number


def expectile_loss(u: Float[Array, "*n"], tau: Number) -> Float[Array, "*n"]:
    """`|τ - 1(u < 0)| u²`: least at the mean if τ = 1/2, near the largest target if τ
    is near 1. Newey & Powell, 1987."""
    return jnp.where(u < 0, 1 - tau, tau) * jnp.square(u)


def quantile_huber_loss(
    u: Float[Array, "*n"], tau: Number, *, kappa: Number = 1.0
) -> Float[Array, "*n"]:
    """`|τ - 1(u < 0)| Huber(u)`, Huber's loss quadratic up to κ: the τ-quantile as κ
    goes to 0. Dabney et al., 2018, eqs. 9 and 10. https://arxiv.org/abs/1710.10044
    """
    size = jnp.abs(u)
    huber = jnp.where(size <= kappa, 0.5 * jnp.square(u), kappa * (size - 0.5 * kappa))
    return jnp.where(u < 0, 1 - tau, tau) * huber
