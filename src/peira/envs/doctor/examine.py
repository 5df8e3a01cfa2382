"""The examination: an environment is opened twice, played, and every check is made
that can be made still."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np

from ...core import BadConfig, Env, EnvironmentFault
from ...core.findings import gravest_first
from ..classic import TimeLimit
from ..export import AsGymnasium
from ..gymnasium_env import Made, opening
from ..make import native
from .choices import actions
from .ends import ends
from .findings import Finding, in_words
from .masked import masks
from .patient import Patient
from .play import always, constants, Episode, LONGEST, play, random_play
from .pure import purity
from .repeat import after_others, own_end, same_seed
from .scale import observations, observed, rewarded, Spread, spreads


BY_HAND = 2  # episodes of a world that cannot be compiled: each step takes long


class Examination(NamedTuple):
    """What was found, and what the play that found it earned."""

    env: str
    findings: list[Finding]
    """The gravest first."""
    spreads: list[Spread]
    """Of each entry of an observation, the reward and the length, in random play."""
    returns: dict[str, np.ndarray]
    """Of random play and of the best constant policy, by episode."""
    lengths: dict[str, np.ndarray]
    """As `returns`; an episode of `LONGEST` steps was broken off."""


class Case(NamedTuple):
    """Two instances of what is to be examined."""

    name: str
    pair: tuple[gymnasium.Env, gymnasium.Env]
    limit: int | None
    """The time limit, where one is known."""
    repeats: bool = True
    """Whether playing it again is worth trying."""
    may_raise: bool = True
    """Whether it could refuse a forbidden action at all."""


def examine(
    env: Any,
    *,
    episodes: int = 20,
    seed: int = 0,
    backend: str = "auto",
    kwargs: Mapping[str, Any] | None = None,
) -> Examination:
    """Examine an environment given as to `make`. Episode k of random play has the seed
    `seed + k`, and so has the action space that it is sampled from.

    Raises `BadConfig` for what is no environment; all that an environment does wrong
    is a finding.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = admit(env, backend=backend, kwargs=kwargs or {})
        except BadConfig:
            raise
        except Exception as error:
            return unplayed(name_of(env), [not_made(error)])
        if isinstance(found, Case):
            case, first = found, []
        else:
            stack.enter_context(jax.debug_key_reuse(False))
            pure = purity(found, seed=seed)
            first = pure.findings
            if not pure.plays:
                return unplayed(name_of(env), first)
            if not pure.compiles:
                stack.enter_context(jax.disable_jit())
                episodes = min(episodes, BY_HAND)
            case = of_world(found, name_of(env), repeats=pure.repeats)
        for one in case.pair:
            stack.callback(close, one)
        result = visit(case, episodes=episodes, seed=seed)
        return result._replace(findings=gravest_first([*first, *result.findings]))


def unplayed(name: str, findings: list[Finding]) -> Examination:
    return Examination(name, findings, [], {}, {})


def admit(env: Any, *, backend: str, kwargs: Mapping[str, Any]) -> Env | Case:
    """A world in JAX, or a case of Gymnasium's."""
    ours = backend == "jax" or not kwargs
    world = native(env, backend=backend, ours=ours, kwargs=kwargs)
    if world is not None:
        return world
    open_env, name = opening(env, kwargs)
    first = open_env.example(name) if isinstance(open_env, Made) else open_env()
    if isinstance(first, Env):
        return first
    if isinstance(first, gymnasium.vector.VectorEnv):
        first.close()
        raise BadConfig(f"{name}: a vector environment; examine the one it is made of")
    limit = first.spec.max_episode_steps if first.spec else None
    return Case(name, (first, open_env()), limit)


def of_world(world: Env, name: str, *, repeats: bool) -> Case:
    """A world in JAX as Gymnasium sees it; both instances share compiled programs."""
    one = AsGymnasium(world)
    limit = world.limit if isinstance(world, TimeLimit) else None
    return Case(name, (one, copy.copy(one)), limit, repeats, may_raise=False)


def name_of(env: Any) -> str:
    if isinstance(env, str):
        return env
    return getattr(env, "__qualname__", type(env).__name__)


def close(env: gymnasium.Env) -> None:
    with contextlib.suppress(Exception):
        env.close()


def not_made(error: Exception) -> Finding:
    said = str(error) if isinstance(error, EnvironmentFault) else in_words(error)
    mend = "make it by hand, and mend what raises"
    return Finding("error", "interface", f"it cannot be made: {said}", mend)


def visit(case: Case, *, episodes: int, seed: int) -> Examination:
    """Play, and look at what was played."""
    try:
        a, b = (Patient(env, case.name) for env in case.pair)
    except Exception as error:
        return unplayed(case.name, [no_spaces(error)])
    played = random_play(a, episodes=episodes, seed=seed)
    kept = [e for e in played if e.moments and e.moments[0].obs]
    seen = observations(a, [e for e in kept if e.actions])
    found = [*unbounded(a), *again(case, a, b, kept, seed=seed + episodes)]
    best, others = constant_play(a, episodes=episodes, seed=seed + episodes)
    found += ends(a, played, others, case.limit)
    found += [*observed(a, seen), *rewarded(played)]
    scored = {"random": whole(played)} | best
    filed = (b.filed | a.filed).values()
    return Examination(
        case.name,
        [*filed, *found],
        spreads(a, played, seen),
        {name: np.array([e.earned for e in es]) for name, es in scored.items()},
        {name: np.array([len(e.actions) for e in es]) for name, es in scored.items()},
    )


def no_spaces(error: Exception) -> Finding:
    """Without spaces that we know nothing can be played."""
    if isinstance(error, BadConfig):
        seen, _, mend = str(error).partition("; ")
        return Finding("error", "space", seen, mend)
    mend = "set observation_space and action_space before the first reset"
    return Finding("error", "interface", f"its spaces: {in_words(error)}", mend)


def unbounded(patient: Patient) -> Iterator[Finding]:
    try:
        patient.act.require_bounds("unbounded")
    except BadConfig as error:
        seen, _, mend = str(error).partition(": ")[2].partition("; ")
        yield Finding("error", "action", seen, mend)


def again(
    case: Case, a: Patient, b: Patient, kept: Sequence[Episode], *, seed: int
) -> Iterator[Finding]:
    """All that playing again can show, while what was played comes again: `a` has
    played, `b` has not."""
    if not (case.repeats and kept):
        return
    for check in (same_seed(b, kept), after_others(a, kept[0], seed=seed)):
        if found := list(check):
            yield from found
            return
    yield from own_end(b, kept)
    yield from actions(b, kept)
    yield from masks(b, kept, may_raise=case.may_raise)


def constant_play(
    patient: Patient, *, episodes: int, seed: int
) -> tuple[dict[str, list[Episode]], list[Episode]]:
    """The best constant policy's episodes by its name, and those of the race that it
    won. It is scored on fresh episodes: the winner of a race was also lucky."""
    few = max(2, episodes // 4)

    def repeat(name: str, first: int, n: int) -> list[Episode]:
        patient.how = f", {name}"
        run = lambda s: play(patient, s, always(patient, s, candidates[name])).bare()
        return [run(s) for s in range(first, first + n)]

    candidates = constants(patient)
    race = {name: repeat(name, seed, few) for name in candidates}
    others = [e for es in race.values() for e in es]
    means = {
        name: np.mean([e.earned for e in whole(es)])
        for name, es in race.items()
        if whole(es)
    }
    if not means:
        return {}, others
    best = max(means, key=lambda name: means[name])
    return {best: whole(repeat(best, seed + few, episodes))}, others


def whole(episodes: Sequence[Episode]) -> list[Episode]:
    """Those that count: at their end, or as long as we play, with finite rewards."""
    long = lambda e: e.ended or len(e.actions) == LONGEST
    return [e for e in episodes if long(e) and np.isfinite(e.earned)]
