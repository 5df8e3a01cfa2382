"""What an examination has to say."""

from typing import NamedTuple

from ...core.findings import Severity


CHECKS = {
    "interface": "it can be made, and answers as Gymnasium says; nothing raises",
    "space": "observations lie in their space: shape, dtype, bounds, finite",
    "seed": "the same seed and actions give the same episode, in any instance",
    "reset": "nothing of an episode shows in the next",
    "array": "no array is written over once it was handed out",
    "final": "the last observation is the true one, not the next episode's first",
    "end": "deaths are terminated, time limits truncated",
    "clock": "whether the time is seen, where there is a limit",
    "observation": "what observations tell: constant entries, scale",
    "reward": "what rewards tell: finite, not all zero, scale",
    "action": "every action makes a difference, over the whole of its range",
    "mask": "masks fit, and leave something legal",
    "pure": "JAX: a function of its arguments alone, alike under jit and vmap, which "
    "uses no key twice",
}
"""Every check, and what holds where it finds nothing."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    severity: Severity
    """An error spoils learning or breaks a promise; a warning looks like a mistake; a
    note is good to know."""
    check: str
    """One of `CHECKS`."""
    seen: str
    """What was seen, where."""
    mend: str
    """What to do about it."""


class Broken(Exception):
    """The environment cannot go on, and the finding says why."""

    def __init__(self, finding: Finding):
        self.finding = finding


def in_words(error: Exception) -> str:
    """An exception in one line that is not too long."""
    words = " ".join(str(error).split()).partition(" The error occurred while")[0]
    short = words if len(words) <= 200 else words[:200] + "..."
    return f"{type(error).__name__}: {short}".strip(": ")
