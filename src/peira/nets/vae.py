"""A conditional variational auto-encoder: what was done where.

Kingma & Welling, 2014, https://arxiv.org/abs/1312.6114; conditioned as in Sohn, Lee &
Yan, 2015.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core import fold, Key, Obs
from .blocks import MLP
from .encode import Encoder, Vision
from .initialise import fan_in


LOG_STD = (-4.0, 15.0)  # bounds of the latent's, for numerical stability


class VAE(eqx.Module):
    """Actions given an observation, through a normal latent. What is decoded has no
    bounds: `tanh` brings it to `[-1, 1]`."""

    eye: Encoder
    encoder: MLP
    decoder: MLP

    def __init__(
        self,
        space: PyTree,
        act: int,
        latent: int,
        hidden: tuple[int, ...],
        *,
        key: Key,
        vision: Vision = "auto",
    ):
        self.eye = Encoder(space, init=fan_in, key=fold(key, "eye"), vision=vision)
        k_encoder, k_decoder = fold(key, "encoder"), fold(key, "decoder")
        self.encoder = MLP([self.eye.size + act, *hidden, 2 * latent], key=k_encoder)
        self.decoder = MLP([self.eye.size + latent, *hidden, act], key=k_decoder)

    @property
    def latent(self) -> int:
        """Entries of the latent."""
        return self.encoder.layers[-1].bias.shape[-1] // 2

    def encode(
        self, obs: Obs, action: Float[Array, " act"]
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """Mean and standard deviation of the latent behind an action."""
        x = jnp.concatenate([self.eye(obs), action])
        mean, log_std = jnp.split(self.encoder(x), 2)
        return mean, jnp.exp(jnp.clip(log_std, *LOG_STD))

    def decode(self, obs: Obs, z: Float[Array, " latent"]) -> Float[Array, " act"]:
        """The action of a latent, before `tanh`."""
        return self.decoder(jnp.concatenate([self.eye(obs), z]))
