"""Checks of what learning promises: its form, its randomness, that it repeats.

A check yields a line for everything it saw wrong, with numbers.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...core import actors, PeiraError, Sample
from ...engine.arrays import named
from ...engine.loop import act
from .made_up import instant, kinds, NUMBERS, same
from .subject import DoesNotApply, Subject


def said(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def works(subject: Subject) -> Iterator[str]:
    for problem, spec in subject.problems.items():
        refusal = subject.trace(problem).refusal
        if refusal and spec.obs is NUMBERS and not spec.masked:
            yield f"{problem}: {said(refusal)}"


def structure(subject: Subject) -> Iterator[str]:
    yield from carried(subject, subject.main)
    for problem in subject.working:
        before, after = subject.trace(problem)[:2]
        if kinds(before) != kinds(after):
            yield f"{problem}: an update turns {change(before, after)}"
        for name, x in named(before).items():
            if getattr(x, "weak_type", False):
                yield f"{problem}: {name} has no dtype of its own; give it one"


def carried(subject: Subject, problem: str) -> Iterator[str]:
    """Whether a step changes the form of what is carried."""
    algorithm, spec = subject.small, subject.problems[problem]

    def carries(key: Any) -> Any:
        policy = algorithm.policy(algorithm.init(spec, key=key))
        old, t = actors(policy, 2), instant(spec, 2, key=key)
        return old, act(policy, old, t, key=key, explore=True)[1]

    with jax.debug_key_reuse(False):
        old, new = jax.eval_shape(carries, jr.key(0))
    if kinds(old) != kinds(new):
        yield f"{problem}: a step turns the carry's {change(old, new)}"


def change(before: Any, after: Any) -> str:
    """The first leaf that is not what it was."""
    old, new = (
        {name: f"{x.dtype}{list(x.shape)}" for name, x in named(tree).items()}
        for tree in (before, after)
    )
    for name in [*old, *new]:
        was, became = old.get(name, "nothing"), new.get(name, "nothing")
        if was != became:
            return f"{name} from {was} into {became}"
    return "what is no array, or the strength of a type, into something else"


def observations(subject: Subject) -> Iterator[str]:
    others = [p for p, spec in subject.problems.items() if spec.obs is not NUMBERS]
    refusals = {p: e for p in others if (e := subject.trace(p).refusal)}
    for problem, error in refusals.items():
        if not isinstance(error, PeiraError):
            yield f"{problem}: {said(error)} (raise a PeiraError to refuse it)"
    ours = [error for error in refusals.values() if isinstance(error, PeiraError)]
    if len(ours) == len(others):
        raise DoesNotApply(f"refused: {ours[0]}" if ours else "there are none for it")


def keys(subject: Subject) -> Iterator[str]:
    for problem in subject.working:
        if reuse := subject.trace(problem).reuse:
            yield f"{problem}: {reuse}"


def repeats(subject: Subject) -> Iterator[str]:
    life, (_, report) = last = subject.history(1)
    for name, x in named({"state": life.state, "metrics": report.metrics}).items():
        if not np.isfinite(np.asarray(x)).all():
            yield f"{name} is not finite after some rounds"
    if not same(last, subject.live(1)):
        yield "the same seed gave other numbers the second time"
    if same(life.state, subject.history(2)[0].state):
        yield "two seeds gave the same numbers"


def reports(subject: Subject) -> Iterator[str]:
    _, (batch, report) = subject.history(1)
    for name, x in report.metrics.items():
        if np.shape(x) != ():
            yield f"{name} is {list(np.shape(x))}, not one number"
    if not isinstance(batch, Sample) or report.surprise is None:
        return
    surprise, wanted = np.asarray(report.surprise), batch.weight.shape
    if surprise.shape != wanted:
        yield f"the surprise is {list(surprise.shape)}, of {list(wanted)} items"
    elif surprise.min() < 0:
        yield f"a surprise is {surprise.min():.3g}, less than 0"
    elif surprise.std() == 0:
        yield f"every item has the same surprise, {surprise[0]:.3g}"


def resumes(subject: Subject) -> Iterator[str]:
    _, advance = subject.programs(subject.main)
    middle, _ = subject.history(1)
    shelf = [np.array(x) for x in jax.tree.leaves(middle)]  # all that a file can hold
    again = jax.tree.unflatten(jax.tree.structure(middle), map(jnp.asarray, shelf))
    if kinds(again) != kinds(middle):
        yield f"being saved turns {change(middle, again)}"
        return
    with subject.strict:
        if not same(advance(middle, jr.key(2)), advance(again, jr.key(2))):
            yield "the round after it was saved and loaded gave other numbers"
