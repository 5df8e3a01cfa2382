"""The mathematics of reinforcement learning as pure functions."""

from .bins import Bins, extended, narrowed
from .diffusion import denoised, generated, left, noised, Schedule
from .distributions import (
    Binned,
    binned,
    Categorical,
    Gaussian,
    Mixture,
    MultiCategorical,
    scale,
    TanhGaussian,
    unbinned,
    unscale,
)
from .divergences import (
    dual_kl,
    gaussian,
    laplacian,
    normal_kl,
    sampled_kl,
    squared_mmd,
    steepness,
    wasserstein,
)
from .histogram import check_support, expected, hl_gauss, projected, two_hot
from .history import blank, recent
from .learning import (
    choose,
    descend,
    mean_metrics,
    Number,
    polyak,
    refused,
    renewed,
    settle,
    stride,
    Trainable,
    trainable,
    when,
)
from .moments import Moments
from .proposals import best_worth, BestOf, Critics, fixed_noise, Propose, soft_clipped
from .regression import expectile_loss, quantile_huber_loss
from .returns import gae, lambda_return, n_step
from .standard import Standard, Standardised
from .trust_region import backtracked, conjugate_gradient, fisher_product


__all__ = [
    "BestOf",
    "Binned",
    "Bins",
    "Categorical",
    "Critics",
    "Gaussian",
    "Mixture",
    "Moments",
    "MultiCategorical",
    "Number",
    "Propose",
    "Schedule",
    "Standard",
    "Standardised",
    "TanhGaussian",
    "Trainable",
    "backtracked",
    "best_worth",
    "binned",
    "blank",
    "check_support",
    "choose",
    "conjugate_gradient",
    "denoised",
    "descend",
    "dual_kl",
    "expected",
    "expectile_loss",
    "extended",
    "fisher_product",
    "fixed_noise",
    "gae",
    "gaussian",
    "generated",
    "hl_gauss",
    "lambda_return",
    "laplacian",
    "left",
    "mean_metrics",
    "n_step",
    "narrowed",
    "noised",
    "normal_kl",
    "polyak",
    "projected",
    "quantile_huber_loss",
    "recent",
    "refused",
    "renewed",
    "sampled_kl",
    "scale",
    "settle",
    "soft_clipped",
    "squared_mmd",
    "steepness",
    "stride",
    "trainable",
    "two_hot",
    "unbinned",
    "unscale",
    "wasserstein",
    "when",
]
