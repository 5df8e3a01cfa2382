"""Standard datasets without a download: seeded recipes, and the hashes of what they
make.

Recipes train, so they stand above the engine and the algorithms, where evidence is
gathered: a set is the ground that comparisons stand on.
"""

from .making import build, Built, normalised, record, recorded, references
from .recipes import Recipe, RECIPES


__all__ = [
    "RECIPES",
    "Built",
    "Recipe",
    "build",
    "normalised",
    "record",
    "recorded",
    "references",
]
