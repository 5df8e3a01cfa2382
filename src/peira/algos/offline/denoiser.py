"""The network of Diffusion Policy: a U-Net or a transformer, and how the authors train
the one and the other."""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, Int, PyTree, Shaped

from ...core import Arrays, Box, Key
from ...nets import Decoder, Encoder, UNet
from ...ops import Number


Kind = Literal["unet", "transformer"]
Seen = PyTree[Shaped[Arrays, "time ..."]]


class Usual(NamedTuple):
    """How a network is trained where nothing else is said: updates over which the step
    size rises, how much of the weights is lost, and Adam's momenta."""

    warmup: int
    weight_decay: float
    momenta: tuple[float, float]


USUAL = {
    "unet": Usual(500, 1e-6, (0.95, 0.999)),
    "transformer": Usual(1000, 1e-3, (0.9, 0.95)),
}


class Denoiser(eqx.Module):
    """The noise in a plan, by what was seen."""

    eye: Encoder
    body: UNet | Decoder
    action: Box = eqx.field(static=True)
    form: Any = eqx.field(static=True)
    """The tree of an observation."""

    def features(self, seen: Seen) -> Float[Array, "..."]:
        """As one vector for a U-Net, as one after another for a transformer."""
        told = jax.vmap(self.eye)(seen)
        return told.ravel() if isinstance(self.body, UNet) else told

    def __call__(
        self,
        plan: Float[Array, "plan act"],
        time: Int[Array, ""],
        seen: Seen,
        *,
        rate: Number = 0.0,
        key: Key | None = None,
    ) -> Float[Array, "plan act"]:
        """With a key, numbers of a transformer drop out at a rate."""
        told = self.features(seen)
        if isinstance(self.body, UNet):
            return self.body(plan, time, told)
        return self.body(plan, time, told, rate=rate, key=key)


def adamw(kind: Kind, weight_decay: Any) -> optax.GradientTransformation:
    """With the authors' momenta; of a transformer matrices alone lose weight."""
    one, two = USUAL[kind].momenta
    mask = matrices if kind == "transformer" else None
    decay = optax.add_decayed_weights(weight_decay, mask=mask)
    return optax.chain(optax.scale_by_adam(b1=one, b2=two), decay)


def matrices(net: Denoiser) -> Denoiser:
    """What loses weight: no places, norms or biases, and nothing that reads images."""
    none = jax.tree.map(lambda x: False, net)
    wide = jax.tree.map(lambda x: x.ndim > 1, net.body)
    places = lambda body: (body.place, body.told_place)
    wide = eqx.tree_at(places, wide, (False, False))
    return eqx.tree_at(lambda n: n.body, none, wide)
