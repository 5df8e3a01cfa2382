"""Network blocks and how they begin."""

from .blocks import Activation, Conv, Ensemble, Impala, LayerNorm, Linear, MLP, PlainCNN
from .dropout import dropped
from .encode import Encoder, Vision
from .initialise import fan_in, he, Initialise, orthogonal
from .vae import VAE


__all__ = [
    "MLP",
    "VAE",
    "Activation",
    "Conv",
    "Encoder",
    "Ensemble",
    "Impala",
    "Initialise",
    "LayerNorm",
    "Linear",
    "PlainCNN",
    "Vision",
    "dropped",
    "fan_in",
    "he",
    "orthogonal",
]
