"""How far many runs have come: each says so in a file beside it, whoever and wherever
its worker is, and a board shows them all."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..engine.files import beside
from ..engine.sinks import Sink


PULSE, OFTEN = "pulse.json", 0.5  # seconds between pulses
ENOUGH = "enough"  # the file that asks a run to end


class Enough(Exception):
    """Somebody has seen enough of a run."""


class Pulse(Sink):
    """Writes how far a run of one seed has come into a file of its folder, with the
    mean return of every evaluation. Raises `Enough` where a file there asks for it."""

    def __init__(self, folder: Path):
        self._file = folder / PULSE
        self._said: dict[str, Any] = {}
        self._next = 0.0

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        before = heard(self._file.parent).get("evaluations", [])
        self._said = {"step": 0, "steps": steps, "evaluations": before}
        self._said["process"] = os.getpid()
        self._say()

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        self._said["step"] = step
        if time.monotonic() >= self._next:
            self._say()

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        so_far = [one for one in self._said["evaluations"] if one[0] < step]
        news = [step, float(np.mean(returns))]
        self._said |= {"step": step, "evaluations": [*so_far, news]}
        self._say()

    def close(self) -> None:
        """What it said last stays true."""

    def _say(self) -> None:
        self._next = time.monotonic() + OFTEN
        new = beside(self._file)
        new.write_text(json.dumps(self._said))
        new.replace(self._file)
        if (self._file.parent / ENOUGH).exists():
            raise Enough


def heard(folder: Path) -> dict[str, Any]:
    """What a run says; nothing before its first pulse."""
    try:
        return json.loads((folder / PULSE).read_text())
    except (OSError, ValueError):
        return {}


class Board:
    """Every run under way with a bar of its own, on a terminal; elsewhere a line for
    each that has ended."""

    def __init__(self, *, quiet: bool = False):
        self._console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[news]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._of: dict[str, Any] = {}
        self._done = self._all = 0

    def __enter__(self) -> "Board":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, done: int, runs: int) -> None:
        """So many runs of so many are there already."""
        self._done, self._all = done, runs

    def look(self, folders: Iterable[Path]) -> None:
        """Read the pulses of runs that have not ended."""
        for folder in folders:
            if said := heard(folder):
                if folder.name not in self._of:
                    self._of[folder.name] = self._bars.add_task(
                        folder.name, total=said["steps"], news=""
                    )
                earned = said["evaluations"][-1:]
                news = f"return {earned[0][1]:.4g}" if earned else ""
                bar = self._of[folder.name]
                self._bars.update(bar, completed=said["step"], news=news)

    def ended(self, name: str, news: str) -> None:
        """A run has come to its end."""
        self._done += 1
        if name in self._of:
            self._bars.remove_task(self._of.pop(name))
        line = f"{self._done}/{self._all}  {name}  {news}"
        self._console.print(line, highlight=False, soft_wrap=True)
