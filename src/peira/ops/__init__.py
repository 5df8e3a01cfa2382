"""The mathematics of reinforcement learning as pure functions."""

from .distributions import (
    Categorical,
    Gaussian,
    MultiCategorical,
    scale,
    TanhGaussian,
    unscale,
)
from .learning import (
    choose,
    descend,
    mean_metrics,
    Number,
    polyak,
    refused,
    settle,
    stride,
    Trainable,
    trainable,
    when,
)
from .moments import Moments
from .regression import expectile_loss, quantile_huber_loss
from .returns import gae, lambda_return, n_step
from .standard import Standard, Standardised


__all__ = [
    "Categorical",
    "Gaussian",
    "Moments",
    "MultiCategorical",
    "Number",
    "Standard",
    "Standardised",
    "TanhGaussian",
    "Trainable",
    "choose",
    "descend",
    "expectile_loss",
    "gae",
    "lambda_return",
    "mean_metrics",
    "n_step",
    "polyak",
    "quantile_huber_loss",
    "refused",
    "scale",
    "settle",
    "stride",
    "trainable",
    "unscale",
    "when",
]
