"""What a report says of a study."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..core import DataFault
from ..engine.run import Run
from ..evidence import interval
from ..evidence.curves import Curve, curve
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
from ..evidence.studies import arms, differences, judged, load, shipped, Study, Verdict
from ..evidence.studies.judging import scaled
from ..evidence.studies.rows import read, Row
from ..evidence.studies.study import home_of
from .report_runs import download, flattened, in_shell, worded
from .studies import rule


Rows = Sequence[Row]
NO_CURVES = "The runs are not beside the rows, so there are no curves."


def sections(path: Path) -> tuple[str, list[Section]]:
    """The title of the page, and all its parts, the verdict first."""
    study, found = judged(path)
    home = path if path.is_dir() else path.parent
    rows = read(home / "rows.jsonl" if path.is_dir() else path)
    text = source(home, found.study)
    return f"{found.study} ({found.tier})", [
        Section("Verdict", verdict(study, found)),
        Section("Arms", compared(study, found.tier, rows)),
        Section("Curves", drawn(study, found.tier, rows, home / "runs")),
        Section("Runs", table([run_row(study, found.tier, row) for row in rows])),
        Section("Settings", settings(study, found.tier, rows, text)),
        Section("Provenance", definitions(provenance(rows, "study's file"))),
        Section("Repeat", repeat(study, found, rows, path, text)),
    ]


def source(home: Path, name: str) -> str:
    """The study's file: the one that was run, or the one of its name."""
    here = home / "study.toml"
    return (here if here.exists() else home_of(name)).read_text()


def verdict(study: Study, found: Verdict) -> Html:
    """The claim, the word, and what it rests on."""
    word, effect, why, _, level = found.found
    first, second = study.arms
    of = "share of alarms over 5 %" if study.alarms else f"{first} minus {second}"
    told: dict[str, Any] = {"claim": study.claim, "source": study.source}
    if not math.isnan(effect.value):
        sure = "" if math.isnan(effect.low) else f", {level:.1%} interval"
        told["effect"] = f"{effect}: {of}, {study.metric}{sure}"
    told["runs"] = f"{found.runs[0]} of {first}, {found.runs[1]} of {second}"
    told |= {"tier": found.tier, "cost": f"{found.seconds:,.0f} s of training"}
    told["rule"] = rule(study)
    head = tag("span", word, class_=f"word {word}")
    return join(
        tag("p", head, f": {why}", class_="verdict"),
        definitions(told),
        listed(found.flags),
    )


def compared(study: Study, tier: str, rows: Rows) -> Html:
    """What each arm scores on each task, with the interval that its runs support."""
    told, whys = [], {}
    size = study.tier(tier)
    for task in size.tasks:
        own = [row for row in rows if row["task"] == task]
        for arm in arms(study, tier):
            of = {
                row["seed"]: scaled(study, row, arm)
                for row in own
                if row["arm"] == arm.name
            }
            scores = [of[seed] for seed in sorted(of)][: size.most]
            row = {"arm": arm.name, "task": task, "runs": len(scores)}
            if scores:
                found = interval(scores)
                row[arm.metric] = found.estimate
                whys[found.why] = None
            told.append(row)
    scale = " A score of 0 and one of 100 are what the study's file says." * bool(
        study.scales
    )
    behind = f"Brackets are 95 % intervals over runs.{scale}"
    return join(table(told), paragraphs(behind), listed([why for why in whys if why]))


def drawn(study: Study, tier: str, rows: Rows, runs: Path) -> Html:
    """A chart for each task, a curve for each arm."""
    found = []
    for task in study.tier(tier).tasks:
        here = [row for row in rows if row["task"] == task]
        curves = {
            arm: one
            for arm in study.arms
            if (one := curve_of([r for r in here if r["arm"] == arm], runs))
        }
        if curves:
            data = any("data" in row["config"] for row in here)
            axis = "updates" if data else "environment steps"
            found.append(Chart(f"{task}: return of greedy episodes", curves, axis))
    if not found:
        return paragraphs(NO_CURVES)
    return charts(found)


def curve_of(rows: Rows, runs: Path) -> Curve | None:
    """The curve of those rows' runs that are still there; None for none. Raises
    `DataFault` for a row that names no folder in `runs`."""
    for row in rows:
        if Path(row["run"]).name != row["run"]:
            raise DataFault(f"a row's run is {row['run']!r}, and not the name of one")
    there = [runs / row["run"] for row in rows if (runs / row["run"]).is_dir()]
    tables = [Run.open(path).evaluations() for path in there]
    return curve(pa.concat_tables(tables)) if tables else None


def run_row(study: Study, tier: str, row: Row) -> dict[str, Any]:
    """A row of the study, with the metrics that runs are scored by."""
    names = dict.fromkeys(arm.metric for arm in arms(study, tier))
    names |= dict.fromkeys(("final", "area", "best"))
    metrics = {n: row["metrics"].get(n, math.nan) for n in names}
    place = {name: row[name] for name in ("arm", "task", "seed")}
    return place | metrics | {"seconds": row["seconds"], "run": row["run"]}


def settings(study: Study, tier: str, rows: Rows, text: str) -> Html:
    """What the arms differ in, and all that a run of each was told."""
    one, other = arms(study, tier)
    differ = [
        {"setting": field, one.name: worded(a), other.name: worded(b)}
        for field, (a, b) in differences(one, other).items()
    ]
    said = table(differ) if differ else paragraphs("Only the seeds are others.")
    first = {row["arm"]: row["config"] for row in reversed(rows)}
    parts = (
        folded(f"A run of {name}", table(pairs(config)))
        for name, config in sorted(first.items())
    )
    return join(
        paragraphs("The arms differ in this and in nothing else:"),
        said,
        folded("The study's file", code(text)),
        *parts,
    )


def pairs(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"setting": k, "value": v} for k, v in flattened(config).items()]


def provenance(rows: Rows, whose: str) -> dict[str, Any]:
    """What the rows were made by; several values where they were not all the same.
    `whose` version stands in the rows."""
    found: dict[str, dict[str, None]] = {whose: {}, "code": {}}
    for row in rows:
        said = {whose: row["version"], "code": row["code"]} | row["versions"]
        said["data"] = (row["config"].get("data") or {}).get("fingerprint", "")
        for name, value in said.items():
            if value:
                found.setdefault(name, {})[str(value)] = None
    return {name: "; ".join(values) for name, values in found.items() if values}


def repeat(study: Study, found: Verdict, rows: Rows, path: Path, text: str) -> Html:
    """The commands that run the study again, and judge its rows."""
    ours = found.study in shipped() and load(found.study)[1].version(
        found.tier
    ) == study.version(found.tier)
    file = f"{found.study}.toml"
    name = found.study if ours else file
    first = min(row["seed"] for row in rows)
    again = ["study", "run", name, "--tier", found.tier]
    again += ["--seeds", str(first)] if first else []
    lead = [] if ours else [join("With ", download(file, text), " saved beside you:")]
    return join(
        paragraphs(*lead),
        code(in_shell(again)),
        paragraphs("Its verdict, from the rows, and this page:"),
        code(
            "\n".join(
                in_shell(w)
                for w in (["study", "verdict", str(path)], ["report", str(path)])
            )
        ),
    )
