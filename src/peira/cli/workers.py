"""Who works off the runs of a study or of a sweep."""

from ..core import BadConfig
from ..engine.schedule import Local, Scheduler


def workers(on: str, at_once: int | None) -> Scheduler:
    """`local` are processes of this machine. Raises `BadConfig`."""
    if on == "local":
        return Local(at_once)
    raise BadConfig(f"--on {on}: must be local")
