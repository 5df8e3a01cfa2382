"""The verbs that train, in Python: what the command line does, for a script or a
notebook."""

import contextlib
import dataclasses
import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ..algos import catalogue, get
from ..core import Algorithm, BadConfig, DataFault, EnvironmentFault, root, unknown
from ..data import check, Dataset, read
from ..data.audit import refuse
from ..engine.devices import deal, spread
from ..engine.fields import hints, plain, rebuild
from ..engine.memory import check_fits
from ..engine.plan import Plan
from ..engine.problem import Problem
from ..engine.run import configuration, Run
from ..engine.sinks import make_sink, Sink
from ..engine.train import train as train_run
from ..envs import shut
from . import LATER
from .fields import build
from .showing import curve_of, watch


def train(
    algorithm: str | Algorithm,
    env: Any = None,
    *,
    data: Dataset | str | Path | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
    env_kwargs: Mapping[str, Any] | None = None,
    sinks: Sequence[str] | None = None,
    film: bool = True,
    **fields: Any,
) -> Run:
    """Train and return the run.

    `algorithm` is a catalogued name, or an `Algorithm` of any class; `env` an id, an
    environment, or a callable that makes one. With `data`, a dataset or where one lies,
    that is learned from, and the environment (the one it was collected in, if none is
    given and it can be made) only evaluates. The other fields are those of the plan
    (`steps`, `seeds`, ...) and, with a name, of the algorithm. Raises `PeiraError`
    for what cannot be, before anything is written. `sinks` names where progress goes
    (`peira.engine.sinks`); by default the terminal.
    """
    planned = {k: v for k, v in fields.items() if k in hints(Plan)}
    rest = {k: v for k, v in fields.items() if k not in planned}
    own = hints(get(algorithm)) if isinstance(algorithm, str) else {}
    for field in rest:
        if field not in own:
            raise unknown("field", field, [*own, *hints(Plan)])
    if isinstance(algorithm, str):
        algorithm = build(get(algorithm), rest)
    plan, kwargs = build(Plan, planned), dict(env_kwargs or {})
    task = task_of(algorithm, env, plan, kwargs, data)
    sinks = usual_sinks() if sinks is None else sinks
    return task.start(name=name, runs=Path(runs), sinks=sinks, film=film)


def resume(
    run: Run | str | Path,
    *,
    env: Any = None,
    data: Dataset | str | Path | None = None,
    algorithm: type[Algorithm] | None = None,
    sinks: Sequence[str] | None = None,
    film: bool = True,
    **changes: Any,
) -> Run:
    """Go on exactly where a run stopped; a finished run comes back as it is.

    `env`, `data` and `algorithm`, where they are not known by a name, are the callable,
    the dataset and the class that the run began with. `changes` are fields of the plan
    that may change under way, above all more `steps`.
    """
    if not isinstance(run, Run):
        run = Run.open(run)
    if env is not None and run.config.get("env") is None:
        run.amend(env=env_name(env))
    if changes:
        change(run, changes)
    if run.done:
        return run
    task = task_again(run, env, data, algorithm)
    sinks = usual_sinks() if sinks is None else sinks
    made = [make_sink(sink, run.path) for sink in sinks]
    return task.advance(run, sinks=made, film=film, resume=True)


def change(run: Run, changes: Mapping[str, Any]) -> None:
    """Change the plan of a run; raises `BadConfig` for what cannot change."""
    for field in changes:
        if field not in LATER:
            raise unknown("field that can change", field, LATER)
    old = rebuild(Plan, run.config["plan"])
    plan = build(Plan, run.config["plan"] | dict(changes))
    begun = "data" in run.config and run.reached > old.steps
    if begun and (plan.steps, plan.share) != (old.steps, old.share):
        raise BadConfig(f"{run.path} has gone on online: its past cannot change")
    if plan.online and "data" not in run.config:
        raise BadConfig(f"Plan.online = {plan.online}: {run.path} is online already")
    if plan.steps + plan.online < run.reached:
        raise BadConfig(
            f"Plan.steps = {plan.steps}: {run.path} has come to {run.reached} already"
        )
    run.amend(plan=plain(plan))


class Source(NamedTuple):
    """A dataset, and what the configuration says of it."""

    data: Dataset
    path: str | None
    """None where it is of no file."""
    fingerprint: str

    @classmethod
    def of(cls, data: Dataset | str | Path) -> "Source":
        """Read what is not read yet. Raises `DataFault`."""
        path = None if isinstance(data, Dataset) else str(data)
        found = check(data) if isinstance(data, Dataset) else read(data)
        return cls(found, path, found.fingerprint())

    @classmethod
    def again(cls, said: Mapping[str, Any] | None, data: Any) -> "Source | None":
        """The dataset that a run began with; raises `DataFault` for another."""
        if said is None:
            return None
        if data is None and said["path"] is None:
            raise DataFault("the dataset of this run is of no file: hand it over again")
        found = cls.of(said["path"] if data is None else data)
        if found.fingerprint != said["fingerprint"]:
            where = found.path or "the dataset"
            raise DataFault(f"{where} is not what this run began with")
        return found._replace(path=said["path"])


def task_of(
    algorithm: Algorithm,
    env: Any,
    plan: Plan,
    env_kwargs: dict[str, Any],
    data: Dataset | str | Path | None,
) -> "Task":
    """A training; evaluated where its dataset was collected, if nobody says where."""
    spread(plan)
    source = None if data is None else Source.of(data)
    if source is None and plan.online:
        raise BadConfig(
            f"Plan.online = {plan.online}: say --steps where there is no --data"
        )
    if source is None and env is None:
        raise BadConfig("which environment, or which dataset (--data)?")
    if source is not None and env is None and "env" in source.data.meta:
        env = source.data.meta["env"]
        env_kwargs = dict(source.data.meta.get("env_kwargs", {})) | env_kwargs
    return Task(algorithm, env, plan, env_kwargs, source)


def task_again(
    run: Run, env: Any, data: Any, algorithm: type[Algorithm] | None
) -> "Task":
    """The training that a run is of."""
    config = run.config
    plan = rebuild(Plan, config["plan"])
    spread(plan)
    return Task(
        rebuild(algorithm or get(config["algorithm"]), config["hyper"]),
        config["env"] if env is None else env,
        plan,
        config.get("env_kwargs", {}),
        Source.again(config.get("data"), data),
    )


class Task(NamedTuple):
    """A training before it has a place on disk."""

    algorithm: Algorithm
    env: Any
    plan: Plan
    env_kwargs: dict[str, Any]
    source: Source | None = None

    @property
    def config(self) -> dict[str, Any]:
        source = self.source
        return configuration(
            name_of(type(self.algorithm)),
            None if self.env is None else env_name(self.env),
            self.algorithm,
            self.plan,
            env_kwargs=self.env_kwargs,
            data=None if source is None else (source.path, source.fingerprint),
        )

    def check(self) -> None:
        """Raise `PeiraError` if the algorithm cannot serve the environment, cannot
        begin, the plan's counts do not fit, or the dataset is not fit to be learned
        from."""
        here = dataclasses.replace(self.plan, processes=False)  # they start slowly
        data = self.source and self.source.data
        if self.source is not None:
            refuse(self.source.data, self.source.path)
        one = Problem(self.algorithm, self.env, here, "", self.env_kwargs, data)
        world, run = one.open()
        shut(world)
        deal(self.plan, self.plan.seeds, world)
        if data is None:
            check_fits(run, len(self.plan.seeds))
        else:
            jax.eval_shape(lambda: run.algorithm.init(run.spec, key=root(0)))
            shut(one.arena())
            if self.plan.online:
                shut(one.open_online()[0])

    def start(
        self, *, name: str | None, runs: Path, sinks: Sequence[str], film: bool
    ) -> Run:
        """Begin a run and bring it to its end."""
        if name and name != Path(name).name:
            raise BadConfig(f"--name {name}: a name, not a path; --runs says where")
        self.check()
        path = runs / (name or self.fresh_name(runs))
        made = [make_sink(sink, path) for sink in sinks]
        run = Run.create(path, self.config)
        return self.advance(run, sinks=made, film=film, resume=False)

    def advance(
        self, run: Run, *, sinks: Sequence[Sink], film: bool, resume: bool
    ) -> Run:
        """Train to the end, then draw the curve and film an episode."""
        try:
            train_run(
                self.algorithm,
                self.env,
                self.plan,
                run,
                name=run.config["algorithm"],
                sinks=sinks,
                env_kwargs=self.env_kwargs,
                data=self.source and self.source.data,
                resume=resume,
            )
        except KeyboardInterrupt as stop:
            raise type(stop)(f"go on with: peira resume {run.path}") from None
        if film and self.env is not None:
            curve_of(run)
            with contextlib.suppress(EnvironmentFault):  # not every world can be drawn
                watch(run, env=self.env, algorithm=type(self.algorithm))
        return run

    def fresh_name(self, runs: Path) -> str:
        """Algorithm, environment and time; numbered where that is taken."""
        here = self.env is None and self.source and Path(self.source.path or "data")
        where = here.name if here else env_name(self.env)
        where = where.replace("/", "-").replace(":", "-")
        first = name = f"{name_of(type(self.algorithm))}-{where}-{now()}"
        count = 1
        while (runs / name).exists():
            count += 1
            name = f"{first}-{count}"
        return name


def now() -> str:
    return datetime.datetime.now().strftime("%Y%m%d-%H%M%S")


def usual_sinks(*, json: bool = False, quiet: bool = False) -> list[str]:
    """Where progress goes when nobody says: a bar on a terminal, else sparse lines."""
    if quiet:
        return []
    return ["json" if json else "progress" if sys.stderr.isatty() else "lines"]


def name_of(cls: type[Algorithm]) -> str:
    """The catalogued name of an algorithm, or its class's in lower case."""
    home = f"{cls.__module__}:{cls.__qualname__}"
    for name, place in catalogue.items():
        if place == home:
            return name
    name = cls.__name__.lower()
    if name in catalogue:
        raise BadConfig(f"'{name}' is catalogued: give your class another name")
    return name


def env_name(env: Any) -> str:
    """What the configuration calls an environment."""
    if isinstance(env, str):
        return env
    return getattr(env, "__qualname__", type(env).__name__)
