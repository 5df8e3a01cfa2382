"""How sure one can be: statistics over few runs, and pictures that show them."""

from .aggregates import aggregate, AGGREGATES, Profile, profile
from .comparisons import compared, Difference, holm, joint, paired, simultaneous
from .intervals import Interval, interval, typical
from .planning import power, runs_needed, visible
from .proportions import exact, jeffreys, wilson
from .resampling import bca, studentised
from .scores import collect, matrix, Scores
from .sequential import bet, decide, Decision
from .statistics import (
    bootstrap,
    contrast,
    difference,
    Estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
)


__all__ = [
    "AGGREGATES",
    "Decision",
    "Difference",
    "Estimate",
    "Interval",
    "Profile",
    "Scores",
    "aggregate",
    "bca",
    "bet",
    "bootstrap",
    "collect",
    "compared",
    "contrast",
    "decide",
    "difference",
    "exact",
    "holm",
    "interquartile_mean",
    "interval",
    "jeffreys",
    "joint",
    "matrix",
    "mean",
    "paired",
    "power",
    "probability_of_improvement",
    "profile",
    "runs_needed",
    "simultaneous",
    "studentised",
    "typical",
    "visible",
    "wilson",
]
