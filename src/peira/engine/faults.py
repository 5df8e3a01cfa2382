"""What went wrong in a run, as it was written down, and how to see it again.

seed-<k>/faults/episode-<env>-<episode>.json    seeds and actions of a faulty episode
seed-<k>/faults/update-<n>/                     an update that was not finite
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..core import Algorithm, EnvironmentFault, RunFault
from ..envs import Hosted, shut
from . import blackbox
from .files import write_file


MOST = 20  # episodes written down per seed
LONGEST = 64 * 2**20  # bytes of one; more is not of our making


class Again(NamedTuple):
    """A recorded fault: what was said then, and what happens now."""

    path: Path
    then: str
    now: str | None
    """None where nothing goes wrong."""


def drain(world: Any, folder: Path) -> None:
    """Write down the faults of a world, and take them off it."""
    if not isinstance(world, Hosted):
        return
    for fault in world.faults:
        if "actions" in fault and len([*folder.glob("episode-*")]) < MOST:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"episode-{fault['index']}-{fault['episode']}.json"
            write_file(folder / name, (json.dumps(fault) + "\n").encode())
    world.faults = []


def replay(
    path: Path, open_world: Callable[[], Any], get: Callable[[str], type[Algorithm]]
) -> Iterator[Again]:
    """Every fault recorded under a folder, made again. Raises `RunFault`."""
    for file in sorted(path.glob("**/faults/episode-*.json")):
        yield episode(file, open_world)
    for folder in sorted(path.glob("**/faults/update-*/")):
        found = blackbox.replay(folder, get)
        now = None if found["now"] == blackbox.NOTHING else found["now"]
        yield Again(folder, found["first"], now)


def episode(file: Path, open_world: Callable[[], Any]) -> Again:
    """A recorded episode, played again."""
    try:
        if file.stat().st_size > LONGEST:
            raise ValueError("it is too large")
        fault = json.loads(file.read_text())
        then = str(fault["message"])
        for name in ("seed", "index", "episode"):
            if type(fault[name]) is not int or fault[name] < 0:
                raise ValueError(f"{name} = {fault[name]!r} is no count")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunFault(f"{file} cannot be read: {error}") from None
    try:
        world = open_world()
    except EnvironmentFault as wrong:  # it cannot even be made
        return Again(file, then, str(wrong))
    try:
        return Again(file, then, world.again(fault))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise RunFault(f"{file} does not describe an episode: {reason}") from None
    finally:
        shut(world)
