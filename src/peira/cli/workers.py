"""Who works off the runs of a study or of a sweep."""

import contextlib

from ..core import BadConfig
from ..engine.on_ray import on_ray
from ..engine.schedule import Local, Scheduler


def workers(
    on: str, at_once: int | None
) -> contextlib.AbstractContextManager[Scheduler]:
    """Processes of this machine, or workers of Ray; there until the block ends. Raises
    `BadConfig`."""
    if on == "local":
        return contextlib.nullcontext(Local(at_once))
    if on == "ray" or on.startswith("ray://"):
        return on_ray(on, at_once)
    raise BadConfig(f"--on {on}: must be local, ray, or ray://HOST:PORT")
