"""What a report says of a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..algos import get
from ..core import DataFault
from ..engine.fields import plain
from ..evidence import interval
from ..evidence.curves import COLOURS, Curve
from ..evidence.report import Chart, Section
from ..evidence.report.figures import charts
from ..evidence.report.html import (
    code,
    definitions,
    folded,
    Html,
    join,
    listed,
    paragraphs,
    table,
    tag,
)
from ..evidence.studies.rows import Row
from ..evidence.sweeps import grid, Outcome, outcome, Place, Sweep, Trial
from ..evidence.sweeps.outcome import scores, WINNER
from .axes import as_word, as_words
from .flags import SweepOptions
from .report_runs import download, in_shell
from .report_study import curve_of, NO_CURVES, pairs, provenance
from .swept import left, named, ranked, spent


Rows = Sequence[Row]


def sections(path: Path) -> tuple[str, list[Section]]:
    """The title of the page, and all its parts, the winner first. Raises `PeiraError`
    where no run has ended yet."""
    place = Place.open(path)
    rows = place.rows()
    if not rows:
        raise DataFault(f"{path}: no run of this sweep has ended yet")
    found = outcome(place.sweep, rows)
    return titled(place.sweep), [
        Section("Outcome", chosen(place.sweep, found)),
        Section("Trials", tried(place.sweep, found, rows)),
        Section("Curves", drawn(place, found, rows)),
        Section("Runs", table([run_row(row) for row in rows])),
        Section("Settings", settings(place)),
        Section("Provenance", definitions(provenance(rows, "sweep"))),
        Section("Repeat", repeat(place, found)),
    ]


def titled(sweep: Sweep) -> str:
    return f"Sweep of {sweep.algorithm} on {sweep.data or sweep.env}"


def chosen(sweep: Sweep, found: Outcome) -> Html:
    """The winner, what is left of its lead on fresh seeds, and what that cost."""
    if found.winner is None:
        word, rest, told = "no winner yet", found.why, {}
    else:
        best = found.trials[found.winner]
        word, rest, told = "winner", named(best), left(sweep, best, found)
    said = join(tag("span", word, class_="word"), f": {rest}" if rest else "")
    return join(
        tag("p", said, class_="verdict"),
        definitions(told | spent(sweep, found)),
        listed(found.flags),
    )


def tried(sweep: Sweep, found: Outcome, rows: Rows) -> Html:
    """What each setting scored; and, of a whole grid, each value of each field."""
    told = [trial_row(sweep, found, one, rows) for one in ranked(found)]
    whys = dict.fromkeys(t.score.why for t in found.trials.values() if t.score)
    seeds = ", ".join(map(str, sweep.seeds))
    parts = [
        table(told),
        paragraphs(
            f"{sweep.by} is the mean over the seeds of the search ({seeds}), fresh "
            "the mean over seeds that had no say in the choice; brackets are 95 % "
            "intervals over seeds. The best of many is so in part by luck: what it is "
            "worth, only fresh seeds say."
        ),
        listed([why for why in whys if why]),
    ]
    if effects := by_field(sweep, rows):
        parts += [
            tag("h3", "Field by field"),
            table(effects),
            paragraphs(
                "Each value with every combination of the other fields: the mean over "
                "these for each seed, and over seeds its mean."
            ),
        ]
    return join(*parts)


def trial_row(sweep: Sweep, found: Outcome, one: Trial, rows: Rows) -> dict[str, Any]:
    """A trial in one line."""
    own = [row for row in rows if row["trial"] == one.number]
    again = one.number == found.winner and found.fresh
    return {
        **{name: shown(one.setting[name]) for name in sweep.axes},
        "trial": one.number,
        "state": one.state,
        sweep.by: one.score.estimate if one.score else "",
        "fresh": again.estimate if again else "",
        "runs": len(own),
        "seconds": sum(row["seconds"] for row in own),
    }


def by_field(sweep: Sweep, rows: Rows) -> list[dict[str, Any]]:
    """What each value scores over all values of the other fields, with seeds as the
    sample; nothing where not every combination of several fields came to its end."""
    if sweep.method != "grid" or len(sweep.axes) < 2:
        return []
    if sweep.trials < len(grid(sweep.axes, None, sweep.draw)):
        return []
    own = [row for row in rows if row["trial"] != WINNER]
    if len(own) < sweep.trials * len(sweep.seeds) or scores(sweep, own) is None:
        return []
    told = []
    for name, axis in sweep.axes.items():
        for value in plain(axis.choices):
            having = [row for row in own if row["setting"][name] == value]
            seeds = [
                np.mean([r["metrics"][sweep.by] for r in having if r["seed"] == seed])
                for seed in sweep.seeds
            ]
            told.append(
                {"field": name, "value": shown(value)}
                | {sweep.by: interval(seeds).estimate}
            )
    return told


def shown(value: Any) -> Any:
    """A value of a field: numbers as they are, so that they are sorted as such."""
    return value if type(value) in (int, float) else as_word(value)


def drawn(place: Place, found: Outcome, rows: Rows) -> Html:
    """The winner in the search and on fresh seeds; and the best trials side by side."""
    best = [t for t in ranked(found) if t.score][: len(COLOURS)]
    if not best:
        return paragraphs("No trial has come to its end, so there are no curves.")
    ended = [row for row in rows if row["state"] == "complete"]

    def of(number: int) -> Curve | None:
        own = [row for row in ended if row["trial"] == number]
        return curve_of(own, place.path / "runs")

    winner = {"in the search": of(best[0].number), "on fresh seeds": of(WINNER)}
    trials = {named(t): of(t.number) for t in best}
    several = f"The best {len(best)} of {len(found.trials)} trials, in the search"
    axis = "updates" if place.sweep.data else "environment steps"
    shown = [
        Chart(title, there, axis)
        for title, curves in (
            ("The winner: return of greedy episodes", winner),
            (several, trials),
        )
        if (there := {name: one for name, one in curves.items() if one})
    ]
    return charts(shown) if shown else paragraphs(NO_CURVES)


def run_row(row: Row) -> dict[str, Any]:
    """A training in one line."""
    trial = "winner" if row["trial"] == WINNER else row["trial"]
    metrics = {n: row["metrics"].get(n, "") for n in ("final", "area", "best")}
    told = {"trial": trial, "seed": row["seed"], "state": row["state"]} | metrics
    told |= {"steps": row["steps"], "seconds": row["seconds"], "run": row["run"]}
    return told | ({"why": row["why"]} if row["why"] else {})


def settings(place: Place) -> Html:
    """What was searched, how, and what was the same in every run."""
    sweep = place.sweep
    cls = get(sweep.algorithm)
    said = plain(sweep)
    axes = said.pop("axes")
    same = {k: v for k, v in said.pop("hyper").items() if k not in axes}
    apart = ("plan", "env_kwargs")
    how = {k: v for k, v in said.items() if k not in apart}
    return join(
        paragraphs("What was searched:"),
        table(
            [
                {"field": name, "values": as_words(cls, name, axis)}
                for name, axis in sweep.axes.items()
            ]
        ),
        folded("How it was searched", table(pairs(how))),
        folded(
            "The same in every run",
            table(pairs({"hyper": same} | {k: said[k] for k in apart})),
        ),
    )


def repeat(place: Place, found: Outcome) -> Html:
    """The commands that make the sweep again, train its winner, and write this page."""
    name = place.path.resolve().name
    file = f"{name}.toml"
    parts = [
        paragraphs(join("With ", download(file, place.toml({})), " saved beside you:")),
        code(in_shell(again(place.sweep, file, f"{name}-again"))),
    ]
    if found.winner is not None:
        text = place.toml(found.trials[found.winner].setting)
        link = download("winner.toml", text)
        parts += [
            paragraphs(join("The winner, with ", link, " saved beside you:")),
            code(in_shell(["train", "--config", "winner.toml"])),
        ]
    here = str(place.path)
    verbs = [["sweep", "show", here], ["report", here]]
    if found.fresh is None:
        verbs.insert(0, ["sweep", "resume", here])
    return join(
        *parts,
        paragraphs("What came of it, from the rows, and this page:"),
        code("\n".join(map(in_shell, verbs))),
    )


def again(sweep: Sweep, file: str, name: str) -> list[str]:
    """The command line of a sweep whose every run is as in a file."""
    cls, flag = get(sweep.algorithm), "--grid" if sweep.method == "grid" else "--search"
    words = ["sweep", "run", "--config", file]
    for field, axis in sweep.axes.items():
        words += [flag, f"{field}={as_words(cls, field, axis)}"]
    said = {n: getattr(sweep, n) for n in ("trials", "fresh", "by", "prune")}
    said |= {"together": sweep.together, "draw": sweep.draw}
    if sweep.method != "grid":
        said["sampler"] = sweep.method
    usual = vars(SweepOptions())
    for option, value in said.items():
        if value != usual[option]:
            words += [f"--{option}", str(value)]
    return [*words, "--name", name]
