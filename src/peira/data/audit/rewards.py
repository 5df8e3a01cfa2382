"""Rewards: which step they belong to, and whether they say anything."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from .case import Case
from .findings import Finding, found
from .fit import halves, Matrix, mistold, scaled, unexplained


LOOKED = 3_000  # steps that a fit sees
LEAST = 200  # steps that a fit needs
CLEARLY = 0.5  # a shift explains clearly better that leaves half as much unexplained
VALUES = 32  # rewards of more different values are quantities
NEAR = 3  # steps about a change of reward that tell where it belongs
CHANGES = 20  # of the reward, that such a place needs
SURE, BETTER = 0.03, 3.0  # errors of a sure place, and how many more a false one makes
NARROW = 64  # numbers of an observation that places are looked for in
RARE = 0.01  # share of steps
WHERE = {-1: "before", 1: "after"}


def rewards(case: Case) -> Iterator[Finding]:
    reward = np.asarray(case.data.reward, float)
    values, counts = np.unique(reward, return_counts=True)
    usual = values[counts.argmax()]
    odd = reward != usual
    yield from silent(case, float(usual), odd)
    if not odd.any():
        return
    of_others = list(shifted(case, reward))
    if not of_others and len(values) <= VALUES:
        of_others = list(displaced(case, reward, odd)) or list(first_paid(case, odd))
    yield from of_others
    if not of_others and len(values) > VALUES:
        yield from told_before(case, reward)


def silent(
    case: Case, usual: float, odd: Bool[np.ndarray, " step"]
) -> Iterator[Finding]:
    """The same reward always, or nearly."""
    if odd.any():
        if (share := odd.mean()) < RARE:
            rows = case.step[np.flatnonzero(odd)]
            seen = f"{case.of}all but {share:.2%} of rewards are {usual:g}; others"
            yield found("sparse", seen, rows)
        return
    died = "when an episode dies" if case.terminated.any() else "nothing"
    seen = f"{case.of}every reward is {usual:g}: only {died} makes a difference"
    yield found("sparse" if usual else "no-reward", seen)


def steps_with(
    case: Case, behind: int, ahead: int, of: Bool[np.ndarray, " step"] | None = None
) -> Int[np.ndarray, " some"]:
    """Steps with so many neighbours in their episode, a fixed sample of them."""
    t = np.arange(case.data.steps) if of is None else np.flatnonzero(of)
    t = t[case.has(t, -behind) & case.has(t, ahead)]
    if len(t) > LOOKED:
        t = np.sort(np.random.default_rng(0).permutation(t)[:LOOKED])
    return t


def shifted(case: Case, reward: Float[np.ndarray, " step"]) -> Iterator[Finding]:
    """Rewards explained clearly better by a neighbouring step, as a whole, than by
    their own."""
    t = steps_with(case, 1, 1)
    if len(t) < LEAST or np.ptp(reward[t]) == 0:
        return
    fold, y = halves(case.episode[t], t), reward[t]
    if min(np.ptp(y[fold]), np.ptp(y[~fold])) == 0:
        return
    left = {k: unexplained(transition(case, t + k), y, fold) for k in (-1, 0, 1)}
    best = min((-1, 1), key=lambda k: left[k].max())
    if (left[best] < CLEARLY * np.minimum(left[0], 1)).all():
        told = f"a fit leaves {left[best].mean():.1%} unexplained, {left[0].mean():.1%}"
        yield found(
            "shifted",
            f"{case.of}rewards belong to the step {WHERE[best]} theirs ({told} by "
            "their own); wrong",
            changed(case, reward, -best),
        )


def transition(case: Case, t: Int[np.ndarray, " n"]) -> Matrix:
    """What a step saw, did and led to."""
    row = case.row[t]
    return np.concatenate([case.obs[row], case.action[t], case.obs[row + 1]], axis=1)


def changed(
    case: Case, reward: Float[np.ndarray, " step"], by: int
) -> Int[np.ndarray, " some"]:
    """Steps whose reward another one would replace, as numbered in the whole."""
    t = np.arange(case.data.steps)
    t = t[case.has(t, by)]
    return case.step[t[reward[t] != reward[t + by]]]


def displaced(
    case: Case, reward: Float[np.ndarray, " step"], odd: Bool[np.ndarray, " step"]
) -> Iterator[Finding]:
    """Rewards of few values for being at a place: about their changes one observation
    of those before and after tells them, and it ought to be the one led to."""
    t = np.arange(1, case.data.steps)
    change = 1 + np.flatnonzero((odd[1:] != odd[:-1]) & case.has(t, -1))
    about = np.zeros(case.data.steps, bool)
    for k in range(-NEAR, NEAR):
        about[np.clip(change + k, 0, case.data.steps - 1)] = True
    t = steps_with(case, 1, 1, about)
    if len(change) < CHANGES or len(t) < LEAST or isolated(case, odd):
        return
    fold = halves(case.episode[t], t)
    enough = all(odd[t[h]].any() and not odd[t[h]].all() for h in (fold, ~fold))
    if not enough or scaled(case.obs[case.row[t]]).shape[1] > NARROW:
        return
    row = case.row[t]
    errs = {k: mistold(case.obs[row + k], odd[t], fold) for k in (-1, 0, 1, 2)}
    best = min(errs, key=lambda k: errs[k])
    if best == 1 or errs[best] > SURE or errs[1] < max(SURE, BETTER * errs[best]):
        return
    told = f"told to {1 - errs[best]:.1%}, by the one led to {1 - errs[1]:.1%}"
    if best == 0:
        yield found(
            "late-reward",
            f"{case.of}the observation before a step tells its reward, not the one "
            f"after ({told}); late",
            changed(case, reward, 1),
        )
        return
    place = WHERE[-1 if best < 1 else 1]
    yield found(
        "shifted",
        f"{case.of}rewards belong to the step {place} theirs ({told}); wrong",
        changed(case, reward, 1 if best < 1 else -1),
    )


def isolated(case: Case, odd: Bool[np.ndarray, " step"]) -> bool:
    """Whether most odd rewards stand alone: for an event, not for being at a place."""
    t = np.flatnonzero(odd)
    t = t[case.has(t, 1) & case.has(t, -1)]
    return not len(t) or float((odd[t - 1] | odd[t + 1]).mean()) < 0.8


def first_paid(case: Case, odd: Bool[np.ndarray, " step"]) -> Iterator[Finding]:
    """What ends of episodes earned, at the first step of the next ones."""
    long, first = case.data.lengths, case.data.starts[:-1]
    after = np.flatnonzero(case.terminated[:-1] & (long[1:] > 1)) + 1
    paid = first[after][odd[first[after]]]
    if len(paid) >= 5 and len(paid) >= 0.8 * odd.sum():
        yield found(
            "late-reward",
            f"{case.of}{len(paid)} of the {odd.sum()} rewards unlike the others come "
            "with the first step after a death",
            case.step[paid],
        )


def told_before(case: Case, reward: Float[np.ndarray, " step"]) -> Iterator[Finding]:
    """Rewards that are quantities of the state before the step, or are late."""
    t = steps_with(case, 1, 1)
    if len(t) < LEAST:
        return
    fold, y, row = halves(case.episode[t], t), reward[t], case.row[t]
    if min(np.ptp(y[fold]), np.ptp(y[~fold])) == 0:
        return
    whole = unexplained(transition(case, t), y, fold)
    before, after = (unexplained(case.obs[row + k], y, fold) for k in (0, 1))
    most = np.minimum(np.minimum(CLEARLY * after, whole / CLEARLY), CLEARLY)
    if (before < most).all():
        yield found(
            "before",
            f"{case.of}a fit on the observation before the step leaves "
            f"{before.mean():.1%} of the rewards' variance unexplained, on the one "
            f"after {after.mean():.1%}, on all of the step {whole.mean():.1%}",
        )
