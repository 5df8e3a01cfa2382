"""Small values for fields with the usual names; any other keeps its own default."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from ...core import Algorithm, PeiraError
from ...engine.fields import typed


SMALL: Mapping[str, Any] = {
    "hidden": (8,),
    "batch": 8,
    "warmup": 8,
    "capacity": 64,
    "rollout": 8,
    "minibatches": 2,
    "epochs": 2,
    "target_every": 2,
    # so that every number matters within a few rounds
    "learning_rate": 0.1,
    "max_gradient": 0.1,
    "prioritised": True,
    "initial_epsilon": 0.9,
    "value_low": -5.0,
    "value_high": 5.0,
    "target_noise": 1.0,
    # of offline methods
    "vae_hidden": (8,),
    "critic_hidden": (8,),
    "cloning": 1,
    "warm_start": 1,
    "samples": 2,
    "quantiles": 2,
    # of sequence models
    "width": 8,
    "layers": 1,
    "context": 3,
    "embedding": 8,
    "noise_steps": 4,
    "denoising_steps": 2,
    "history": 2,
    "planned": 2,
    "beam": 2,
    "tries": 2,
    "bins": 4,
}
"""For a few rounds of made-up experience."""
QUICK: Mapping[str, Any] = {
    "hidden": (32,),
    "batch": 64,
    "warmup": 64,
    "capacity": 512,
    "every": 1,
    "rollout": 32,
    "minibatches": 4,
    "epochs": 4,
    "learning_rate": 3e-3,
    "critic_rate": 3e-3,
    "clone_rate": 3e-3,
    "tau": 0.05,
    "target_every": 10,
    "gamma": 0.6,
    "vae_hidden": (32,),
    "critic_hidden": (32,),
    "cloning": 100,
    "warm_start": 100,
    "samples": 2,
    "min_q_weight": 0.1,
    "threshold": 0.01,
    "temperature": 0.3,
    "quantiles": 5,
}
"""For learning a decision in a few hundred updates."""
TEMPERED: Mapping[str, Any] = {"alpha": 0.05, "automatic": False}
"""The same, where `alpha` is a temperature that could be automatic: entropy is worth
little against the rewards."""


def sized(
    cls: type[Algorithm], values: Mapping[str, Any], given: Mapping[str, Any]
) -> Algorithm:
    """The algorithm with what was given and, of the other values, those that have a
    field of their name, type and range."""
    algorithm = cls(**given)
    hints = typing.get_type_hints(cls)
    names = {f.name for f in dataclasses.fields(cls)} - given.keys()
    for name in sorted(names & values.keys()):
        value = values[name]
        if hints[name] is int and isinstance(value, tuple):
            value = value[0]  # one width instead of several
        try:
            changed = {name: typed(hints[name], value)}
            algorithm = dataclasses.replace(algorithm, **changed)
        except (ValueError, PeiraError):
            continue
    return algorithm
