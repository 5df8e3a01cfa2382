"""Network blocks and how they begin."""

from .autoregressive import Autoregressive
from .blocks import Activation, Conv, Ensemble, Impala, LayerNorm, Linear, MLP, PlainCNN
from .decoder import Decoder
from .diffusion import UNet
from .dropout import dropped, silenced
from .encode import Encoder, Vision
from .initialise import fan_in, he, Initialise, normal, orthogonal
from .transformer import Cache, Transformer
from .vae import VAE


__all__ = [
    "MLP",
    "VAE",
    "Activation",
    "Autoregressive",
    "Cache",
    "Conv",
    "Decoder",
    "Encoder",
    "Ensemble",
    "Impala",
    "Initialise",
    "LayerNorm",
    "Linear",
    "PlainCNN",
    "Transformer",
    "UNet",
    "Vision",
    "dropped",
    "fan_in",
    "he",
    "normal",
    "orthogonal",
    "silenced",
]
