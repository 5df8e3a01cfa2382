"""Files of results: a JSON object a line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none where there is none yet."""
    return list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def keep(path: Path, *rows: Mapping[str, Any]) -> None:
    """Add rows at its end."""
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
