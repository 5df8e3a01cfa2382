"""The flags of `peira train`, `check` and `sweep run`, made from the fields of an
algorithm and a plan."""

import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any, get_origin, Literal, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from ..core import Algorithm, BadConfig, Count, unknown
from ..core.checks import Whole
from ..engine.fields import hints, meanings
from ..engine.plan import Plan
from .fields import allowed, fit, metavar


T = TypeVar("T")
USAGE = "usage: peira train ALGORITHM ENV [--data PATH] [--field value ...]"
SEEDS = " `5` is the seeds 0 to 4, `3,7` those two and `5,` only that one."


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything about a run that does not change its numbers."""

    name: str | None = None
    """Name of the run; algorithm, environment and time when not given."""
    runs: str = "runs"
    """Directory of the run's directory."""
    data: str | None = None
    """A dataset to learn from; the environment then evaluates only."""
    config: str | None = None
    """A config.toml to repeat; flags override it."""
    env_kwargs: tuple[str, ...] = ()
    """Arguments for the environment: key=value, the value JSON or text."""
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Where else to log: tensorboard, wandb, mlflow."""
    json: bool = False
    """Progress and summary as lines of JSON on standard output."""
    quiet: bool = False
    """No progress and no summary."""
    record: bool = True
    """Draw curve.png and film episode.mp4 at the end."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """All that a command line of `peira train` says."""

    algorithm: Annotated[Algorithm, tyro.conf.arg(name="")]
    plan: Annotated[Plan, tyro.conf.arg(name="")]
    options: Annotated[Options, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """How to check, and how to show it."""

    decide_within: Count = 4_800
    """Updates that a decision may take to be learned."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """All that a command line of `peira check` says."""

    algorithm: Annotated[Algorithm, tyro.conf.arg(name="")]
    options: Annotated[CheckOptions, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """What to try, and how to go about it."""

    trials: Count | None = None
    """Settings to try: all of a grid, or 20 of a search, when not given."""
    fresh: Count = 10
    """Seeds that no trial used, on which the winner is run again."""
    by: Literal["final", "area", "best"] = "final"
    """What a seed scores, as in `peira compare`."""
    sampler: Literal["tpe", "random"] = "tpe"
    """What Optuna chooses by."""
    prune: Literal["none", "median"] = "none"
    """Let Optuna end trials that are worse than the median of those before."""
    together: Count = 4
    """Trials of a search that are chosen together, and so can run side by side."""
    draw: Whole = 0
    """Seed of what chooses the settings."""
    name: str | None = None
    """Name of the sweep; algorithm, environment and time when not given."""
    out: str = "sweeps"
    """Directory of the sweep's directory."""
    data: str | None = None
    """A dataset to learn from; the environment then evaluates only."""
    config: str | None = None
    """A config.toml to start from; flags override it."""
    env_kwargs: tuple[str, ...] = ()
    """Arguments for the environment: key=value, the value JSON or text."""
    at_once: Count | None = None
    """Runs side by side; as many as there are cores when not given."""
    on: str = "local"
    """Where: `local`, `ray` (started here) or `ray://HOST:PORT`."""
    json: bool = False
    """Print JSON."""
    quiet: bool = False
    """No progress."""


@dataclasses.dataclass(frozen=True)
class Sought:
    """All that a command line of `peira sweep run` says."""

    algorithm: Annotated[Algorithm, tyro.conf.arg(name="")]
    plan: Annotated[Plan, tyro.conf.arg(name="")]
    options: Annotated[SweepOptions, tyro.conf.arg(name="")]


def parse(words: Sequence[str], default: T, *, prog: str, usage: str = USAGE) -> T:
    """Read the flags of every field in `default`; raises `BadConfig` for one that is
    unknown or does not fit. `--help` prints every field and exits."""
    complaint, parts = io.StringIO(), vars(default)
    try:
        with contextlib.redirect_stderr(complaint):
            said, rest = tyro.cli(
                type(default),
                prog=prog,
                args=list(words),
                default=default,
                description=abstract(type(parts["algorithm"])),
                registry=registry(),
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise BadConfig(one_line(complaint.getvalue())) from None
    if rest:
        flags = [f for part in parts.values() for f in hints(type(part))]
        raise misunderstood(rest[0], flags, usage)
    return said


def abstract(algorithm: type[Algorithm]) -> str:
    """The first paragraph of what an algorithm's file says of it."""
    words = inspect.getdoc(sys.modules[algorithm.__module__])
    return " ".join((words or algorithm.__name__).partition("\n\n")[0].split())


def misunderstood(word: str, flags: Sequence[str], usage: str) -> BadConfig:
    """The error for a word that is no flag."""
    if not word.startswith("-"):
        return BadConfig(f"'{word}' belongs to no flag; {usage}")
    names = [f.replace("_", "-") for f in flags]
    return unknown("field", word.split("=")[0].strip("-").replace("_", "-"), names)


def one_line(box: str) -> str:
    """What a box drawn on the terminal, perhaps in colour, says above its first
    rule."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip("│ ") for line in plain.splitlines()[1:]]
    said = itertools.takewhile(lambda line: not line.startswith(("─", "╰")), lines)
    return " ".join(said)


def registry() -> ConstructorRegistry:
    """Rules by which tyro makes a flag of every field of a dataclass."""
    rules = ConstructorRegistry()

    @rules.struct_rule
    def fields(info: StructTypeInfo) -> StructConstructorSpec | None:
        wholes = (Wanted, Checked, Sought)
        if not dataclasses.is_dataclass(info.type) or info.type in wholes:
            return None
        known, meaning = hints(info.type), meanings(info.type)
        return StructConstructorSpec(
            instantiate=info.type,
            fields=tuple(
                StructFieldSpec(
                    name,
                    flag(info.type, name, hint),
                    getattr(info.default, name),
                    meaning.get(name, "")
                    + allowed(hint)
                    + (SEEDS if name == "seeds" else ""),
                )
                for name, hint in known.items()
            ),
        )

    return rules


def flag(cls: type, name: str, hint: Any) -> Any:
    """The type of a field with the rule by which to read it from words."""
    if hint is bool or dataclasses.is_dataclass(hint):
        ours = cls in (Options, CheckOptions, SweepOptions)
        return Annotated[hint, tyro.conf.FlagCreatePairsOff] if ours else hint
    many = tuple in (get_origin(hint), get_origin(getattr(hint, "__origin__", None)))
    return Annotated[
        hint,
        PrimitiveConstructorSpec(
            nargs="*" if many else 1,
            metavar=metavar(hint),
            instance_from_str=functools.partial(read, cls, name, hint),
            is_instance=lambda _: True,
            str_from_instance=write,
        ),
    ]


def read(cls: type, name: str, hint: Any, words: list[str]) -> Any:
    """The value of a field, from the words that follow its flag."""
    if not words:
        raise BadConfig(f"{cls.__name__}.{name} needs a value: {metavar(hint)}")
    return fit(cls, name, hint, ",".join(words))


def write(value: Any) -> list[str]:
    """The words that `read` makes this value of."""
    if isinstance(value, tuple):
        return [",".join(map(str, value))]
    return ["none" if value is None else str(value)]
