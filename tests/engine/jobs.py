"""What workers do in `test_schedule`: jobs that another process can import."""

import os
import signal
from pathlib import Path

from peira.core import BadConfig


def note(home: Path, name: str) -> None:
    """One line for every time that it was begun."""
    with (home / f"{name}.begun").open("a") as file:
        file.write(f"{sorted(os.sched_getaffinity(0))}\n")


def begun(home: Path, name: str) -> int:
    return len((home / f"{name}.begun").read_text().splitlines())


def alone(home: Path, name: str) -> None:
    """Fails where another is under way at the same time."""
    note(home, name)
    (home / "alone").mkdir()
    (home / "alone").rmdir()


def mortal(home: Path, name: str, lives: int) -> None:
    """Is killed until it has been begun so often."""
    note(home, name)
    if begun(home, name) < lives:
        os.kill(os.getpid(), signal.SIGKILL)


def mistaken(home: Path, name: str) -> None:
    note(home, name)
    raise BadConfig("no such thing")
