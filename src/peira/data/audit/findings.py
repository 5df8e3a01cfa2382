"""What an audit can find: every kind, how grave it is, and what to do about it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ...core.findings import Severity


SHOWN = 5  # rows that a sentence names
KEPT = 100  # rows that a finding holds


class Kind(NamedTuple):
    """One kind of finding."""

    severity: Severity
    meaning: str
    mend: str


KINDS = {
    "structure": Kind(
        "error",
        "episodes, arrays and spaces do not fit together",
        "build it anew from its episodes, each with one observation more than steps",
    ),
    "not-finite": Kind(
        "error",
        "NaN or infinity",
        "leave those episodes out, or collect them again",
    ),
    "outside": Kind(
        "error",
        "actions, or choices observed, outside their space by more than rounding",
        "clip what the environment clipped itself, or give the space that was in force",
    ),
    "illegal": Kind(
        "error",
        "actions that their mask forbids, or masks that allow nothing",
        "save the mask of the step itself, not of the next",
    ),
    "propensity": Kind(
        "error",
        "propensities that are not positive, or probabilities above 1",
        "save the probability (density, for a Box) of the action that was taken",
    ),
    "glued": Kind(
        "error",
        "jumps to where episodes begin, within an episode",
        "end the episode there: the observation after such a step is the next "
        "episode's first; ends marked some steps off show as many jumps",
    ),
    "shifted": Kind(
        "error",
        "rewards that belong to the step before or after",
        "move the rewards by that step, within each episode",
    ),
    "leak": Kind(
        "error",
        "steps or episodes that lie in the other split too",
        "split by whole episodes (peira data split), copies left out first",
    ),
    "late-reward": Kind(
        "warning",
        "rewards for where a step began, not where it led",
        "if the environment rewards where an action leads, as most do, take each "
        "step's reward from the step after it",
    ),
    "clock": Kind(
        "warning",
        "a time limit marked as a death",
        "mark these ends truncated; if the task is over then, observe the time left",
    ),
    "cut-at-event": Kind(
        "warning",
        "deaths marked as time limits",
        "mark these ends terminated, if nothing worth having follows them",
    ),
    "goes-on": Kind(
        "warning",
        "ends after which the next episode goes on from the same place",
        "join these episodes, unless each is meant as a task of its own; never mark "
        "such an end terminated",
    ),
    "both-ends": Kind(
        "warning",
        "ends both terminated and truncated, before any time limit",
        "terminated where nothing follows, truncated where time ran out",
    ),
    "copied": Kind(
        "warning",
        "episodes or steps that are there twice, where chance repeats nothing",
        "keep one of each",
    ),
    "frozen": Kind(
        "warning",
        "observations that stand still, or are blank, where others never do",
        "leave these steps out, or mend what recorded them",
    ),
    "no-reward": Kind(
        "warning",
        "no reward but 0",
        "check that the right column was read; only imitation needs none",
    ),
    "observation-outside": Kind(
        "note",
        "observations outside their space",
        "widen the space, or check that the entries stand in its order",
    ),
    "jump": Kind(
        "note",
        "steps that lead much farther than others, to no place where episodes begin",
        "look at these steps: a collision, or lost rows",
    ),
    "sparse": Kind(
        "note",
        "rewards that hardly vary",
        "nothing; where none varies and nobody dies, there is nothing to learn but "
        "imitation",
    ),
    "before": Kind(
        "note",
        "rewards that the observation before the step tells as well as all of it",
        "nothing, where the reward is of that state; else they are one step late, "
        "which such rewards alone cannot tell",
    ),
    "repeats": Kind(
        "note",
        "steps or episodes that recur, as they may where few states are met",
        "nothing; count them once where you count evidence",
    ),
    "constant": Kind(
        "note",
        "entries that never change",
        "nothing, or leave them out",
    ),
    "saturated": Kind(
        "note",
        "many actions at the bounds of their space",
        "clip actions a little inside the bounds where densities of squashed "
        "distributions are used (SAC-like actors)",
    ),
    "ceiling": Kind(
        "note",
        "many episodes with the highest return of all",
        "do not select or condition by return beyond it",
    ),
    "lengths": Kind(
        "note",
        "few episodes, or some of a single step",
        "nothing; with few episodes, intervals over them mean little",
    ),
    "behaviour": Kind(
        "note",
        "how much the behaviour varied: its entropy",
        "with hardly any entropy, prefer algorithms that stay close to the data",
    ),
    "coverage": Kind(
        "note",
        "how much of the world was seen",
        "nothing; collect more where it is too little",
    ),
}
"""Every kind of finding."""


class Finding(NamedTuple):
    """One thing about a dataset that is worth knowing."""

    severity: Severity
    """An error spoils learning or its evaluation; a warning looks like a mistake, and
    now and then is none; a note is good to know."""
    check: str
    """One of `KINDS`."""
    seen: str
    """What was seen, where."""
    mend: str
    """What to do about it."""
    rows: tuple[int, ...] = ()
    """The first steps concerned, counted from 0 over the whole dataset."""
    total: int = 0
    """How many steps are concerned."""


def found(
    kind: str,
    seen: str,
    rows: Int[np.ndarray, " some"] | Sequence[int] = (),
    *,
    total: int | None = None,
) -> Finding:
    """A finding of a kind, which names the rows after what was seen."""
    severity, _, mend = KINDS[kind]
    first = tuple(int(r) for r in rows[:KEPT])
    total = len(rows) if total is None else total
    return Finding(severity, kind, seen + at(first, total), mend, first, total)


def at(rows: Sequence[int], total: int) -> str:
    """Rows in words."""
    if not rows:
        return ""
    shown = ", ".join(map(str, rows[:SHOWN]))
    more = f", ... ({total:,} in all)" if total > len(rows[:SHOWN]) else ""
    return f": step{'s' * (total > 1)} {shown}{more}"
