"""Whether a run fits into memory, asked before anything is allocated."""

from pathlib import Path

import jax

from ..core import BadConfig
from .from_data import size
from .loop import Beat, unborn


LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
GIB = 2**30


def check_fits(beat: Beat, seeds: int) -> None:
    """Raise `PeiraError` for a run that cannot begin, or keeps more than is free: what
    is learned, and the experience, of all seeds. To be asked once, before any of them
    has taken its part."""
    start = lambda: unborn(beat.algorithm, beat.spec, beat.store, beat.envs)
    learner, kept = map(size, jax.eval_shape(start))
    free = available()
    if free is None or seeds * (learner + kept) <= free:
        return
    room = free // seeds - learner
    capacity = getattr(beat.algorithm, "capacity", None)
    advice = []
    if fit := int(free // (learner + kept)):
        advice.append(f"{fit} of {seeds} seeds")
    if capacity and room > 0:
        advice.append(f"--capacity {int(capacity * room // kept)}")
    most = f"; what fits is {' or '.join(advice)}" if advice else ""
    raise BadConfig(
        f"{seeds} x {(learner + kept) / GIB:.3g} GiB for what is learned and kept, and "
        f"{free / GIB:.3g} GiB are free{most}"
    )


def available() -> float | None:
    """Bytes that are free: on an accelerator, there; else on this machine and within
    the limit of its container. None where nobody says."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    known = [x for x in (machine(), container()) if x is not None]
    return min(known, default=None)


def machine() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = [int(x.split()[1]) for x in lines if x.startswith("MemAvailable:")]
    return kib[0] * 1024 if kib else None


def container() -> float | None:
    for limit, used in zip(LIMITS, USED, strict=True):
        try:
            return int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None
