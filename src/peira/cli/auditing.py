"""`peira data audit`: what it prints and how it ends."""

import argparse
import json
from typing import Any

from ..data import Dataset
from ..data.audit import audit as examine, Finding
from .diagnosis import headline, row
from .tables import table


def say_of(said: argparse.Namespace, data: Dataset, against: Dataset | None) -> None:
    """Audit what was read, and print what was found."""
    findings = examine(data, against)
    sound = all(f.severity != "error" for f in findings)
    if said.json:
        rows = [as_json(one) for one in findings]
        print(json.dumps({"path": said.path, "sound": sound, "findings": rows}))
    else:
        print(headline(said.path, findings))
        if findings:
            table([row(one) for one in findings])
    if not sound:
        raise SystemExit(1)


def as_json(one: Finding) -> dict[str, Any]:
    return {**one._asdict(), "rows": list(one.rows)}
