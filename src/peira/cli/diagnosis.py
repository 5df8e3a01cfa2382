"""What to say of an environment that was examined."""

import json as jsonlib
import math
from collections import Counter
from typing import Any

from ..envs.doctor import Finding
from .doctor import Diagnosis, Score
from .summary import plain_estimate
from .tables import table


def say(found: Diagnosis, *, json: bool) -> None:
    """Print it, as tables or as one JSON object."""
    if json:
        print(jsonlib.dumps(as_json(found)))
        return
    counts = Counter(f.severity for f in found.findings)
    told = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in counts.items()]
    print(f"{found.env}: {', '.join(told) or 'nothing found'}")
    if found.findings:
        table([row(one) for one in found.findings])
    if found.scores:
        print("what a learner must beat: mean return, its 95 % interval over episodes")
        table([plain_score(one) for one in found.scores])
    if found.spreads:
        print("random play")
        table([one._asdict() for one in found.spreads])


def row(one: Finding) -> dict[str, str]:
    """A finding, and under it what to do."""
    what = f"{one.seen}\n-> {one.mend}"
    return {"severity": one.severity, "check": one.check, "finding": what}


def as_json(found: Diagnosis) -> dict[str, Any]:
    """JSON has no NaN."""
    finite = lambda v: v if isinstance(v, str) or math.isfinite(v) else None
    return {
        "env": found.env,
        "sound": found.sound,
        "findings": [one._asdict() for one in found.findings],
        "scores": [plain_score(one) for one in found.scores],
        "spreads": [
            {k: finite(v) for k, v in one._asdict().items()} for one in found.spreads
        ],
    }


def plain_score(one: Score) -> dict[str, Any]:
    value, *interval = plain_estimate(one.estimate).values()
    return {
        "policy": one.policy,
        "mean": value,
        "interval": interval,
        "episodes": one.episodes,
        "length": one.length,
    }
