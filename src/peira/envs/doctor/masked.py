"""Masks of legal actions: do they forbid anything, and what if one does not obey?"""

from collections.abc import Iterator, Sequence

import numpy as np

from ...core import Discrete
from .findings import Broken, Finding
from .patient import Patient
from .play import Episode, replay


STATES = 4  # in which a forbidden action is tried


def masks(
    patient: Patient, episodes: Sequence[Episode], *, may_raise: bool
) -> Iterator[Finding]:
    """What masks say, over the whole of random play; worlds in JAX cannot raise."""
    given = [
        (e, t, m.legal)
        for e in episodes
        for t, m in enumerate(e.moments[: len(e.actions)])
        if m.legal is not None
    ]
    if not given:
        return
    forbidding = [(e, t, legal) for e, t, legal in given if not legal.all()]
    if not forbidding:
        yield Finding(
            "note",
            "mask",
            f"in {len(given):,} steps of random play no mask forbade anything",
            "leave the mask out, or check what it should forbid",
        )
        return
    if not (may_raise and isinstance(patient.act.space, Discrete)):
        return
    for episode, t, legal in forbidding[:: 1 + len(forbidding) // STATES]:
        if accepted(patient, episode, t, int(np.flatnonzero(~legal)[0])):
            yield Finding(
                "note",
                "mask",
                f"a forbidden action is carried out (seed {episode.seed}, step "
                f"{t + 1}, action {int(np.flatnonzero(~legal)[0])} of the mask)",
                "let step raise: a learner that ignores masks is then found out",
            )
            return


def accepted(patient: Patient, episode: Episode, at: int, forbidden: int) -> bool:
    """Whether the environment goes on after a forbidden action as if it were none."""
    leaf = patient.act.leaves[0]
    action = patient.act.build((leaf.leave(np.array([forbidden]))[0],))
    replay(patient, episode.seed, episode.actions[:at])
    filed = dict(patient.filed)
    try:
        patient.step(action)
    except Broken:
        return False
    finally:
        patient.filed = filed  # a forbidden action may break what it likes
    return True
