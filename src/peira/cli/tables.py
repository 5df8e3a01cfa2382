"""Tables on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows with the names of their entries as heads."""
    console = Console()
    if not console.is_terminal:  # a file or another program: never cut anything off
        console = Console(width=1000)
    heads = list(dict.fromkeys(key for row in rows for key in row))
    shown = Table(box=SIMPLE_HEAD, title=title and escape(title), title_justify="left")
    for head in heads:
        numbers = all(isinstance(r.get(head, 0), int | float) for r in rows)
        justify = "right" if numbers else "left"
        shown.add_column(head, justify=justify, overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell(row.get(head, ""))) for head in heads))
    console.print(shown)


def cell(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4g}"
        case int():
            return f"{value:,}"
        case list():
            return f"[{', '.join('?' if v is None else f'{v:.4g}' for v in value)}]"
    return str(value)
