"""`peira check`: from words to a table of what holds."""

import itertools
import json as jsonlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from ..core import Algorithm, BadConfig
from ..engine.fields import hints
from ..evidence.conformance import Finding
from .checking import check, found, instance
from .flags import Checked, CheckOptions, parse
from .tables import table


COUNTED = {"holds": "hold", "does not apply": "do not apply", "fails": "fail"}
USAGE = "usage: peira check NAME|MODULE:CLASS [--field value ...]"


def command(words: Sequence[str]) -> None:
    """Check as the words say; raises `SystemExit` with 1 if something fails."""
    names = list(itertools.takewhile(lambda w: not w.startswith("-"), words))
    flags = words[len(names) :]
    if not names and {"-h", "--help"} & set(flags):
        print(f"{USAGE}\n\nevery field of one: peira check NAME|MODULE:CLASS --help")
        return
    if len(names) != 1:
        raise BadConfig(f"which algorithm? {USAGE}")
    if (here := os.getcwd()) not in sys.path:  # as `python -m` has it
        sys.path.insert(0, here)
    cls = found(names[0])
    default = Checked(instance(cls, {}), CheckOptions())
    wanted = parse(flags, default, prog=f"peira check {names[0]}", usage=USAGE)
    fields = {f: getattr(wanted.algorithm, f) for f in said(flags, cls)}
    findings = run(cls, fields, wanted.options)
    say(names[0], findings, json=wanted.options.json)
    if any(f.verdict == "fails" for f in findings):
        raise SystemExit(1)


def said(flags: Sequence[str], cls: type[Algorithm]) -> list[str]:
    """The fields that the flags name."""
    stems = [w[2:].split("=")[0].split(".")[0] for w in flags if w.startswith("--")]
    names = {stem.replace("-", "_") for stem in stems}
    return [f for f in hints(cls) if f in names or f"no_{f}" in names]


def run(
    cls: type[Algorithm], fields: Mapping[str, Any], options: CheckOptions
) -> list[Finding]:
    """Check, and meanwhile say so on a terminal."""
    with Console(stderr=True).status(f"checking {cls.__name__}: a minute or so"):
        return check(cls, decide_within=options.decide_within, **fields)


def say(name: str, findings: Sequence[Finding], *, json: bool) -> None:
    """Print what was found, as a table or as one JSON object."""
    rows = [finding._asdict() for finding in findings]
    if json:
        print(jsonlib.dumps({"algorithm": name, "checks": rows}))
        return
    table(rows)
    count = Counter(f.verdict for f in findings)
    print(f"{name}: {', '.join(f'{count[v]} {word}' for v, word in COUNTED.items())}")
