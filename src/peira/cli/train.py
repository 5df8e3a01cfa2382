"""`peira train`: from words to a run."""

import itertools
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..algos import catalogue, get
from ..core import BadConfig, unknown
from ..engine.plan import Plan
from ..engine.run import unspell
from . import Parser
from .fields import build
from .flags import Options, parse, USAGE, Wanted
from .summary import say
from .training import Task, task_of, usual_sinks


TABLES = {"algorithm": str, "env": str, "env_kwargs": dict, "data": dict}
TABLES |= {"hyper": dict, "plan": dict}


def command(words: Sequence[str]) -> None:
    """Train as the words say."""
    flags, config = named(words, USAGE)
    helping = bool({"-h", "--help"} & set(flags))
    if helping and "algorithm" not in config:
        print(f"{USAGE}\n\nalgorithms: {', '.join(sorted(catalogue))}")
        print("every field of one: peira train ALGORITHM --help")
        return
    if words and not config:
        raise BadConfig(f"algorithm and environment come before the flags; {USAGE}")
    if "algorithm" not in config:
        raise BadConfig(f"which algorithm? {USAGE}")
    name = config["algorithm"]
    algorithm = build(get(name), config.get("hyper", {}))
    plan = build(Plan, config.get("plan", {}))
    default = Wanted(algorithm, plan, Options())
    wanted = parse(flags, default, prog=f"peira train {name} ENV")
    data = wanted.options.data or config.get("data", {}).get("path")
    if "env" not in config and data is None:
        raise BadConfig(f"which environment, or which dataset (--data)? {USAGE}")
    kwargs = config.get("env_kwargs", {}) | pairs(wanted.options.env_kwargs)
    env = config.get("env")
    train(task_of(wanted.algorithm, env, wanted.plan, kwargs, data), wanted.options)


def named(words: Sequence[str], usage: str) -> tuple[Sequence[str], dict[str, Any]]:
    """The flags; and the configuration to start from, in which the algorithm and the
    environment are those named before them."""
    names = list(itertools.takewhile(lambda w: not w.startswith("-"), words))
    flags = words[len(names) :]
    if len(names) > 2:
        raise BadConfig(f"'{names[2]}' belongs to no flag; {usage}")
    return flags, configured(flags) | dict(
        zip(("algorithm", "env"), names, strict=False)
    )


def train(task: Task, options: Options) -> None:
    sinks = usual_sinks(json=options.json, quiet=options.quiet)
    run = task.start(
        name=options.name,
        runs=Path(options.runs),
        sinks=[*sinks, *options.log],
        film=options.record,
    )
    if not options.quiet:
        say(run, json=options.json)


def configured(flags: Sequence[str]) -> dict[str, Any]:
    """What the file named by `--config` says; raises `BadConfig` if it makes no
    sense."""
    finder = Parser(prog="peira train", add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    file = finder.parse_known_args(flags)[0].config
    if file is None:
        return {}
    try:
        said = unspell(tomllib.loads(Path(file).read_text()))
    except (OSError, ValueError, RecursionError) as error:
        raise BadConfig(f"--config {file} cannot be read: {error}") from None
    said = {key: value for key, value in said.items() if value is not None}
    for key, value in said.items():
        if key not in TABLES:
            raise unknown(f"entry of {file}", key, TABLES)
        if not isinstance(value, TABLES[key]):
            kind = "text" if TABLES[key] is str else "a table"
            raise BadConfig(f"{file}: {key} must be {kind}, not {value!r}")
    return said


def pairs(words: Sequence[str]) -> dict[str, Any]:
    """Arguments from `key=value`, the value JSON, or else text."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (equals and key.isidentifier()):
            raise BadConfig(f"--env-kwargs {word}: must be key=value")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
