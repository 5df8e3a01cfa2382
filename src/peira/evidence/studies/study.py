"""A study: one file that says what is claimed, what is compared, and by which rule.

Two arms differ in what the claim is about and in nothing else. That is not promised but
computed, from all that decides a run, and anything more is refused.
"""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from ...algos import get
from ...core import Algorithm, BadConfig, Count, Positive, Range, unknown
from ...core.checks import check_fields, Whole
from ...engine.fields import plain, rebuild
from ...engine.plan import Plan
from ..curves import SCORES
from ..packs import RECIPES
from ..sequential import checked
from .coverage import COVERAGE
from .metrics import reported


SHIPPED = Path(__file__).parent / "shipped"
TIERS = ("smoke", "quick", "full")
Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Tier:
    """One size of a study: seconds, minutes, or hours."""

    tasks: tuple[str, ...]
    """Environments, or standard datasets to learn from."""
    runs: Count | None = None
    """Runs of each arm on each task."""
    looks: tuple[int, ...] = ()
    """Instead: numbers of runs of each arm at which to look, and perhaps to stop."""
    plan: Config = dataclasses.field(default_factory=dict)
    """Fields of the plan of every run."""
    hyper: Config = dataclasses.field(default_factory=dict)
    """Hyper-parameters that both arms have at this size."""

    def __post_init__(self):
        check_fields(self)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise BadConfig(f"Tier.tasks = {self.tasks}: at least one, and distinct")
        if (self.runs is None) == (not self.looks):
            raise BadConfig("a tier has runs, a number, or looks, several: one of both")
        if self.looks:
            checked(self.looks)
        if "seeds" in self.plan:
            raise BadConfig("Tier.plan.seeds: seeds follow from the number of runs")
        if rebuild(Plan, self.plan).episodes < 2:
            raise BadConfig("Tier.plan.episodes = 1: the best evaluation needs two")

    @property
    def most(self) -> int:
        """Runs of each arm at the end."""
        return self.looks[-1] if self.looks else self.runs or 0


@dataclasses.dataclass(frozen=True)
class Study:
    """A claim, and how it is put to the test."""

    claim: str
    """In our own words."""
    source: str
    """Who says so."""
    direction: Literal["higher", "lower", "same"]
    """What the first arm's metric is said to be, compared with the second's."""
    matters: Positive
    """The smallest difference that matters."""
    arms: dict[str, Config]
    """Two: the fields of each, and its `algorithm` or `metric` where it has its own."""
    tiers: dict[str, Tier]
    """smoke, quick, full."""
    about: tuple[str, ...] = ()
    """Fields in which the arms differ; none for arms that are the same."""
    algorithm: str | None = None
    """Of both arms."""
    hyper: Config = dataclasses.field(default_factory=dict)
    """Hyper-parameters of both arms."""
    metric: str = "final"
    """What a run scores."""
    paired: bool = False
    """The same seeds in both arms, compared one by one."""
    alarms: Whole = 0
    """Instead of means: of groups of so many runs, in how many the bars of one standard
    error do not overlap; the first arm's share of these is compared with 5 %."""
    level: Annotated[float, Range(0.5, 0.999)] = 0.95
    """Of the interval that decides."""
    scales: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """For a task the scores that count as 0 and as 100."""
    grid: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    """For coverage: into how many parts each entry of a task's observations is cut; 1
    where it does not count."""

    def __post_init__(self):
        check_fields(self)
        if len(self.arms) != 2:
            names = ", ".join(self.arms) or "none"
            raise BadConfig(f"Study.arms: two are compared, but there are {names}")
        for name in self.tiers:
            if name not in TIERS:
                raise unknown("tier", name, TIERS)
        for task, parts in self.grid.items():
            if min(parts, default=0) < 1:
                raise BadConfig(f"Study.grid.{task} = {parts}: parts are 1 at least")
        if not self.tiers:
            raise BadConfig(f"Study.tiers: at least one of {', '.join(TIERS)}")
        for name, tier in self.tiers.items():
            self._check_rule(name, tier)
            self._check_tasks(name, tier)

    def _check_rule(self, name: str, tier: Tier) -> None:
        simple = not self.paired and not self.alarms and self.direction != "same"
        if tier.looks and not simple:
            raise BadConfig(
                f"Study.tiers.{name}.looks: only whether independent arms differ can "
                "be looked at several times; say runs"
            )
        small = tier.most < self.alarms or self.alarms == 1
        if self.alarms and (small or self.paired):
            raise BadConfig(
                f"Study.alarms = {self.alarms}: groups of two runs at least, not "
                f"paired, and one group at least in the {tier.most} runs of {name}"
            )

    def _check_tasks(self, name: str, tier: Tier) -> None:
        odd = [task for task in tier.tasks if task not in self.scales]
        if len(tier.tasks) > 1 and odd:
            raise BadConfig(
                f"Study.tiers.{name}: tasks pay in units of their own; say in scales "
                f"what counts as 0 and as 100 on {', '.join(odd)}"
            )
        if self.grid and (bare := [t for t in tier.tasks if t not in self.grid]):
            raise BadConfig(
                f"Study.tiers.{name}: coverage is counted in a grid; say in grid how "
                f"the observations of {', '.join(bare)} are cut"
            )
        if len({task in RECIPES for task in tier.tasks}) > 1:
            raise BadConfig(f"Study.tiers.{name}: either environments or datasets")

    def tier(self, name: str) -> Tier:
        if name not in self.tiers:
            raise unknown("tier of this study", name, self.tiers)
        return self.tiers[name]

    def version(self, tier: str) -> str:
        """A hash of all that decides a verdict at this size."""
        said = plain(self) | {"tiers": {tier: plain(self.tier(tier))}}
        if not self.grid:  # studies from before there were grids keep their hash
            del said["grid"]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Arm(NamedTuple):
    """One of the two configurations that are compared."""

    name: str
    algorithm: str
    """Its catalogued name."""
    learner: Algorithm
    metric: str

    @property
    def config(self) -> Config:
        """All that decides its runs and their scores."""
        own = {"algorithm": self.algorithm, "metric": self.metric}
        return own | plain(self.learner)


def arms(study: Study, tier: str) -> tuple[Arm, Arm]:
    """Both arms at one size. Raises `BadConfig` where they cannot be made, or differ in
    anything but what the study is about."""
    one, other = (arm(study, name, study.tier(tier)) for name in study.arms)
    check_shared(study.tier(tier).hyper, study, one, other)
    check_about(study.about, one, other)
    for each in (one, other):
        check_metric(study, tier, each)
    return one, other


def check_metric(study: Study, tier: str, arm: Arm) -> None:
    data = tier_has_data(study, tier)
    if arm.metric in SCORES:
        return
    if arm.metric == COVERAGE:
        if data or not study.grid:
            raise BadConfig(
                "coverage is counted where an environment is learned from, in a grid: "
                "say in Study.grid how observations are cut"
            )
        return
    known = reported(arm.learner, from_data=data)
    if arm.metric not in known:
        raise unknown("metric", arm.metric, [*SCORES, COVERAGE, *known])


def arm(study: Study, name: str, tier: Tier) -> Arm:
    own = dict(study.arms[name])
    metric = own.pop("metric", study.metric)
    algorithm = own.pop("algorithm", study.algorithm)
    if not isinstance(algorithm, str) or not isinstance(metric, str):
        raise BadConfig(f"Study.arms.{name}: algorithm and metric are names")
    cls = get(algorithm)
    fields = {field.name for field in dataclasses.fields(cls)}
    shared = {k: v for k, v in (study.hyper | tier.hyper).items() if k in fields}
    if both := sorted(own.keys() & shared.keys()):
        raise BadConfig(f"Study.arms.{name}.{both[0]} is also said for both arms")
    return Arm(name, algorithm, rebuild(cls, shared | own), metric)


def check_shared(hyper: Config, study: Study, one: Arm, other: Arm) -> None:
    """What is said for both arms is a field of one of them at least."""
    known = {**one.config, **other.config}
    for field in study.hyper | hyper:
        if field not in known:
            raise unknown("hyper-parameter of the arms", field, known)


def check_about(about: tuple[str, ...], one: Arm, other: Arm) -> None:
    found = differences(one, other)
    for field in about:
        if field not in found:
            raise BadConfig(
                f"the study is about {field}, but {one.name} and {other.name} do not "
                "differ in it"
            )
    if more := [field for field in found if field not in about]:
        a, b = found[more[0]]
        raise BadConfig(
            f"{one.name} and {other.name} differ in {', '.join(more)} too ({more[0]}: "
            f"{a} and {b}), and the study is about {', '.join(about) or 'nothing'}: "
            "make them the same, or say so in about"
        )


def differences(one: Arm, other: Arm) -> dict[str, tuple[Any, Any]]:
    """The fields in which two arms differ, with both values. Of different algorithms,
    those that only one has belong to the algorithm."""
    a, b = one.config, other.config
    return {k: (a[k], b[k]) for k in a if k in b and a[k] != b[k]}


def tier_has_data(study: Study, tier: str) -> bool:
    """Whether it learns from datasets."""
    return study.tier(tier).tasks[0] in RECIPES


def load(name: str | Path) -> tuple[str, Study]:
    """A study by its name, or from a file; and what it is called. Raises `BadConfig`
    for what is no study, and for arms that cannot be compared."""
    path = home_of(name)
    try:
        study = rebuild(Study, tomllib.loads(path.read_text()))
        for tier in study.tiers:
            arms(study, tier)
    except (OSError, ValueError, RecursionError) as error:
        raise BadConfig(f"{path} cannot be read: {error}") from None
    except BadConfig as error:
        raise BadConfig(f"{path.name}: {error}") from None
    return path.stem, study


def home_of(name: str | Path) -> Path:
    """The file of a study; raises `BadConfig` for a name that is unknown."""
    if str(name).endswith(".toml"):
        return Path(name)
    if str(name) not in shipped():
        raise unknown("study", str(name), shipped())
    return shipped()[str(name)]


def shipped() -> Mapping[str, Path]:
    """The studies that come with Peira."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
