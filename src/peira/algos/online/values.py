"""What the outputs of TD3's and SAC's critics stand for: values, or histograms of them.

    value    Q(s, a) = Σₖ zₖ pₖ(s, a), for evenly spaced atoms z and softmax p
    loss     E[w H(m, p(s, a))], H the cross-entropy; m is the target as two-hot or
             HL-Gauss

Farebrother et al., 2024. https://arxiv.org/abs/2403.03950
"""

from typing import Any, get_args, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ...core import Arrays, Obs, Transition
from ...nets import Ensemble
from ...ops import check_support, encoded, Encoding, expected, Number, support


ValueLoss = Literal["mse", "two-hot", "hl-gauss"]


class Expected(eqx.Module):
    """The value of an action as the mean of a histogram: the critic has an output for
    every atom."""

    net: Any
    atoms: Float[Array, " bin"]

    def __call__(self, obs: Obs, action: Float[Array, " act"]) -> Float[Array, ""]:
        return expected(self.net.says(obs, action), self.atoms)


class Values(NamedTuple):
    """How critics learn values, with what histograms need to know."""

    how: ValueLoss
    low: Number | None
    high: Number | None
    bins: int
    sigma: Number

    @property
    def outputs(self) -> int:
        """Of each critic."""
        return 1 if self.how == "mse" else self.bins

    @property
    def atoms(self) -> Float[Array, " bin"]:
        return support(self.low, self.high, self.bins)

    def check(self, name: str) -> None:
        """Raise `BadConfig`, which begins with `name`, for histograms of nothing."""
        if self.how in get_args(Encoding):
            check_support(f"{name}.value_loss = {self.how}", self.low, self.high)

    def read(self, critic: Ensemble[Any]) -> Ensemble[Any]:
        """The critics, each as a function to a value."""
        if self.how == "mse":
            return critic
        atoms = self.atoms
        members = jax.vmap(lambda net: Expected(net, atoms))(critic.members)
        return eqx.tree_at(lambda c: c.members, critic, members)

    def encode(self, y: Float[Arrays, " batch"]) -> Float[Array, "batch bin"]:
        """Targets as histograms."""
        assert self.how != "mse"
        how, atoms = self.how, self.atoms
        one = lambda y: encoded(y, atoms, how=how, sigma=self.sigma)
        return jax.vmap(one)(jnp.asarray(y))


def cross_entropy(
    critic: Ensemble[Any],
    steps: Transition,
    y: Float[Arrays, " batch"],
    weight: Float[Arrays, " batch"],
    *,
    values: Values,
) -> tuple[Float[Array, ""], Float[Array, "batch member"]]:
    """`Σᵢ E[w H(m, pᵢ)]`, m being y as a histogram, and the errors of the means."""
    one = lambda s, a: jax.vmap(lambda net: net.says(s, a))(critic.members)
    said = jax.vmap(one)(steps.obs, steps.action)
    aim = values.encode(y)[:, None]
    miss = optax.losses.softmax_cross_entropy(said, aim)
    td = expected(said, values.atoms) - y[:, None]
    return (weight[:, None] * miss).sum(axis=-1).mean(), td
