"""Judging a policy by what another has done, in as many ways as are asked for; where
a way does not hold, saying why."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from ...core import BadConfig, DataFault, Discrete, Policy, unknown
from ...data import Dataset
from ..statistics import around, Estimate
from . import estimators
from .appraise import Appraisal, appraise, Effort
from .behaviour import Behaviour, propensities
from .estimators import Parts
from .intervals import effective, Interval, interval, lower_bound
from .likelihood import likelihoods, Refusal
from .logged import Logged, logged, Model, side_by_side


T = TypeVar("T")
LOG_ALONE: dict[str, Callable[[Logged, float], Parts]] = {
    "is": estimators.trajectory,
    "wis": estimators.weighted_trajectory,
    "pdis": estimators.per_decision,
    "wpdis": estimators.weighted_per_decision,
}
WITH_MODEL: dict[str, Callable[[Logged, Model, float], Parts]] = {
    "dr": estimators.doubly_robust,
    "wdr": estimators.weighted_doubly_robust,
}
METHODS = ("fqe", *LOG_ALONE, *WITH_MODEL, "bound")
SURE = 4.0  # standard errors by which the mean weight may be off


class Question(NamedTuple):
    """What is asked of every method."""

    gamma: float = 0.99
    """Discount."""
    explore: bool = False
    """Whether the policy acts as when it learns, or as when it shows."""
    level: float = 0.95
    """Of the intervals; the bound holds with it from one side."""
    interval: Interval = "t"
    """Student's t over episodes, or the studentised bootstrap."""
    effort: Effort = Effort()
    """How much fitted Q evaluation may take."""
    cloning: int = 5_000
    """Updates of the cloned behaviour, where there are no propensities."""
    least: float = 10.0
    """Effective episodes below which no importance-weighted estimate is given."""
    floor: float | None = None
    """The least that an episode can return, for the bound; None: what the lowest
    logged reward would come to."""
    seed: int = 0


class Judgement(NamedTuple):
    """What one method says of one policy."""

    method: str
    estimate: Estimate | None
    """The discounted return; of the bound, `low` is what holds. None: refused."""
    episodes: int
    effective: float | None
    """How many equally weighted episodes would say as much; None where none are
    weighted."""
    refused: str = ""
    """Why there is no estimate."""
    notes: tuple[str, ...] = ()
    replicas: Float[np.ndarray, " m"] = np.zeros(0)
    """Numbers whose covariance over policies, judged alike, is that of the estimates'
    errors."""


def judge(
    policy: Policy,
    data: Dataset,
    *,
    methods: Sequence[str] = METHODS,
    question: Question = Question(),
) -> list[Judgement]:
    """What every method says of a policy. Raises `BadConfig` for an unknown method and
    `DataFault` for propensities that are none."""
    check(question)
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    asked = set(methods)
    log: Logged | Refusal | None = None
    seen: Appraisal | Refusal | None = None
    if asked & {*LOG_ALONE, *WITH_MODEL, "bound"}:
        log = attempt(lambda: weigh(policy, data, question))
    if asked & {*WITH_MODEL, "fqe"}:
        seen = attempt(lambda: fitted(policy, data, question))

    def one(method: str) -> Judgement:
        needs = [seen] if method == "fqe" else [log]
        needs += [seen] if method in WITH_MODEL else []
        for found in needs:
            if isinstance(found, Refusal):
                return Judgement(method, None, data.episodes, None, str(found))
        if method == "fqe":
            assert isinstance(seen, Appraisal)
            return by_fitting(seen, data, question)
        assert isinstance(log, Logged)
        if method == "bound":
            return by_bound(log, data, question)
        if method in LOG_ALONE:
            parts = LOG_ALONE[method](log, question.gamma)
        else:
            assert isinstance(seen, Appraisal)
            parts = WITH_MODEL[method](log, modelled(seen, data), question.gamma)
        return by_weighting(method, parts, log, data, question)

    return [one(method) for method in methods]


def check(question: Question) -> None:
    """Raise `BadConfig` for a question that cannot be answered."""
    if not 0 <= question.gamma <= 1:
        raise BadConfig(f"gamma = {question.gamma}: must lie in [0, 1]")
    if not 0 < question.level < 1:
        raise BadConfig(f"level = {question.level}: must lie between 0 and 1")
    effort = question.effort
    if effort.members < 2 or effort.updates < 10:
        raise BadConfig(
            f"members = {effort.members}, updates = {effort.updates}: an interval "
            "needs 2 members and 10 updates at least"
        )


def attempt(f: Callable[[], T]) -> T | Refusal:
    try:
        return f()
    except Refusal as refusal:
        return refusal


def weigh(policy: Policy, data: Dataset, question: Question) -> Logged:
    """The log, weighted for a policy. Raises `Refusal`."""
    likely = likelihoods(policy, data, explore=question.explore, seed=question.seed)
    if data.propensity is None:
        behaved = propensities(
            data, Behaviour(), updates=question.cloning, seed=question.seed
        )
        behaved = np.maximum(behaved, 1e-12)
    else:
        behaved = np.asarray(data.propensity, np.float64)
        wrong = ~(np.isfinite(behaved) & (behaved > 0))
        if not isinstance(data.spec.action, Discrete):
            wrong |= False
        else:
            wrong |= behaved > 1 + 1e-6
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise DataFault(
                f"the propensity of step {at} is {behaved[at]:g}: what was done must "
                "have been possible"
            )
    return logged(data, likely / behaved)


def fitted(policy: Policy, data: Dataset, question: Question) -> Appraisal:
    return appraise(
        policy,
        data,
        gamma=question.gamma,
        explore=question.explore,
        effort=question.effort,
        seed=question.seed,
    )


def modelled(seen: Appraisal, data: Dataset) -> Model:
    """An appraisal as the doubly robust estimators read it."""
    grid = lambda x: side_by_side(x, data.lengths, 0.0)
    return Model(grid(seen.value), grid(seen.after), seen.first)


def by_fitting(seen: Appraisal, data: Dataset, question: Question) -> Judgement:
    """The ensemble's mean, and Student's interval by how far its members differ: each
    is what another dataset, and another training, might have said."""
    members = seen.members
    centre, error = float(members.mean()), float(members.std(ddof=1))
    notes = [f"{len(members)} networks of {question.effort.updates:,} updates"]
    moved = float(seen.curve[-1].mean() - seen.curve[-3].mean())
    if abs(moved) > error:
        notes.append(
            f"still moving, by {moved:.3g} in its last fifth: give it more --updates"
        )
    estimate = around(centre, error, len(members) - 1, question.level)
    return Judgement(
        "fqe", estimate, data.episodes, None, "", tuple(notes), replicas=members
    )


def by_weighting(
    method: str, parts: Parts, log: Logged, data: Dataset, question: Question
) -> Judgement:
    count, n = effective(parts.weight), data.episodes
    why = trouble(parts, count, question)
    if why:
        return Judgement(method, None, n, count, why)
    estimate = interval(parts.parts, question.interval, level=question.level)
    notes = said_of(log, data, beyond=method in WITH_MODEL)
    replicas = parts.parts / math.sqrt(n)
    return Judgement(method, estimate, n, count, "", notes, replicas)


def trouble(parts: Parts, count: float, question: Question) -> str:
    """Why an estimate of such weights is not worth having; empty if it is."""
    weight, n = parts.weight, len(parts.weight)
    if n < 2:
        return "one episode has no interval"
    if not (np.isfinite(weight).all() and np.isfinite(parts.parts).all()):
        return "the weights overflow: the episodes are too long for their product"
    if weight.sum() == 0:
        return "in no episode was done what the policy would do: nothing is shown of it"
    if count < question.least:
        return (
            f"{n} episodes say as much of it as {count:.3g} of its own would, fewer "
            f"than {question.least:g}: the policies differ too much for so few"
        )
    error = float(weight.std(ddof=1)) / math.sqrt(n)
    if abs(weight.mean() - 1) > SURE * error + 1e-6:
        return (
            f"the weights average {weight.mean():.3g} where they should average 1: "
            "the policy does what the log does not show, or the propensities are not "
            "those of who acted"
        )
    return ""


def said_of(log: Logged, data: Dataset, *, beyond: bool) -> tuple[str, ...]:
    """What an importance-weighted estimate rests on."""
    notes = []
    if data.propensity is None:
        notes.append("propensities are cloned: no better than the clone")
    told = "the model says what was to come" if beyond else "no later reward counts"
    cut, n = int((~log.ended).sum()), data.episodes
    if cut:
        notes.append(f"time ran out in {cut:,} of {n:,} episodes: {told}")
    gone = np.flatnonzero(log.weight.sum(axis=0) == 0)
    if len(gone):
        notes.append(
            f"no episode does what the policy would for more than {gone[0]} steps: "
            f"{told}"
        )
    return tuple(notes)


def by_bound(log: Logged, data: Dataset, question: Question) -> Judgement:
    """A lower bound by concentration, however few the episodes."""
    n, gamma = data.episodes, question.gamma
    parts = estimators.trajectory(log, gamma)
    total = log.reward @ estimators.discounts(log, gamma)
    floor = lowest(log, gamma) if question.floor is None else question.floor
    if total.min() < floor - 1e-9 * max(1.0, abs(floor)):
        raise BadConfig(
            f"floor = {floor:g}: an episode of the log returned {total.min():.6g}"
        )
    if n < 4:
        return Judgement("bound", None, n, None, "it needs 4 episodes at least")
    if not np.isfinite(parts.weight).all():
        return Judgement("bound", None, n, 0.0, "the weights overflow")
    gains = parts.weight * (total - floor)
    low = floor + lower_bound(gains, delta=1 - question.level, seed=question.seed)
    notes = list(said_of(log, data, beyond=False))
    if question.floor is None:
        notes.append(f"holds if no episode can return less than {floor:.4g}")
    if data.propensity is None:
        notes.append("a clone gives no guarantee")
    estimate = Estimate(float(parts.parts.mean()), low, math.nan)
    return Judgement("bound", estimate, n, effective(parts.weight), "", tuple(notes))


def lowest(log: Logged, gamma: float) -> float:
    """What the lowest logged reward would come to in the longest episode: where all
    are as long as that, in each step; else in each step or none."""
    worst = float(log.reward[log.alive].min())
    if log.ended.any() or not log.alive.all():
        worst = min(worst, 0.0)
    return worst * float(estimators.discounts(log, gamma).sum())
