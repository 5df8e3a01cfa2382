"""One gradient step, and the slow copy that follows it."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..core import Metrics


N = TypeVar("N")
T = TypeVar("T")
U = TypeVar("U")
Number = float | Float[Array, ""]


class Trainable(eqx.Module, Generic[N]):
    """A network, all of whose leaves are learned, its optimiser's state, and how many
    steps were refused because the loss or its gradient was not finite."""

    net: N
    opt: optax.OptState
    refused: Int[Array, ""]


def trainable(net: N, tx: optax.GradientTransformation) -> Trainable[N]:
    """A network that has yet to take its first step."""
    return Trainable(net, tx.init(net), jnp.array(0, int))  # type: ignore[arg-type]


def descend(
    tx: optax.GradientTransformation,
    old: Trainable[N],
    loss: Callable[[N], tuple[Float[Array, ""], T]],
    *,
    rate: Number,
) -> tuple[Trainable[N], T]:
    """One step of size `rate` down the loss along `tx`'s direction; and what else
    the loss had to say. Where the loss or the square of its gradient is not finite the
    step is refused: nothing moves, and it is counted."""
    new, value, grads, aux = move(tx, old, loss, rate)
    good = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(grads))
    return keep(good, new, old), aux


def stride(
    tx: optax.GradientTransformation,
    old: Trainable[N],
    loss: Callable[[N], tuple[Float[Array, ""], T]],
    *,
    rate: Number,
) -> tuple[Trainable[N], T]:
    """`descend` without looking: one of many small steps that `settle` will judge
    together, because judging each would cost as much as a copy of the network."""
    new, _, _, aux = move(tx, old, loss, rate)
    return new, aux


def settle(new: Trainable[N], old: Trainable[N]) -> Trainable[N]:
    """What many strides led to, if every number of it is finite; otherwise all of them
    are refused as one."""
    finite = [jnp.isfinite(x).all() for x in jax.tree.leaves((new.net, new.opt))]
    return keep(jnp.stack(finite).all(), new, old)


def move(
    tx: optax.GradientTransformation,
    old: Trainable[N],
    loss: Callable[[N], tuple[Float[Array, ""], T]],
    rate: Number,
) -> tuple[Trainable[N], Float[Array, ""], N, T]:
    """One step; the loss and its gradient before it, and what else there is to say."""
    (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(old.net)
    # XLA would move the optimiser's factors into the products that make the gradient,
    # or not: by the order in which it happens upon them, and with other last digits.
    grads = jax.lax.optimization_barrier(grads)
    direction, opt = tx.update(grads, old.opt, old.net)  # type: ignore[arg-type]
    net = jax.tree.map(lambda w, d: w - rate * d, old.net, direction)
    return Trainable(net, opt, old.refused), value, grads, aux


def keep(good: Bool[Array, ""], new: Trainable[N], old: Trainable[N]) -> Trainable[N]:
    """The new one if that is good; else the old one, with one more step refused."""
    pick = lambda x, y: jnp.where(good, x, y)
    net, opt = jax.tree.map(pick, (new.net, new.opt), (old.net, old.opt))
    return Trainable(net, opt, old.refused + ~good)


def refused(learner: PyTree) -> Int[Array, ""]:
    """How many steps every network in there has refused, all together."""
    is_one = lambda x: isinstance(x, Trainable)
    found = filter(is_one, jax.tree.leaves(learner, is_leaf=is_one))
    return sum((x.refused for x in found), jnp.array(0, int))


def polyak(target: N, online: N, tau: Number) -> N:
    """Move the target a fraction `tau` of the way to the online network."""
    return jax.tree.map(lambda t, o: t + tau * (o - t), target, online)


def when(pred: Bool[Array, ""], f: Callable[[T], T], x: T) -> T:
    """`f(x)` if `pred` else `x`, running `f` only when it is wanted."""
    return jax.lax.cond(pred, f, lambda a: a, x)


def renewed(due: Bool[Array, ""], make: Callable[[U], T], given: U, old: T) -> T:
    """`make(given)` where that is due, else the old one. Of many side by side it is
    made only when it is due for any of them: a `cond` that is batched makes it
    always."""

    @jax.custom_batching.custom_vmap
    def one(due: Bool[Array, ""], given: U, old: T) -> T:
        return jax.lax.cond(due, make, lambda _: old, given)

    @one.def_vmap
    def many(n: int, batched: Any, *args: Any) -> tuple[T, Any]:
        wide = lambda b, x: x if b else jnp.broadcast_to(x, (n, *jnp.shape(x)))
        spread = lambda i: jax.tree.map(wide, batched[i], args[i])
        due, old = spread(0), spread(2)
        axes = jax.tree.map(lambda b: 0 if b else None, batched[1])
        each = jax.vmap(make, in_axes=(axes,), axis_size=n)
        new = jax.lax.cond(due.any(), each, lambda _: old, args[1])
        return choose(due, new, old), jax.tree.map(lambda _: True, old)

    return one(due, given, old)


def choose(pred: Bool[Array, " n"], yes: T, no: T) -> T:
    """Row by row, `yes` where `pred` and `no` elsewhere."""

    def pick(x: Array, y: Array) -> Array:
        return jnp.where(pred.reshape(pred.shape + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(pick, yes, no)


def mean_metrics(metrics: dict[str, Float[Array, "..."]]) -> Metrics:
    """Each metric's mean over whatever axes it was stacked along."""
    return {k: v.mean() for k, v in metrics.items()}
