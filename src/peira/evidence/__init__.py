"""How sure one can be: statistics over few runs, and pictures that show them."""

from .statistics import (
    bootstrap,
    difference,
    Estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
)


__all__ = [
    "Estimate",
    "bootstrap",
    "difference",
    "interquartile_mean",
    "mean",
    "probability_of_improvement",
]
