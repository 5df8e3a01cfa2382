"""`peira sweep ...`: from words to a sweep, and what came of it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..algos import get
from ..core import BadConfig, unknown
from ..engine.fields import plain
from ..engine.plan import Plan
from ..engine.schedule import Scheduler
from ..evidence.progress import Board
from ..evidence.sweeps import advance, check, grid, Place, Sweep
from . import count, Parser
from .axes import axes_of
from .fields import build
from .flags import parse, Sought, SweepOptions
from .study_flags import place_flags
from .swept import say
from .train import named, pairs
from .training import name_of, now, task_of
from .workers import workers


USAGE = (
    "usage: peira sweep run ALGORITHM ENV --grid FIELD=A,B | --search FIELD=LOW:HIGH "
    "[--field value ...]"
)
VERBS = """usage: peira sweep VERB ...

run     try settings over seeds, and the winner on fresh ones (run --help)
resume  go on with a sweep that was stopped: peira sweep resume FOLDER
show    what has come of a sweep, from its rows: peira sweep show FOLDER"""
HOW = """--grid FIELD=A,B,...      try all combinations of these fields' values; of a
                          field of several numbers: --grid hidden=64,64:256
--search FIELD=LOW:HIGH   let Optuna choose; also FIELD=log:LOW:HIGH, FIELD=A,B,..."""
SEEDS, TRIALS = (0, 1, 2), 20  # when nobody says
Said = argparse.Namespace


def command(words: Sequence[str]) -> None:
    """Do what the words say."""
    verbs = {"run": run, "resume": resume, "show": show}
    if not words or words[0] in ("-h", "--help"):
        print(VERBS)
    elif words[0] not in verbs:
        raise unknown("verb of peira sweep", words[0], verbs)
    else:
        verbs[words[0]](words[1:])


def run(words: Sequence[str]) -> None:
    """Begin a sweep, and bring it to its end."""
    flags, config = named(words, USAGE)
    if "algorithm" not in config:
        if {"-h", "--help"} & set(flags):
            print(f"{USAGE}\n\nevery field: peira sweep run ALGORITHM --help")
            return
        raise BadConfig(f"which algorithm? {USAGE}")
    name = config["algorithm"]
    said, rest = axes_said(flags)
    default = Sought(
        build(get(name), config.get("hyper", {})),
        build(Plan, {"seeds": SEEDS} | config.get("plan", {})),
        SweepOptions(),
    )
    if {"-h", "--help"} & set(rest):
        print(f"{USAGE}\n\n{HOW}\n")
    wanted = parse(rest, default, prog=f"peira sweep run {name} ENV", usage=USAGE)
    begin(sweep_of(wanted, said, config), wanted.options)


def axes_said(flags: Sequence[str]) -> tuple[Said, list[str]]:
    """What is searched, and all other flags."""
    finder = Parser(prog="peira sweep run", add_help=False, allow_abbrev=False)
    finder.add_argument("--grid", action="append", default=[])
    finder.add_argument("--search", action="append", default=[])
    return finder.parse_known_args(flags)


def sweep_of(wanted: Sought, said: Said, config: Mapping[str, Any]) -> Sweep:
    """The sweep that is wanted. Raises `PeiraError`."""
    options, algorithm = wanted.options, wanted.algorithm
    if bool(said.grid) == bool(said.search):
        raise BadConfig(f"what is tried? --grid or --search, one of both; {USAGE}")
    axes = axes_of(type(algorithm), said.grid or said.search)
    trials = options.trials
    if said.grid:
        if ranges := [name for name, axis in axes.items() if axis.low is not None]:
            raise BadConfig(f"--grid {ranges[0]}: a range has no end; use --search")
        trials = len(grid(axes, trials, options.draw))
    kwargs = config.get("env_kwargs", {}) | pairs(options.env_kwargs)
    data = options.data or config.get("data", {}).get("path")
    if config.get("env") is None and data is None:
        raise BadConfig(f"which environment, or which dataset (--data)? {USAGE}")
    task = task_of(algorithm, config.get("env"), wanted.plan, kwargs, data)
    sweep = Sweep(
        algorithm=name_of(type(algorithm)),
        env=task.env,
        axes=axes,
        hyper=plain(algorithm),
        plan=plain(wanted.plan),
        method="grid" if said.grid else options.sampler,
        trials=TRIALS if trials is None else trials,
        together=options.together,
        prune=options.prune,
        by=options.by,
        fresh=options.fresh,
        draw=options.draw,
        env_kwargs=task.env_kwargs,
        data=data,
    )
    check(sweep)
    task.check()
    return sweep


def begin(sweep: Sweep, options: SweepOptions) -> None:
    """Make its folder, and bring it to its end."""
    where = (sweep.env or Path(sweep.data or "").name).replace("/", "-")
    name = options.name or f"{sweep.algorithm}-{where}-{now()}".replace(":", "-")
    if name != Path(name).name:
        raise BadConfig(f"--name {name}: a name, not a path; --out says where")
    with workers(options.on, options.at_once) as scheduler:
        place = Place.begin(sweep, Path(options.out) / name)
        go_on(place, scheduler, quiet=options.quiet, json=options.json)


def resume(words: Sequence[str]) -> None:
    parser = folder_of("resume")
    place_flags(parser, count)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    said = parser.parse_args(words)
    place = Place.open(Path(said.path))
    with workers(said.on, said.at_once) as scheduler:
        go_on(place, scheduler, quiet=said.quiet, json=said.json)


def show(words: Sequence[str]) -> None:
    said = folder_of("show").parse_args(words)
    say(Place.open(Path(said.path)), json=said.json)


def folder_of(verb: str) -> Parser:
    parser = Parser(prog=f"peira sweep {verb}")
    parser.add_argument("path", help="the sweep's folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def go_on(place: Place, scheduler: Scheduler, *, quiet: bool, json: bool) -> None:
    """Bring a sweep to its end, and say what came of it."""
    try:
        with Board(quiet=quiet or json) as board:
            advance(place, scheduler, board)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"go on with: peira sweep resume {place.path}") from None
    say(place, json=json)
