"""The steps of a trust region: a linear system solved by products alone, and a step
shortened until it will do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .learning import Number


Product = Callable[[Float[Array, " n"]], Float[Array, " n"]]
TINY = 1e-30  # nothing is divided by less


def fisher_product(
    kl: Callable[[Float[Array, " n"]], Float[Array, ""]], at: Float[Array, " n"]
) -> Product:
    """`v ↦ F v`, the Hessian of a mean KL divergence where it is zero, which is the
    Fisher matrix there. Schulman et al., 2015, appendix C.
    https://arxiv.org/abs/1502.05477
    """
    return jax.linearize(jax.grad(kl), at)[1]


def conjugate_gradient(
    product: Product, b: Float[Array, " n"], *, steps: int
) -> Float[Array, " n"]:
    """`x` with `A x = b`, nearly, for an `A` that is symmetric and positive, of which
    only products are known. Hestenes & Stiefel, 1952."""

    def improve(_: Any, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, residual, direction = now
        size = residual @ residual
        along = product(direction)
        stride = size / jnp.maximum(direction @ along, TINY)
        left = residual - stride * along
        turn = left @ left / jnp.maximum(size, TINY)
        return x + stride * direction, left, left + turn * direction

    return jax.lax.fori_loop(0, steps, improve, (jnp.zeros_like(b), b, b))[0]


def backtracked(
    good: Callable[[Float[Array, ""]], Bool[Array, ""]], *, shrink: Number, tries: int
) -> Float[Array, ""]:
    """The first of 1, `shrink`, `shrink²`, ... that is good; 0 where none of so many
    is."""

    def go_on(now: tuple[Array, Array, Array]) -> Array:
        count, _, found = now
        return (count < tries) & ~found

    def look(now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, share, _ = now
        found = good(share)
        return count + 1, jnp.where(found, share, share * shrink), found

    begin = jnp.array(0, int), jnp.ones(()), jnp.array(False)
    _, share, found = jax.lax.while_loop(go_on, look, begin)
    return jnp.where(found, share, 0.0)
