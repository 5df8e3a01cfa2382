"""Where episodes end: deaths, time limits, and ends that are none."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from .case import Case
from .findings import Finding, found
from .fit import Matrix, told_apart


FEW = 5  # ends that make a pattern
SHORT = 10  # steps of episodes whose length says nothing
LATE = 0.2  # of an episode: what its end is compared with
LOOKED = 400  # ends that are looked at
RIVALS = 20  # other beginnings that the next episode's is compared with
MIXED, APART = 0.75, 0.75  # of nearest neighbours of the same kind


def ends(case: Case) -> Iterator[Finding]:
    yield from both_at_once(case)
    yield from deaths_by_the_clock(case)
    if on := list(going_on(case)):
        yield from on
    else:
        yield from cuts_at_events(case)
    yield from lengths(case)


def marked(case: Case, episodes: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
    """The last steps of episodes, as they are numbered in the whole dataset."""
    return case.step[case.last[episodes]]


def both_at_once(case: Case) -> Iterator[Finding]:
    """A death in the very last step before a limit is both; nothing else is."""
    long = case.data.lengths
    both = case.terminated & case.truncated
    early = np.flatnonzero(both & (long < long.max()))
    if len(early) or (len(long) >= FEW and both.all()):
        which = early if len(early) else np.flatnonzero(both)
        yield found(
            "both-ends",
            f"{case.of}{len(which)} of {len(long)} ends are terminated and truncated",
            marked(case, which),
        )


def deaths_by_the_clock(case: Case) -> Iterator[Finding]:
    """Deaths that pile up at one length, none later, where the end looks like any
    moment shortly before: whoever died at a place would be told by it."""
    long = case.data.lengths
    dead = case.terminated & ~case.truncated
    limit = int(long.max())
    piled = np.flatnonzero(dead & (long == limit))
    near = int(((long >= 0.9 * limit) & (long < limit)).sum())
    if len(piled) < FEW or limit < SHORT or near > len(piled) / 4:
        return
    rng = np.random.default_rng(0)
    some = rng.permutation(piled)[:LOOKED]
    back = 1 + rng.integers(0, max(1, int(LATE * limit)), len(some))
    end, before = case.obs[case.final[some]], case.obs[case.final[some] - back]
    if told_apart(end, before) < MIXED and not separated(end, before):
        yield found(
            "clock",
            f"{case.of}{len(piled)} of {len(long)} episodes ended terminated after "
            f"exactly {limit:,} steps, none later, where nothing tells the end from "
            "the moments before",
            marked(case, piled),
        )


def separated(a: Matrix, b: Matrix) -> bool:
    """Whether one number alone tells all of a from all of b, as a clock would."""
    return bool(
        ((a.min(axis=0) > b.max(axis=0)) | (a.max(axis=0) < b.min(axis=0))).any()
    )


def cuts_at_events(case: Case) -> Iterator[Finding]:
    """Cuts at all lengths, at places that tell them from the others that lived on as
    long."""
    long = case.data.lengths
    cut = np.flatnonzero(case.truncated & ~case.terminated & (long < long.max()))
    if len(np.unique(long[cut])) < FEW:
        return
    rng = np.random.default_rng(0)
    order = np.argsort(long, kind="stable")
    ended, alive = [], []
    for e in rng.permutation(cut)[:LOOKED]:
        longer = np.searchsorted(long[order], long[e], side="right")
        other = order[rng.integers(longer, len(order))]
        ended.append(case.final[e])
        alive.append(case.first[other] + long[e])
    apart = told_apart(case.obs[ended], case.obs[alive])
    if apart >= max(APART, 0.5 + 1.5 / np.sqrt(len(ended))):
        yield found(
            "cut-at-event",
            f"{case.of}{len(cut)} episodes were truncated at "
            f"{len(np.unique(long[cut]))} different lengths, from "
            f"{long[cut].min():,} to {long[cut].max():,} steps, and where they ended "
            "is told from where others were at that time "
            f"({apart:.0%} of nearest neighbours; 50% if it were chance)",
            marked(case, cut),
        )


def going_on(case: Case) -> Iterator[Finding]:
    """Ends whose next episode begins closer by than all of many others do."""
    data = case.data
    if data.episodes <= FEW or case.of:  # of a sample the next episode may be missing
        return
    rng = np.random.default_rng(0)
    place = lambda row: case.obs[row] / case.std
    some = np.arange(data.episodes - 1)
    if len(some) > LOOKED:
        some = np.sort(rng.permutation(some)[:LOOKED])
    end = place(case.final[some])
    own = np.linalg.norm(end - place(case.first[some + 1]), axis=-1)
    others = rng.integers(0, data.episodes, (RIVALS, len(some)))
    rival = np.full(len(some), np.inf)
    for other in others:
        away = np.linalg.norm(end - place(case.first[other]), axis=-1)
        rival = np.minimum(rival, np.where(other == some + 1, np.inf, away))
    on = some[own < rival]
    if len(on) >= FEW and len(on) > len(some) / 2:
        yield found(
            "goes-on",
            f"after {len(on)} of {len(some)} ends the next episode begins where the "
            "last one ended (nearer than any of "
            f"{RIVALS} other beginnings)",
            marked(case, on),
            total=round(len(on) / len(some) * (data.episodes - 1)),
        )


def lengths(case: Case) -> Iterator[Finding]:
    long = case.data.lengths
    if case.data.episodes == 1:
        yield found("lengths", f"{case.of}there is one episode only")
    single = np.flatnonzero(long == 1)
    if len(single) and np.median(long) >= SHORT:
        yield found(
            "lengths",
            f"{case.of}{len(single)} of {len(long)} episodes have a single step, half "
            f"of them {int(np.median(long)):,} or more",
            marked(case, single),
        )
