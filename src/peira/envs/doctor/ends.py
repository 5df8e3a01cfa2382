"""Deaths and time limits: which is which, and whether the time is seen."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ...core import Discrete
from .findings import Finding
from .patient import Moment, Patient
from .play import Episode, LONGEST


FEW = 3  # ends that make a pattern
SAMPLES = 300  # moments that the time is read from
FOLDS, MOSTLY = 4, 0.8  # of the episodes, and of the moments read right
CHOICES = 512  # a choice among more is read as a number


def ends(
    patient: Patient,
    played: Sequence[Episode],
    others: Sequence[Episode],
    limit: int | None,
) -> Iterator[Finding]:
    """How episodes end: `played` at random, `others` with one action throughout."""
    over = [e for e in played if e.ended]
    if not over:
        yield from endless(played, others, limit)
        return
    cut = [e for e in over if e.moments[-1].truncated and not died(e)]
    limit = limit or common_length(cut)
    shown = [e for e in played if e.actions and e.moments[0].obs]
    timed = len(shown) < 2 or tells_time(patient, shown)  # of one nothing is claimed
    yield from both_at_once(over, limit)
    yield from deaths_by_the_clock(over, [e for e in others if e.ended], timed)
    yield from cuts_that_vary(cut, limit)
    if limit and not timed:
        yield Finding(
            "note",
            "clock",
            f"episodes are cut after {limit:,} steps, and observations do not tell "
            "the time",
            "nothing, if the limit is only practical; where the task is to be done in "
            "time, observe the time (gymnasium.wrappers.TimeAwareObservation)",
        )


def died(episode: Episode) -> bool:
    return episode.moments[-1].terminated


def length(episode: Episode) -> int:
    return len(episode.actions)


def common_length(episodes: Sequence[Episode]) -> int | None:
    """The length that most of them have, if there is one."""
    (most, count), *_ = Counter(map(length, episodes)).most_common(1) or [(0, 0)]
    return most if count >= max(FEW, len(episodes) / 2) else None


def endless(
    played: Sequence[Episode], others: Sequence[Episode], limit: int | None
) -> Iterator[Finding]:
    longest = max((length(e) for e in played), default=0)
    if limit or longest < LONGEST or any(e.ended for e in others):
        return
    yield Finding(
        "warning",
        "end",
        f"none of {len(played)} episodes had ended after {LONGEST:,} steps of random "
        "play, and no time limit is known",
        "set one: gymnasium.wrappers.TimeLimit(env, steps), or envs.TimeLimit for a "
        "world in JAX",
    )


def both_at_once(over: Sequence[Episode], limit: int | None) -> Iterator[Finding]:
    """A death in the very last step before a limit is both; nothing else is."""
    both = [e for e in over if died(e) and e.moments[-1].truncated]
    last = limit or max(map(length, over))
    early = [e for e in both if length(e) != last]
    if early or len(both) >= max(FEW, len(over)):
        one = (early or both)[0]
        yield Finding(
            "warning",
            "end",
            f"{len(both)} of {len(over)} episodes ended terminated and truncated at "
            f"once (seed {one.seed}, step {length(one)})",
            "terminated where nothing follows, truncated where time ran out",
        )


def deaths_by_the_clock(
    over: Sequence[Episode], others: Sequence[Episode], timed: bool
) -> Iterator[Finding]:
    """Ends called deaths that come when a clock would bring them, unseen."""
    deaths = [length(e) for e in over if died(e) and not e.moments[-1].truncated]
    if len(deaths) < FEW or timed:
        return
    last, count = max(deaths), deaths.count(max(deaths))
    always = {length(e) for e in [*over, *others]} == {last} and last > 1
    near = sum(0.9 * last <= n < last for n in deaths)
    often = count >= max(FEW, 0.2 * len(over)) and last >= 20 and near <= count / 4
    if always or often:
        yield Finding(
            "warning",
            "end",
            f"{count} of {len(over)} episodes ended terminated after exactly {last:,} "
            "steps, none later: that looks like a time limit called a death",
            "return truncated at a time limit (gymnasium.wrappers.TimeLimit does); if "
            "the task is over then, observe the time left",
        )


def cuts_that_vary(cut: Sequence[Episode], limit: int | None) -> Iterator[Finding]:
    """Ends called time limits that come at all times."""
    early = [e for e in cut if length(e) != limit]
    lengths = Counter(map(length, early))
    if len(lengths) < FEW:
        return
    one = early[0]
    yield Finding(
        "warning",
        "end",
        f"{len(early)} episodes were truncated at {len(lengths)} different lengths, "
        f"from {min(lengths):,} to {max(lengths):,} steps: those look like deaths "
        f"called time limits (seed {one.seed}, step {length(one)})",
        "return terminated where nothing worth having follows; truncated only where "
        "the world would have gone on",
    )


def tells_time(patient: Patient, episodes: Sequence[Episode]) -> bool:
    """Whether the steps so far can be read off the observation: what is seen twice is
    seen at one time, or a linear fit to most episodes is right to half a step nearly
    throughout the rest."""
    if seen_at_one_time(episodes):
        return True
    right, folds = [], min(FOLDS, len(episodes))
    for k in range(folds):
        x, t = samples(patient, [e for i, e in enumerate(episodes) if i % folds != k])
        x_new, t_new = samples(patient, episodes[k::folds])
        right += [np.abs(fitted(x, t, x_new) - t_new) < 0.5]
    return bool(np.concatenate(right).mean() >= MOSTLY)


def seen_at_one_time(episodes: Sequence[Episode]) -> bool:
    """Whether enough is seen twice, and hardly any of it at different times."""
    times = defaultdict(list)
    for episode in episodes:
        for t, moment in enumerate(episode.moments[1:-1]):
            times[b"".join(x.tobytes() for x in moment.obs)].append(t)
    twice = [ts for ts in times.values() if len(ts) > 1]
    shared, whole = sum(map(len, twice)), sum(map(len, times.values()))
    agree = sum(len(ts) for ts in twice if len(set(ts)) == 1)
    return shared >= 0.2 * whole and agree >= 0.95 * shared


def fitted(x: np.ndarray, t: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """What a linear fit with the least weights says of new rows."""
    centre, spread = x.mean(axis=0), x.std(axis=0)
    x, x_new = ((v - centre) / np.where(spread > 0, spread, 1) for v in (x, x_new))
    inner = x @ x.T
    ridge = 1e-8 * max(np.trace(inner), 1e-8)
    weights = np.linalg.solve(inner + ridge * np.eye(len(t)), t - t.mean())
    return x_new @ (x.T @ weights) + t.mean()


def samples(
    patient: Patient, episodes: Sequence[Episode]
) -> tuple[np.ndarray, np.ndarray]:
    """Observations that an actor acts on as rows of numbers, and their steps."""
    seen = [(m, t) for e in episodes for t, m in enumerate(e.moments[:-1])]
    picked = np.linspace(0, len(seen) - 1, min(len(seen), SAMPLES)).astype(int)
    rows = [numbers(patient, seen[i][0]) for i in picked]
    times = np.array([seen[i][1] for i in picked], float)
    return np.nan_to_num(np.stack(rows), posinf=0.0, neginf=0.0), times


def numbers(patient: Patient, moment: Moment) -> np.ndarray:
    """An observation as numbers, a choice as one of many."""
    columns = []
    for leaf, x in zip(patient.obs.leaves, moment.obs, strict=True):
        if isinstance(leaf.ours, Discrete) and leaf.ours.n <= CHOICES:
            columns.append(np.arange(leaf.ours.n) == int(x) - leaf.start)
        else:
            columns.append(x.ravel())
    return np.concatenate(columns).astype(float)
