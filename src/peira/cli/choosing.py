"""The verbs that judge and choose policies, with a dataset or with few episodes of the
environment, in Python."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core import Algorithm, BadConfig, Policy
from ..data import check, Dataset, read
from ..engine.evaluate import evaluation_seed, evaluator
from ..engine.problem import form, in_words
from ..engine.run import Run
from ..envs import shut
from ..evidence import Estimate, mean, selection
from ..evidence.ope import Effort, judge, Judgement, Question
from ..evidence.ope.intervals import Interval
from .showing import Shelf, shelf


USUAL = ("fqe", "wpdis", "wdr", "bound")
GAMMA = 0.99  # where the algorithm has no discount of its own
CHOICE, SCORE = 1_000_000, 2_000_000  # "steps" of evaluations, shared with no other


def ope(
    policy: Policy | Run | str | Path,
    data: Dataset | str | Path,
    *,
    methods: Sequence[str] = USUAL,
    gamma: float | None = None,
    stochastic: bool = False,
    members: int = Effort().members,
    updates: int = Effort().updates,
    interval: Interval = "t",
    level: float = 0.95,
    floor: float | None = None,
    seed: int = 0,
    algorithm: type[Algorithm] | None = None,
) -> dict[int, list[Judgement]]:
    """What the policy of every seed is worth, `E[Σ γᵗ rₜ]`, by a dataset that another
    has collected: a judgement for each method (`peira.evidence.ope.METHODS`), with its
    interval, or with the reason why there is none.

    `gamma` is the algorithm's own when not given. `stochastic` judges the policy as it
    explores. A `Policy` itself is taken for seed 0. `floor` is the least that an
    episode can return, which the lower bound rests on. Raises `PeiraError`.
    """
    found = opened(data)
    question = Question(
        explore=stochastic,
        level=level,
        interval=interval,
        effort=Effort(members=members, updates=updates),
        floor=floor,
        seed=seed,
    )
    if isinstance(policy, Policy):
        question = question._replace(gamma=GAMMA if gamma is None else gamma)
        return {0: judge(policy, found, methods=methods, question=question)}
    candidates = named([policy], algorithm)
    check_form(candidates, found)
    question = question._replace(gamma=common_gamma(candidates, gamma))
    return {
        one.seed: judge(one.policy, found, methods=methods, question=question)
        for one in candidates
    }


class Candidate(NamedTuple):
    """One of the policies to choose from."""

    name: str
    seed: int
    policy: Policy
    gamma: float
    spec: Any
    shelf: Shelf


class Chosen(NamedTuple):
    """Which policy was chosen, what it is worth, and what the choice has cost."""

    winner: str
    naive: Estimate
    """What chose it says of it: too much, because it was chosen for that."""
    score: Estimate
    """The same, corrected."""
    what: str
    """What the scores are, and how they were corrected."""
    table: list[dict[str, Any]]
    """A row for every policy, the best first."""
    choosing: int
    """Environment episodes that chose."""
    scoring: int
    """Environment episodes that scored the winner, and chose nobody."""
    updates: int
    """Gradient steps of fitted Q evaluation, over all networks and policies."""
    seconds: float


def select(
    *paths: Run | str | Path,
    data: Dataset | str | Path | None = None,
    budget: int = 0,
    env: Any = None,
    method: str = "fqe",
    gamma: float | None = None,
    stochastic: bool = False,
    members: int = Effort().members,
    updates: int = Effort().updates,
    level: float = 0.95,
    seed: int = 0,
    algorithm: type[Algorithm] | None = None,
) -> Chosen:
    """Choose one of all the policies at these paths (every seed of a run is one).

    With a budget of 0 by the dataset alone: the highest estimate of `method`, shrunk by
    what is luck in it. With more, so many episodes of the environment are played, by
    sequential halving; a fifth of them scores the winner, which they did not choose.
    Then the dataset only decides who may race, where the budget is too small for all.
    Raises `PeiraError`.
    """
    started = time.perf_counter()
    candidates = named(paths, algorithm)
    if budget < 0 or (budget == 0 and data is None):
        raise BadConfig("without episodes (--budget 0) a dataset must choose: --data")
    found = None if data is None else opened(data)
    if found is not None:
        check_form(candidates, found)
    effort = Effort(members=members, updates=updates)
    question = Question(explore=stochastic, level=level, effort=effort, seed=seed)
    question = question._replace(gamma=common_gamma(candidates, gamma))
    if budget == 0:
        assert found is not None
        chosen = without(candidates, found, method, question)
    else:
        chosen = with_episodes(candidates, found, method, question, budget, env)
    return chosen._replace(seconds=time.perf_counter() - started)


def opened(data: Dataset | str | Path) -> Dataset:
    return check(data) if isinstance(data, Dataset) else read(data)


def named(paths: Sequence[Any], algorithm: type[Algorithm] | None) -> list[Candidate]:
    """Every policy at these paths, under a name of its own; raises `BadConfig`."""
    found = []
    for path in paths:
        one = shelf(path, algorithm)
        where = str(path.path if isinstance(path, Run) else path).rstrip("/")
        for loaded in one.policies:
            seed = int(loaded.meta.get("seed", 0))
            many = len(one.policies) > 1
            gamma = getattr(loaded.algorithm, "gamma", GAMMA)
            name = f"{where}/seed-{seed}" if many else where
            found.append(Candidate(name, seed, loaded.policy, gamma, loaded.spec, one))
    if not found:
        raise BadConfig("there is nothing to choose from: name a run")
    if len({c.name for c in found}) < len(found):
        raise BadConfig("a policy is named twice: name each once")
    first = found[0]
    for other in found[1:]:
        if form(other.spec) != form(first.spec):
            raise BadConfig(
                f"{first.name} has {in_words(first.spec)}, but {other.name} has "
                f"{in_words(other.spec)}: only like can be compared"
            )
    return found


def check_form(candidates: Sequence[Candidate], data: Dataset) -> None:
    """Raise `BadConfig` for a dataset of another problem."""
    spec = candidates[0].spec
    if form(spec) != form(data.spec):
        raise BadConfig(
            f"the policy is for {in_words(spec)}, but the dataset has "
            f"{in_words(data.spec)}"
        )


def common_gamma(candidates: Sequence[Candidate], asked: float | None) -> float:
    """The discount to judge all by; raises `BadConfig` where they have several."""
    own = {float(c.gamma) for c in candidates}
    if asked is None and len(own) > 1:
        told = ", ".join(f"{g:g}" for g in sorted(own))
        raise BadConfig(f"the policies have discounts {told}: say which one (--gamma)")
    return own.pop() if asked is None else asked


def without(
    candidates: Sequence[Candidate], data: Dataset, method: str, question: Question
) -> Chosen:
    """Choose by the dataset alone."""
    if method == "bound":
        raise BadConfig("a bound has no error to correct by: choose another --method")
    said = [judged(c, data, method, question) for c in candidates]
    good = [i for i, j in enumerate(said) if j.estimate is not None]
    if not good:
        raise BadConfig(f"{method} says nothing of any: {said[0].refused}")
    value = np.array([j.estimate.value for j in said if j.estimate is not None])
    replicas = np.stack([said[i].replicas for i in good])
    choice = selection.shrink(value, replicas, level=question.level)
    order = sorted(
        range(len(said)),
        key=lambda i: -(e.value if (e := said[i].estimate) else -np.inf),
    )
    rows = [row(candidates[i].name, said[i]) for i in order]
    fitted = method in ("fqe", "dr", "wdr")
    effort = question.effort
    return Chosen(
        candidates[good[choice.winner]].name,
        choice.naive,
        choice.corrected,
        f"discounted return (gamma {question.gamma:g}) by {method}; "
        f"{choice.kept:.0%} of the winner's lead over the mean of {len(good)} is kept, "
        "the rest is taken for luck",
        rows,
        0,
        0,
        len(said) * effort.members * effort.updates if fitted else 0,
        0.0,
    )


def judged(one: Candidate, data: Dataset, method: str, question: Question) -> Judgement:
    return judge(one.policy, data, methods=[method], question=question)[0]


def row(name: str, said: Judgement) -> dict[str, Any]:
    """A policy in the table."""
    if said.estimate is None:
        return {"policy": name, "refused": said.refused}
    value, low, high = said.estimate
    return {"policy": name, "value": value, "interval": [low, high]}


def with_episodes(
    candidates: list[Candidate],
    data: Dataset | None,
    method: str,
    question: Question,
    budget: int,
    env: Any,
) -> Chosen:
    """Choose by playing."""
    updates = 0
    may = selection.affordable(len(candidates), budget)
    left_out = []
    if data is not None and 1 <= may < len(candidates):
        shortlist = without(candidates, data, method, question)
        names = [r["policy"] for r in shortlist.table[:may]]
        left_out = shortlist.table[may:]
        updates = shortlist.updates
        candidates = [c for c in candidates if c.name in names]
    choosing, scoring = selection.split(len(candidates), budget)
    world = candidates[0].shelf.make(env, 1 if budget < 10 else 10)
    try:

        def play(i: int, episodes: int, turn: int) -> np.ndarray:
            run = evaluator(world, episodes=episodes, explore=question.explore)
            start = evaluation_seed(question.seed, CHOICE + turn)
            return run(candidates[i].policy, start).returns

        race = selection.halve(play, len(candidates), choosing)
        best = race.order[0]
        scoring = budget - race.spent
        run = evaluator(world, episodes=scoring, explore=question.explore)
        start = evaluation_seed(question.seed, SCORE)
        fresh = run(candidates[best].policy, start).returns
    finally:
        shut(world)
    rows = []
    for i in race.order:
        earned = mean(race.returns[i], level=question.level) if race.spent else None
        told = {"value": earned.value, "interval": [*earned[1:]]} if earned else {}
        played = {"episodes": len(race.returns[i]), "rounds": int(race.rounds[i])}
        rows.append({"policy": candidates[i].name, **told, **played})
    score = mean(fresh, level=question.level)
    naive = mean(race.returns[best], level=question.level) if race.spent else score
    return Chosen(
        candidates[best].name,
        naive,
        score,
        f"return of an episode; scored by {scoring} fresh episodes that chose nobody",
        rows + [{"policy": r["policy"], "left out by": method} for r in left_out],
        race.spent,
        scoring,
        updates,
        0.0,
    )
