"""From a study to its rows: which runs there must be, and the rows of those there are.

study.toml     the study as it was when it was begun
study.json     its name, the tier, the first seed, and the version of the file
rows.jsonl     one row for every arm, task and seed, in the order of the plan
runs/          a run for each training, of one seed
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from ...core import BadConfig, DataFault, RunFault
from ...engine.fields import rebuild
from ...engine.files import write_file
from ...engine.memory import check_fits
from ...engine.plan import Plan
from ...engine.problem import Problem
from ...engine.run import as_json, Run
from ...engine.schedule import Scheduler, work_off
from ...envs import shut
from ..packs import build, RECIPES
from ..progress import Board
from ..work import held, made, Work
from . import rows as kept
from .coverage import check_grid, COVERAGE, coverage
from .judging import Verdict, verdict
from .metrics import measured
from .rows import Cell
from .study import arms, home_of, load, Study, tier_has_data


@dataclasses.dataclass(frozen=True)
class Place:
    """A study in a folder, whatever state it is in."""

    path: Path
    name: str
    study: Study
    tier: str
    first: int
    """The first seed."""

    @classmethod
    def begin(cls, name: str, tier: str, *, first: int, out: Path) -> "Place":
        """A new folder. Raises `PeiraError` for no study, and where it is there."""
        called, study = load(name)
        study.tier(tier)
        if not 0 <= first < 2**30:
            raise BadConfig(f"--seeds {first}: the first seed lies in [0, 2^30)")
        path = out / (f"{called}-{tier}" + (f"-from-{first}" if first else ""))
        if path.exists():
            raise RunFault(f"{path} exists: go on with it (peira study resume {path})")
        text = home_of(name).read_text()
        about = {"study": called, "tier": tier, "first": first}
        about["version"] = study.version(tier)
        try:
            path.mkdir(parents=True)
            write_file(path / "study.toml", text.encode())
            write_file(path / "study.json", as_json(about))
        except OSError as error:
            raise RunFault(f"cannot write a study to {path}: {error}") from None
        return cls(path, called, study, tier, first)

    @classmethod
    def open(cls, path: Path) -> "Place":
        """A study that was begun. Raises `PeiraError` where it has changed since."""
        try:
            about = json.loads((path / "study.json").read_text())
            name, tier, first = (about[k] for k in ("study", "tier", "first"))
            then = about["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFault(f"{path} is not a study that was begun: {error}") from None
        _, study = load(path / "study.toml")
        if study.version(tier) != then:
            raise DataFault(f"{path}/study.toml has changed since the study was begun")
        return cls(path, name, study, tier, first)

    def rows(self) -> list[dict[str, Any]]:
        file = self.path / "rows.jsonl"
        return kept.read(file) if file.exists() else []

    def verdict(self) -> Verdict:
        return verdict(self.study, self.name, self.tier, self.rows())

    def cells(self, runs: int) -> list[Cell]:
        """Every arm, task and seed of so many runs, in order. Independent arms have no
        seed in common."""
        names = list(self.study.arms)
        apart = 1 if self.study.paired else len(names)
        return [
            Cell(name, task, self.first + apart * k + (0 if apart == 1 else a))
            for k in range(runs)
            for task in self.study.tier(self.tier).tasks
            for a, name in enumerate(names)
        ]

    def missing(self) -> list[Cell]:
        """The cells that there have to be, by the rule, before more can be said."""
        there = {kept.cell(row) for row in self.rows()}
        return [
            one for one in self.cells(self.verdict().found.next) if one not in there
        ]

    def work(self, one: Cell, data: Path) -> Work:
        """The training that a cell is scored by: arms that differ in how they are
        scored, and have a seed in common, share it."""
        both = {arm.name: arm for arm in arms(self.study, self.tier)}
        arm = both[one.arm]
        same = lambda other: (
            arm.config | {"metric": ""} == other.config | {"metric": ""}
        )
        home = next(name for name, other in both.items() if same(other))
        home = home if self.study.paired else one.arm
        label = re.sub(r"[^\w.-]+", "-", f"{home}-{one.task}-{one.seed}")
        tier = self.study.tier(self.tier)
        plan = rebuild(Plan, tier.plan | {"seeds": [one.seed]})
        path = self.path / "runs" / label
        if tier_has_data(self.study, self.tier):
            env, where = RECIPES[one.task].env, data / one.task
        else:
            env, where = one.task, None
        return Work(path, arm.algorithm, arm.learner, env, plan, where)

    def row(self, one: Cell, work: Work) -> dict[str, Any]:
        """What a finished training says of a cell."""
        run = Run.open(work.path)
        metrics = measured(run)
        if parts := self.study.grid.get(one.task):
            metrics[COVERAGE] = coverage(work, run, parts)
        return {
            "study": self.name,
            "version": self.study.version(self.tier),
            "tier": self.tier,
            **one._asdict(),
            "run": work.path.name,
            "metrics": metrics,
            **made(run),
        }


def check_tasks(study: Study, tier: str) -> None:
    """Raise `PeiraError` where an arm cannot begin on an environment of this size."""
    size = study.tier(tier)
    if tier_has_data(study, tier):
        return
    for arm in arms(study, tier):
        for task in size.tasks:
            here = dataclasses.replace(rebuild(Plan, size.plan), processes=False)
            world, counted = Problem(arm.learner, task, here, "", {}).open()
            shut(world)
            check_fits(counted, 1)
            if parts := study.grid.get(task):
                check_grid(counted, task, parts)


def judged(path: Path, file: str | None = None) -> tuple[Study, Verdict]:
    """The verdict on rows in a file or in a study's folder, by the study given, the one
    beside the rows, or the one of its name. Raises `PeiraError`."""
    path = path / "rows.jsonl" if path.is_dir() else path
    rows = kept.read(path)
    if not rows:
        raise DataFault(f"{path} holds no rows")
    name, tier = rows[0]["study"], rows[0]["tier"]
    here = path.with_name("study.toml")
    _, study = load(file or (here if here.exists() else name))
    return study, verdict(study, name, tier, rows)


def advance(place: Place, scheduler: Scheduler, board: Board, *, data: Path) -> None:
    """Make the runs that the rule asks for, look, and again, until there is a verdict.
    Datasets are built where there are none. Raises `PeiraError`; `KeyboardInterrupt`
    when asked to stop."""
    with held(place.path):
        if tier_has_data(place.study, place.tier):
            for task in place.study.tier(place.tier).tasks:
                if not (data / task).exists():
                    build(task, data)
        while cells := place.missing():
            round_of(place, cells, scheduler, board, data)


def round_of(
    place: Place, cells: list[Cell], scheduler: Scheduler, board: Board, data: Path
) -> None:
    """Make these cells; the row of each is written as soon as it is there."""
    of: dict[str, list[tuple[Cell, Work]]] = {}
    for one in cells:
        work = place.work(one, data)
        of.setdefault(work.path.name, []).append((one, work))
    jobs = {name: found[0][1] for name, found in of.items()}
    left = {name: work.path for name, work in jobs.items()}
    found = {kept.cell(row): row for row in place.rows()}
    done = len({row["run"] for row in found.values()})
    board.begin(done, done + len(jobs))
    order = place.cells(place.study.tier(place.tier).most)

    def ended(name: str) -> None:
        found.update({one: place.row(one, work) for one, work in of[name]})
        kept.write(place.path / "rows.jsonl", [found[c] for c in order if c in found])
        del left[name]
        last = found[of[name][0][0]]
        score = last["metrics"]["final"]
        board.ended(name, f"final {score:.4g} in {last['seconds']:.0f} s")

    work_off(jobs, scheduler, ended=ended, look=lambda: board.look(left.values()))
