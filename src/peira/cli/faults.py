"""What to tell a person about an error."""

from ..algos import catalogue, get
from ..core import PeiraError, Unsupported


def explain(error: Exception) -> str:
    """One line for an error of ours; any other is a bug and is raised again."""
    if not isinstance(error, PeiraError):
        raise error
    message = " ".join(str(error).split())
    if isinstance(error, Unsupported):
        kind = type(error.space)
        able = [name for name in catalogue if kind in get(name).serves]
        message += f"; algorithms that can: {', '.join(able) or 'none yet'}"
    return message
