"""What to say of an environment that was examined, and of any findings."""

import json as jsonlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..data.audit import Finding as Audited
from ..envs.doctor import Finding
from .doctor import Diagnosis, Score
from .summary import plain_estimate
from .tables import table


Told = Finding | Audited


def say(found: Diagnosis, *, json: bool) -> None:
    """Print it, as tables or as one JSON object."""
    if json:
        print(jsonlib.dumps(as_json(found)))
        return
    print(headline(found.env, found.findings))
    if found.findings:
        table([row(one) for one in found.findings])
    if found.scores:
        print("what a learner must beat: mean return, its 95 % interval over episodes")
        table([plain_score(one) for one in found.scores])
    if found.spreads:
        print("random play")
        table([one._asdict() for one in found.spreads])


def headline(name: str, findings: Sequence[Told]) -> str:
    """How many findings of each severity there are."""
    counts = Counter(f.severity for f in findings)
    told = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in counts.items()]
    return f"{name}: {', '.join(told) or 'nothing found'}"


def row(one: Told) -> dict[str, str]:
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
