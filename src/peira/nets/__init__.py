"""Network blocks and how they begin."""

from .blocks import Activation, Conv, Ensemble, Impala, LayerNorm, Linear, MLP, PlainCNN
from .encode import Encoder, Vision
from .initialise import fan_in, he, Initialise, orthogonal


__all__ = [
    "MLP",
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
    "fan_in",
    "he",
    "orthogonal",
]
