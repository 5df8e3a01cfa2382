"""What the site takes from elsewhere: pages that are files of the repository's root,
and tables of hyper-parameters, of checks, of datasets, of what `peira doctor` examines,
of what `peira data audit` finds, and of what studies came to."""

import dataclasses
import json
import math
import re
import types
import typing
from collections import Counter
from pathlib import Path
from typing import Any

from peira.algos import get
from peira.core import DataFault
from peira.core.checks import Range, ranges
from peira.data.audit import KINDS
from peira.engine.fields import hints, meanings
from peira.envs import doctor
from peira.evidence.conformance import CHECKS
from peira.evidence.packs import RECIPES, recorded, references
from peira.evidence.packs.recipes import Replay
from peira.evidence.studies import judged, load, shipped


ROOT = Path(__file__).parent.parent
TRUST = ROOT / "bench" / "results" / "trust.jsonl"
OPE = ROOT / "bench" / "results" / "ope.jsonl"
COSTS = ROOT / "tests" / "costs.json"
STUDIES = ROOT / "bench" / "results" / "studies"
ALIKE = ROOT / "bench" / "results" / "alike.jsonl"
COVERAGE = ROOT / "bench" / "results" / "coverage.jsonl"
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page before it is rendered."""
    if source := PAGES.get(page.file.src_uri):
        markdown = (ROOT / source).read_text().replace("](docs/", "](")
        for page_name, root_name in PAGES.items():
            markdown = markdown.replace(f"]({root_name})", f"]({page_name})")
    markdown = markdown.replace("<!-- trust -->", trust())
    markdown = markdown.replace("<!-- doctor -->", examined())
    markdown = markdown.replace("<!-- costs -->", costs())
    markdown = markdown.replace("<!-- checks -->", checks())
    markdown = markdown.replace("<!-- datasets -->", datasets())
    markdown = markdown.replace("<!-- trainings -->", trainings())
    markdown = re.sub(r"<!-- ope: (\w+) -->", lambda m: measured(m[1]), markdown)
    markdown = re.sub(r"<!-- coverage: (\w+) -->", lambda m: coverage(m[1]), markdown)
    markdown = markdown.replace("<!-- audit -->", audited())
    markdown = markdown.replace("<!-- evidence -->", evidence())
    markdown = markdown.replace("<!-- alike -->", same_arms())
    return re.sub(r"<!-- fields: (\S+) -->", lambda m: table(m[1]), markdown)


def trust() -> str:
    """What `bench/peers/trust.py` found, a row for each probe."""
    rows = map(json.loads, TRUST.read_text().splitlines())
    found: dict[str, list[str]] = {}
    names = {}
    for row in rows:
        names[f"{row['library']} {row['version']}"] = None
        verdict = "**holds**" if row["holds"] else "no"
        found.setdefault(row["probe"], []).append(f"{verdict}: {row['saw']}")
    lines = [f"| promise | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {probe} | {' | '.join(saw)} |" for probe, saw in found.items()]
    return "\n".join(lines)


def costs() -> str:
    """What an update of each algorithm costs, the cheapest first."""
    rows = json.loads(COSTS.read_text())
    lines = ["| algorithm | MFLOP | MB read and written, unfused |", "|---|---:|---:|"]
    for name, row in sorted(rows.items(), key=lambda x: x[1]["flops"]):
        flops, traffic = row["flops"] / 1e6, row["traffic"] / 1e6
        lines.append(f"| `{name}` | {flops:,.0f} | {traffic:,.0f} |")
    return "\n".join(lines)


def measured(section: str) -> str:
    """What a section of `bench/ope.py` found, a row for each line."""
    rows = [json.loads(line) for line in OPE.read_text().splitlines()]
    rows = [row for row in rows if row.pop("section") == section]
    if not rows:
        return "Not measured yet."
    heads = [name for name in rows[0] if name != "notes"]

    def cell(value: Any) -> str:
        if isinstance(value, list):
            middle, low, high = value
            return f"{middle:.4g} [{low:.4g}, {high:.4g}]"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [f"| {' | '.join(heads)} |".replace("_", " "), "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(cell(row[h]) for h in heads)} |" for row in rows]
    return "\n".join(lines)


MEANS = ("t", "t on run means", "percentile", "BCa", "studentised", "chosen")
OTHERS = {"IQM": ("iqm", "BCa", "winsorised t"), "median": ("median", "order")}
RULES = (
    "p < 0.05 at every look",
    "planned looks",
    "bet",
    "p < 0.05 at the last",
)


def coverage(table: str) -> str:
    """What `bench/coverage.py` found, all batches of an experiment together."""
    rows = map(json.loads, COVERAGE.read_text().splitlines())
    found: dict[tuple[Any, ...], Counter[str]] = {}
    section = {"alike": "alike", "watched": "watched"}.get(table, "coverage")
    for row in rows:
        if row.pop("section") == section:
            row.pop("batch")
            kind = tuple(row.pop(n) for n in ("tasks", "runs", "lead") if n in row)
            sums = found.setdefault((*kind, row.pop("shape")), Counter())
            for name, count in row.items():
                several = count if isinstance(count, dict) else {"": count}
                sums.update({f"{name} {k}".strip(): v for k, v in several.items()})
    tables = {"mean": mean_rows, "others": other_rows, "alike": alike_rows}
    head, *lines = tables.get(table, watched_rows)(found)
    lines = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


Counts = dict[tuple[Any, ...], Counter[str]]


def percent(hits: int, trials: int) -> str:
    return f"{100 * hits / trials:.1f}" if trials else ""


def mean_rows(found: Counts) -> list[list[Any]]:
    lines: list[list[Any]] = [
        ["tasks", "runs", "shape", *MEANS[:-1], "chosen shows", "of which hold"]
    ]
    for at, sums in sorted(found.items()):
        shown = {m: sums[f"shown mean: {m}"] for m in MEANS}
        cells = [percent(sums[f"covered mean: {m}"], shown[m]) for m in MEANS]
        cells.insert(-1, percent(shown["chosen"], sums["trials"]))
        lines.append([*at, *cells])
    return lines


def other_rows(found: Counts) -> list[list[Any]]:
    names = [f"{of}: {m}" for of, (_, *methods) in OTHERS.items() for m in methods]
    lines: list[list[Any]] = [["tasks", "runs", "shape", *names]]
    for at, sums in sorted(found.items()):
        keys = [f"{of}: {m}" for of, *methods in OTHERS.values() for m in methods]
        cells = [percent(sums[f"covered {k}"], sums[f"shown {k}"]) for k in keys]
        lines.append([*at, *cells])
    return lines


def alike_rows(found: Counts) -> list[list[Any]]:
    lines: list[list[Any]] = [["tasks", "runs of each", "shape", "told apart"]]
    for at, sums in sorted(found.items()):
        lines.append([*at, percent(sums["told apart"], sums["trials"])])
    return lines


def watched_rows(found: Counts) -> list[list[Any]]:
    lines: list[list[Any]] = [
        ["true difference", "shape", "rule", "told apart", "runs of each, on average"]
    ]
    for at, sums in sorted(found.items()):
        for rule in RULES:
            told = percent(sums[f"told apart {rule}"], sums["trials"])
            used = f"{sums[f'used {rule}'] / sums['trials']:.1f}"
            lines.append([*at, rule, told, used])
    return lines


def evidence() -> str:
    """The verdict of every study that is shipped, from the rows that are kept."""
    heads = ["claim", "study", "verdict", "effect", "runs of each", "cost"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in shipped():
        _, study = load(name)
        files = [f for t in study.tiers for f in STUDIES.glob(f"{name}-{t}*.jsonl")]
        claim = f"{study.claim} ({study.source})"
        for file in sorted(files):
            cells = " | ".join(came_to(file))
            lines.append(f"| {claim} | `{file.stem}` | {cells} |")
        if not files:
            lines.append(f"| {claim} | `{name}` | not run yet | | | |")
    return "\n".join(lines)


def came_to(file: Path) -> list[str]:
    """What the rows of a file say."""
    try:
        _, found = judged(file)
    except DataFault as fault:
        return [str(fault), "", "", ""]
    word, effect, why, *_ = found.found
    said = "; ".join([why, *found.flags])
    runs = ", ".join(map(str, sorted(set(found.runs))))
    shown = "" if math.isnan(effect.value) else str(effect)
    return [f"**{word}**: {said}", shown, runs, f"{found.seconds / 60:.0f} min"]


def same_arms() -> str:
    """What share of simulated studies `bench/studies.py` found undecided whose arms are
    the same, for each rule."""
    rows = [json.loads(line) for line in ALIKE.read_text().splitlines()]
    shapes = list(rows[0]["undecided"])
    heads = ["rule", "tasks", *shapes]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        looks = ", ".join(map(str, row["looks"]))
        how = f"looks at {looks} runs" if looks else f"{row['runs']} runs"
        how += ", pairs" if row["paired"] else ""
        how += f", alarms of {row['alarms']}" if row["alarms"] else ""
        shares = [percent(row["undecided"][s], row["trials"]) for s in shapes]
        lines.append(f"| {how} | {row['tasks']} | {' | '.join(shares)} |")
    return "\n".join(lines)


def examined() -> str:
    """What `peira doctor` examines, as a table."""
    rows = [f"| `{name}` | {holds} |" for name, holds in doctor.CHECKS.items()]
    return "\n".join(
        ["| check | what holds where it finds nothing |", "|---|---|", *rows]
    )


def audited() -> str:
    """What `peira data audit` can find, as a table."""
    rows = [
        f"| `{name}` | {kind.severity} | {kind.meaning} | {kind.mend} |"
        for name, kind in KINDS.items()
    ]
    head = ["| finding | severity | what it is | what to do |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def checks() -> str:
    """What `peira check` looks at, as a table."""
    rows = [f"| `{check.name}` | {check.meaning} |" for check in CHECKS]
    return "\n".join(["| check | what it means |", "|---|---|", *rows])


def datasets() -> str:
    """The standard sets, and what is recorded of each."""
    rows = recorded()
    head = "| set | steps | episodes | mean return | scale | fingerprint |"
    lines = [head, "|---|---|---|---|---|---|"]
    for name, recipe in RECIPES.items():
        if name not in rows:
            lines.append(f"| `{name}` | not built yet | | | | |")
            continue
        row, scale = rows[name], references(recipe.env or "")
        ends = f"{scale['random']:.1f}, {scale['expert']:.1f}" if scale else ""
        lines.append(
            f"| `{name}` | {show(row['steps'])} | {show(row['episodes'])} | "
            f"{row['mean']:.4g} | {ends} | `{row['fingerprint'][:12]}` |"
        )
    return "\n".join(lines)


def trainings() -> str:
    """What is trained for the standard sets."""
    lines = ["| environment | algorithm | steps | looked at every |", "|---" * 4 + "|"]
    for recipe in RECIPES.values():
        if isinstance(recipe.behaviour, Replay):
            t = recipe.behaviour.training
            algorithm = f"[`{t.algorithm}`](algorithms/{t.algorithm}.md)"
            steps = f"{show(t.steps)} | {show(t.every)}"
            lines.append(f"| `{t.env}` | {algorithm} | {steps} |")
    return "\n".join(lines)


def table(name: str) -> str:
    """The hyper-parameters of a catalogued algorithm as a table."""
    cls = get(name)
    known, meaning = hints(cls), meanings(cls)
    rows = ["| name | default | range | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(cls):
        value, allowed = show(field.default), extent(known[field.name])
        rows.append(f"| `{field.name}` | {value} | {allowed} | {meaning[field.name]} |")
    return "\n".join(rows)


def show(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case float() if value and abs(value) < 1e-3:
            mantissa, exponent = f"{value:e}".split("e")
            return f"{float(mantissa):g}e{int(exponent)}"
        case float():
            return f"{value:g}"
        case int():
            return f"{value:,}".replace(",", " ")
        case tuple():
            return ", ".join(map(show, value))
        case None:
            return "none"
    return str(value)


def extent(hint: Any) -> str:
    """The values a field may take, in words of mathematics."""
    if hint is bool:
        return "on, off"
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(map(str, typing.get_args(hint)))
    optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    end = ", none" if optional and type(None) in typing.get_args(hint) else ""
    return (", ".join(map(interval, ranges(hint))) or "any") + end


def interval(allowed: Range) -> str:
    if allowed == Range():
        return "any"
    if allowed.high == float("inf"):
        return f"{'>' if allowed.open_low else '≥'} {allowed.low:g}"
    return str(allowed)
