"""From a sweep to its rows.

sweep.json     what is searched, and how; fixed when it was begun
rows.jsonl     one row for every trial and seed, then for every fresh seed of the winner
optuna.jsonl   what the sampler was told, where there is one
winner.toml    the winner, for `peira train --config`
runs/          a run for each training, of one seed
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w

from ...core import BadConfig, DataFault, NumericalFault, RunFault, Unsupported
from ...engine.fields import plain, rebuild
from ...engine.files import write_file
from ...engine.plan import Plan
from ...engine.provenance import code
from ...engine.run import as_json, configuration, Run, spell
from ...engine.schedule import Scheduler, work_off
from ..progress import Board, ENOUGH, Enough, heard
from ..studies import rows as kept
from ..studies.metrics import measured
from ..work import held, made, Work
from .outcome import belonging, Cell, cell, KINDS, Outcome, outcome, scores, WINNER
from .proposing import library, Proposer, proposer
from .sweep import grid, Setting, Sweep


WHY = "why.txt"  # beside a run that its setting let fail
Rows = dict[Cell, dict[str, Any]]


class Attempt(NamedTuple):
    """A training whose setting may be one that nothing can be learned with."""

    work: Work

    def __call__(self) -> None:
        if (self.work.path / WHY).exists():
            return
        try:
            self.work()
        except Enough:
            pass  # who asked for it knows
        except (NumericalFault, BadConfig, Unsupported) as fault:
            self.work.path.mkdir(parents=True, exist_ok=True)
            write_file(self.work.path / WHY, str(fault).encode())


@dataclasses.dataclass(frozen=True)
class Place:
    """A sweep in a folder, whatever state it is in."""

    path: Path
    sweep: Sweep

    @classmethod
    def begin(cls, sweep: Sweep, path: Path) -> "Place":
        """A new folder. Raises `PeiraError` where it is there."""
        if path.exists():
            raise RunFault(f"{path} exists: go on with it (peira sweep resume {path})")
        about = plain(sweep) | {"version": sweep.version}
        try:
            path.mkdir(parents=True)
            write_file(path / "sweep.json", as_json(about))
        except OSError as error:
            raise RunFault(f"cannot write a sweep to {path}: {error}") from None
        return cls(path, sweep)

    @classmethod
    def open(cls, path: Path) -> "Place":
        """A sweep that was begun. Raises `PeiraError` where it has changed since."""
        try:
            about = json.loads((path / "sweep.json").read_text())
            then = about.pop("version")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise RunFault(f"{path} is not a sweep that was begun: {error}") from None
        sweep = rebuild(Sweep, about)
        if sweep.version != then:
            raise DataFault(f"{path}/sweep.json has changed since the sweep was begun")
        return cls(path, sweep)

    def rows(self) -> list[dict[str, Any]]:
        file = self.path / "rows.jsonl"
        return belonging(self.sweep, kept.read(file, KINDS) if file.exists() else [])

    def outcome(self) -> Outcome:
        return outcome(self.sweep, self.rows())

    def home(self, one: Cell) -> Path:
        """Where the run of a cell lies."""
        of = "winner" if one.trial == WINNER else f"trial-{one.trial:04}"
        return self.path / "runs" / f"{of}-seed-{one.seed}"

    def work(self, one: Cell, setting: Setting) -> Work:
        """The training of a cell. Raises `BadConfig` for values that do not go
        together."""
        sweep = self.sweep
        return Work(
            self.home(one),
            sweep.algorithm,
            sweep.learner(setting),
            sweep.env,
            sweep.run_plan(one.seed),
            None if sweep.data is None else Path(sweep.data),
            sweep.env_kwargs,
        )

    def toml(self, setting: Setting) -> str:
        """The configuration that trains a setting, for `--config`."""
        sweep = self.sweep
        plan = rebuild(Plan, sweep.plan)
        said = configuration(
            sweep.algorithm,
            sweep.env,
            sweep.learner(setting),
            plan,
            env_kwargs=sweep.env_kwargs,
        )
        if sweep.data is not None:
            said["data"] = {"path": sweep.data}
        return tomli_w.dumps(spell(said))

    def row(self, one: Cell, setting: Setting) -> dict[str, Any]:
        """What a training says that has ended, one way or another."""
        home = self.home(one)
        run, why = Run.open(home), home / WHY
        if why.exists():
            return self.told(one, setting, made(run), why=why.read_text())
        steps = run.reached if run.done else int(heard(home).get("step", 0))
        metrics = measured(run) if run.done else {}
        return self.told(one, setting, made(run), metrics=metrics, steps=steps)

    def told(
        self,
        one: Cell,
        setting: Setting,
        made: Mapping[str, Any],
        *,
        metrics: Mapping[str, float] = {},
        steps: int = 0,
        why: str = "",
    ) -> dict[str, Any]:
        """A row."""
        state = "complete" if metrics else "failed" if why else "pruned"
        return {
            "version": self.sweep.version,
            **one._asdict(),
            "setting": setting,
            "state": state,
            "why": why,
            "task": self.sweep.data or self.sweep.env,
            "run": self.home(one).name,
            "metrics": metrics,
            "steps": steps,
            **made,
        }


def check(sweep: Sweep) -> None:
    """Raise `BadConfig` where nobody could choose, or a grid has values that do not go
    together."""
    if sweep.method != "grid":
        library()
        return
    for setting in grid(sweep.axes, sweep.trials, sweep.draw):
        sweep.learner(setting)


def advance(place: Place, scheduler: Scheduler, board: Board) -> None:
    """Try every setting, and the winner again on fresh seeds. Raises `PeiraError`;
    `KeyboardInterrupt` when asked to stop."""
    sweep = place.sweep
    with held(place.path):
        guide = proposer(sweep, place.path)
        for numbers in sweep.rounds():
            settings = {number: guide.ask(number) for number in numbers}
            Round(place, guide, settings).run(scheduler, board)
        found = place.outcome()
        if found.winner is None:
            raise RunFault(f"{place.path}: no trial came to its end; {found.why}")
        setting = found.trials[found.winner].setting
        write_file(place.path / "winner.toml", place.toml(setting).encode())
        cells = {Cell(WINNER, seed): setting for seed in sweep.fresh_seeds}
        make(place, cells, scheduler, board, lambda: None)


def make(
    place: Place,
    cells: Mapping[Cell, Setting],
    scheduler: Scheduler,
    board: Board,
    look: Any,
) -> None:
    """The runs of these cells that are missing; the row of each is written as soon as
    it is there."""
    found: Rows = {cell(row): row for row in place.rows()}
    works: dict[str, tuple[Cell, Work]] = {}
    for one, setting in cells.items():
        try:
            if one not in found:
                works[place.home(one).name] = one, place.work(one, setting)
        except BadConfig as error:
            nothing = {"seconds": 0.0, "code": code(), "versions": {}, "config": {}}
            found[one] = place.told(one, setting, nothing, why=str(error))
    left = {name: work.path for name, (_, work) in works.items()}
    sweep = place.sweep
    board.begin(len(found), sweep.trials * len(sweep.seeds) + sweep.fresh)

    def ended(name: str) -> None:
        one, _ = works[name]
        row = found[one] = place.row(one, cells[one])
        write_rows(place, found)
        del left[name]
        score = row["metrics"].get(place.sweep.by)
        what = row["state"] if score is None else f"{place.sweep.by} {score:.4g}"
        board.ended(name, f"{what} in {row['seconds']:.0f} s")

    def looked() -> None:
        board.look(left.values())
        look()

    jobs = {name: Attempt(work) for name, (_, work) in works.items()}
    work_off(jobs, scheduler, ended=ended, look=looked)
    write_rows(place, found)


def write_rows(place: Place, found: Rows) -> None:
    """All rows, trial by trial, the winner's last."""
    order = sorted(found, key=lambda one: (one.trial == WINNER, one))
    kept.write(place.path / "rows.jsonl", [found[one] for one in order])


class Round(NamedTuple):
    """Trials that were chosen together."""

    place: Place
    guide: Proposer
    settings: dict[int, Setting]

    def run(self, scheduler: Scheduler, board: Board) -> None:
        """Make their runs and tell what came of them."""
        seeds = self.place.sweep.seeds
        cells = {Cell(n, k): s for n, s in self.settings.items() for k in seeds}
        make(self.place, cells, scheduler, board, self.look)
        self.drop()
        rows = self.place.rows()
        for number in self.settings:
            own = [row for row in rows if row["trial"] == number]
            found = scores(self.place.sweep, own)
            self.guide.tell(number, None if found is None else float(np.mean(found)))

    def look(self) -> None:
        """Ask the runs of trials that are worth no more to end."""
        for number in self.settings:
            if self.worthless(number):
                for path in self.paths(number):
                    (path / ENOUGH).touch()

    def drop(self) -> None:
        """A run that ended before it was asked to ends as those that heard in time."""
        found: Rows = {cell(row): row for row in self.place.rows()}
        for one, row in found.items():
            if one.trial in self.settings and self.worthless(one.trial):
                found[one] = row | {"state": "pruned", "metrics": {}}
        write_rows(self.place, found)

    def worthless(self, number: int) -> bool:
        """By the mean over its seeds at every step at which all were evaluated, but
        for the last."""
        said = [heard(path) for path in self.paths(number)]
        if not all(said):
            return False
        curves = [dict(one["evaluations"]) for one in said]
        shared = set.intersection(*map(set, curves))
        shared = {step for step in shared if step < said[0]["steps"]}
        means = {step: float(np.mean([c[step] for c in curves])) for step in shared}
        return self.guide.worthless(number, means)

    def paths(self, number: int) -> list[Path]:
        return [self.place.home(Cell(number, k)) for k in self.place.sweep.seeds]
