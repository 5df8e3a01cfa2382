"""A sweep: which settings of an algorithm are tried, on what, and how they are scored.

All of it is fixed before the first run, and a hash of it stands in every row.
"""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ...algos import get
from ...core import Algorithm, BadConfig, Count
from ...core.checks import check_fields, Whole
from ...engine.fields import hints, plain, rebuild
from ...engine.plan import Plan


Config = dict[str, Any]
Setting = Config
"""What a trial sets: a value for every field that is searched."""
MOST = 10_000  # settings of a grid


@dataclasses.dataclass(frozen=True)
class Axis:
    """The values that one field may take: these, or all of a range."""

    choices: tuple[Any, ...] = ()
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Small values as often as large ones, by their logarithm."""

    def __post_init__(self):
        check_fields(self)
        if self.low is None or self.high is None:
            told = [json.dumps(plain(x)) for x in self.choices]
            if not told or len(set(told)) < len(told):
                raise BadConfig(
                    f"choices {', '.join(told)}: at least one, and distinct"
                )
        elif not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise BadConfig(f"range {self.low}:{self.high}: must rise, and be finite")
        elif self.log and self.low <= 0:
            raise BadConfig(f"range log:{self.low}:{self.high}: must lie above 0")

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that tell whether all of them are allowed."""
        return self.choices or (self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A search for the setting that scores highest."""

    algorithm: str
    env: str | None
    axes: dict[str, Axis]
    """What is searched, by field."""
    hyper: Config
    """The fields of the algorithm as they are where they are not searched."""
    plan: Config
    """Of every run; its seeds are those that each trial is run on."""
    method: Literal["grid", "tpe", "random"] = "grid"
    """Every setting of a grid, or so many of it; or an Optuna sampler."""
    trials: Count = 20
    """Settings that are tried."""
    together: Count = 4
    """Trials that are chosen together, knowing those before them."""
    prune: Literal["none", "median"] = "none"
    """An Optuna pruner, which looks when all runs of a trial have been evaluated."""
    by: Literal["final", "area", "best"] = "final"
    """What a run scores."""
    fresh: Count = 10
    """Seeds that no trial used, on which the winner is run again."""
    draw: Whole = 0
    """Seed of whatever chooses the settings."""
    env_kwargs: Config = dataclasses.field(default_factory=dict)
    data: str | None = None
    """A dataset to learn from."""

    def __post_init__(self):
        check_fields(self)
        if not self.axes:
            raise BadConfig("a sweep tries values of one field at least")
        plan = rebuild(Plan, self.plan)
        if plan.episodes < 2:
            raise BadConfig("Plan.episodes = 1: the best evaluation needs two")
        if plan.online:
            raise BadConfig(f"Plan.online = {plan.online}: a sweep does not go online")
        if max(plan.seeds) + self.fresh >= 2**31:
            raise BadConfig(f"Plan.seeds = {plan.seeds}: leave room for fresh ones")
        if self.method == "grid" and self.prune != "none":
            raise BadConfig("a grid is tried to its end: prune is for --search")
        for name, axis in self.axes.items():
            for value in axis.ends:
                try:
                    self.learner({name: value})
                except BadConfig as error:
                    raise BadConfig(f"{name}: {error}") from None

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of every trial: the same for all."""
        return tuple(self.plan["seeds"])

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        first = max(self.seeds) + 1
        return tuple(range(first, first + self.fresh))

    @property
    def version(self) -> str:
        """A hash of all that decides what comes out."""
        said = json.dumps(plain(self), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def learner(self, setting: Setting) -> Algorithm:
        """The algorithm at one setting. Raises `BadConfig` where there is none."""
        cls = get(self.algorithm)
        for name in setting:
            if name not in hints(cls):
                rebuild(cls, {name: None})  # says which names there are
        return rebuild(cls, self.hyper | setting)

    def run_plan(self, seed: int) -> Plan:
        return rebuild(Plan, self.plan | {"seeds": [seed]})

    def rounds(self) -> Iterator[range]:
        """The numbers of the trials that are chosen together. A grid knows all."""
        size = self.trials if self.method == "grid" else self.together
        for first in range(0, self.trials, size):
            yield range(first, min(first + size, self.trials))


def grid(axes: dict[str, Axis], trials: int | None, draw: int) -> list[Setting]:
    """Every setting of a grid; or so many of them, drawn, in order. Raises
    `BadConfig`."""
    size = math.prod(len(axis.choices) for axis in axes.values())
    if size > MOST:
        raise BadConfig(f"a grid of {size:,} settings is too large; use --search")
    values = itertools.product(*(plain(axis.choices) for axis in axes.values()))
    found = [dict(zip(axes, row, strict=True)) for row in values]
    if trials is None or trials >= size:
        return found
    drawn = np.random.default_rng(draw).choice(size, trials, replace=False)
    return [found[i] for i in sorted(drawn)]
