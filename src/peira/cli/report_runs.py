"""What a report says of runs."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core import BadConfig, RunFault
from ..engine.run import Run
from ..evidence.curves import SCORES
from ..evidence.report import Chart, Section, Shelf
from ..evidence.report.films import data, films
from ..evidence.report.html import (
    code,
    folded,
    Html,
    in_words,
    join,
    listed,
    paragraphs,
    table,
    tag,
)
from .comparing import BY, Comparison, notes, rows


Runs = Mapping[str, Run]
BORN = {"versions": dict, "git": dict, "command": list, "seconds": int | float}
"""What is read of where a run came from, and what it must be where it is there."""


def sections(runs: Runs, found: Comparison, shelf: Shelf, *, by: str) -> list[Section]:
    """All parts of the page, the outcome first."""
    chart = Chart("Return of greedy episodes", found.curves, axis(runs))
    return [
        Section(
            "Verdict" if found.differences else "Outcome", outcome(runs, found, by=by)
        ),
        Section("Curves", chart.draw()),
        Section("Seeds", table(seeds(runs, found))),
        Section("Settings", settings(runs)),
        Section("Recordings", films(recorded(runs, shelf))),
        Section("Provenance", table(provenance(runs))),
        Section("Repeat", repeat(runs, by=by)),
    ]


def check_said(runs: Runs) -> None:
    """Raises `RunFault` for a run whose folder does not say of it what it should."""
    for run in runs.values():
        if not isinstance(run.config.get("data", {}), dict):
            raise RunFault(f"{run.path}/config.toml: data makes no sense")
        for name, kind in BORN.items():
            if not isinstance(run.born.get(name), kind | None):
                raise RunFault(f"{run.path}/provenance.json: {name} makes no sense")


def check_axes(runs: Runs) -> None:
    """Raises `BadConfig` for runs whose curves have no common axes."""
    for what, of in (("environments", env_of), ("kinds of step", axis_of)):
        found = {of(run): name for name, run in runs.items()}
        if len(found) > 1:
            told = ", ".join(f"{kind} ({name})" for kind, name in found.items())
            raise BadConfig(
                f"these runs are of different {what}: {told}; make a report of each"
            )


def env_of(run: Run) -> str:
    return str(run.config["env"])


def axis_of(run: Run) -> str:
    """What a step of a run is."""
    if "data" not in run.config:
        return "environment steps"
    later = run.config["plan"].get("online", 0)
    return "updates" + ", then environment steps" * bool(later)


def axis(runs: Runs) -> str:
    return axis_of(next(iter(runs.values())))


def outcome(runs: Runs, found: Comparison, *, by: str) -> Html:
    """What each run scores, and what can be said of their differences."""
    first = next(iter(found.scores))
    said = [
        tag(
            "p",
            tag("span", one.verdict, class_="word"),
            f": {name} minus {first} is {one.estimate}",
            class_="verdict",
        )
        for name, one in found.differences.items()
    ]
    shown = [
        row | ({"p": found.differences[row["run"]].p} if "p" in row else {})
        for row in rows(found)
    ]
    behind = f"Scores are the {BY[by]}; brackets are 95 % intervals over n seeds."
    if found.differences:
        behind += f" Differences and improvement are over {first}; p is Holm's."
    return join(
        *said, table(shown), paragraphs(behind), listed([*flags(runs), *notes(found)])
    )


def flags(runs: Runs) -> list[str]:
    """What else must be known before numbers are believed."""
    said = [
        f"{name} is not finished: every seed has come to step {run.reached:,}"
        for name, run in runs.items()
        if not run.done
    ]
    made = {str(run.born.get("code")): name for name, run in runs.items()}
    if len(made) > 1:
        told = ", ".join(f"{code} ({name})" for code, name in made.items())
        said.append(f"the runs are of different code: {told}")
    return said


def seeds(runs: Runs, found: Comparison) -> list[dict[str, Any]]:
    """One row for each seed."""
    told = []
    for name, run in runs.items():
        evaluations, metrics = run.evaluations(), run.metrics()
        names = [n for n in BY if n != "best" or found.curves[name].episodes > 1]
        scores = {n: SCORES[n](evaluations) for n in names}
        owner, step, seconds = (
            np.asarray(metrics[n].to_pylist()) for n in ("seed", "step", "seconds")
        )
        for i, k in enumerate(found.curves[name].seeds):
            mine = owner == k
            told.append(
                {
                    "run": name,
                    "seed": k,
                    **{n: float(of[i]) for n, of in scores.items()},
                    "steps": int(step[mine].max(initial=0)),
                    "seconds": float(seconds[mine].max(initial=0)),
                }
            )
    return told


def settings(runs: Runs) -> Html:
    """What the runs differ in, and all that each was told."""
    flat = {name: flattened(run.config) for name, run in runs.items()}
    fields = dict.fromkeys(field for one in flat.values() for field in one)
    differ = [
        {"setting": field} | {n: one.get(field, "") for n, one in flat.items()}
        for field in fields
        if len({repr(one.get(field)) for one in flat.values()}) > 1
    ]
    if differ:
        said = join(paragraphs("What the runs differ in:"), table(differ))
    elif len(runs) > 1:
        said = paragraphs("The runs differ in no setting.")
    else:
        said = Html("")
    return join(
        said, *(folded(f"All of {n}", code(as_toml(r))) for n, r in runs.items())
    )


def flattened(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level with dotted names, values in words."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{before}{name}.")
        else:
            plain = type(value) in (int, float)
            found[before + name] = value if plain else worded(value)
    return found


def worded(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def as_toml(run: Run) -> str:
    """The configuration as it lies on the disk."""
    return (run.path / "config.toml").read_text()


def recorded(runs: Runs, shelf: Shelf) -> list[Html]:
    """The recordings there are."""
    shown = [
        shelf.film(run.path, f"{name}, seed {run.seeds[0]}, greedy")
        for name, run in runs.items()
    ]
    return [one for one in shown if one is not None]


def provenance(runs: Runs) -> list[dict[str, Any]]:
    """Where each run came from, a column for each."""
    told = {name: born(run) for name, run in runs.items()}
    fields = next(iter(told.values()))
    return [
        {"what": field} | {name: one[field] for name, one in told.items()}
        for field in fields
        if any(one[field] for one in told.values())
    ]


def born(run: Run) -> dict[str, Any]:
    """What a run's folder says of its making."""
    said = run.born
    versions = said.get("versions") or {}
    git = said.get("git") or {}
    changed = " with changes" if git.get("changed") else ""
    return {
        "folder": str(run.path),
        "state": "done" if run.done else f"not finished: step {run.reached:,}",
        "code": said.get("code", ""),
        "commit": f"{git['commit']}{changed}" if git.get("commit") else "",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "python": said.get("python", ""),
        "platform": said.get("platform", ""),
        "devices": worded(said.get("devices", [])),
        "cpus": str(said.get("cpus", "")),
        "data": run.config.get("data", {}).get("fingerprint", ""),
        "started": said.get("started") or "",
        "finished": said.get("finished") or "",
        "wall time, s": str(in_words(said.get("seconds") or 0.0)),
    }


def repeat(runs: Runs, *, by: str) -> Html:
    """The commands that made the runs, and those that make them again."""
    parts = []
    for name, run in runs.items():
        file = f"{Path(name).name}.toml"
        again = ["train", "--config", file, "--name", f"{Path(name).name}-again"]
        parts += [
            tag("h3", name),
            paragraphs(
                join("With ", download(file, as_toml(run)), " saved beside you:")
            ),
            code(in_shell(again)),
        ]
        if started := run.born.get("command"):
            parts += [paragraphs("It was begun as:"), code(as_started(started))]
    folders = [str(run.path) for run in runs.values()]
    parts += [tag("h3", "This page"), code(in_shell(["report", *folders, "--by", by]))]
    if len(runs) > 1:
        parts += [code(in_shell(["compare", *folders, "--by", by]))]
    return join(*parts)


def download(name: str, text: str) -> Html:
    """A link that saves a text as a file."""
    return tag("a", name, download=name, href=data("application/toml", text.encode()))


def in_shell(words: list[str]) -> str:
    """A command line of Peira."""
    return shlex.join(["peira", *words])


def as_started(command: list[Any]) -> str:
    """The command line that a process had, or the script it was."""
    program, *words = map(str, command)
    return (
        in_shell(words) if program == "__main__.py" else shlex.join([program, *words])
    )
