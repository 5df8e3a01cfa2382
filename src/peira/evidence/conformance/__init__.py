"""Whether an algorithm keeps the promises that all of ours keep, and decides rightly
where a mistake would decide wrongly.

Each check is a function from a `Subject` that yields a line for everything it saw
wrong; it holds when there is none.
"""

import functools as ft
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax

from . import acting, deciding, fields, form
from .deciding import decide
from .form import said
from .subject import DoesNotApply, Subject


__all__ = ["CHECKS", "Check", "Finding", "Subject", "examine"]

Verdict: TypeAlias = Literal["holds", "fails", "does not apply"]


class Check(NamedTuple):
    """A check by name; it does not apply where the one that it rests on fails."""

    name: str
    meaning: str
    look: Callable[[Subject], Iterator[str]]
    rests_on: str = "works"


class Finding(NamedTuple):
    """What a check came to; and what it saw go wrong, or why it does not apply."""

    check: str
    meaning: str
    verdict: Verdict
    seen: str


def decides(name: str, meaning: str, *worlds: str, rests_on: str = "choice") -> Check:
    """The check that the better way is taken in some worlds."""
    return Check(name, meaning, ft.partial(decide, names=worlds), rests_on)


CHECKS = (
    Check("works", "begins, acts, keeps and learns", form.works, ""),
    Check("structure", "shapes and dtypes are kept", form.structure),
    Check("declared", "says its version, and how many environments", fields.declared),
    Check("explained", "every field has a sentence", fields.explained),
    Check("bounded", "numbers outside a field's range are refused", fields.bounded),
    Check("alive", "every field changes something", fields.alive),
    Check("observations", "reads images and Dicts, or refuses them", form.observations),
    Check("keys", "no random key is used twice", form.keys),
    Check("pure", "nothing is read but what is given", fields.pure),
    Check("repeats", "same seed, same numbers, all finite", form.repeats),
    Check("reports", "metrics are numbers, surprises one per item", form.reports),
    Check("resumes", "saved and continued is never stopped", form.resumes),
    Check("seeds", "seeds side by side are as one by one", fields.seeds),
    Check("sweeps", "and so are values of float fields", fields.sweeps, "seeds"),
    Check("spaces", "actions lie in their space", acting.spaces),
    Check("shows", "showing needs no chance", acting.shows),
    Check("explores", "exploring does", acting.explores),
    Check("alone", "one actor acts as it does in company", acting.alone),
    Check("memory", "an episode opens with nothing carried over", acting.memory),
    decides("choice", "takes 1, not 0", "choice", rests_on="works"),
    decides("observation", "and by what it sees", "observation"),
    decides("termination", "a death is not bootstrapped through", "termination"),
    decides("truncation", "a time limit is", "truncation"),
    decides("auto-reset", "the next episode is no successor", "auto_reset"),
    decides("delay", "credit goes back three steps", "delay"),
    decides("discount", "one step costs gamma, once", "patience", "haste"),
    Check("masks", "nothing illegal is done, or hoped for", deciding.masks, "choice"),
)


def examine(subject: Subject, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """Checks one after another."""
    failed = set()
    for check in checks:
        verdict, seen = "does not apply", f"it rests on '{check.rests_on}'"
        if check.rests_on not in failed:
            verdict, seen = look(check, subject)
        if verdict == "fails" or check.rests_on in failed:
            failed.add(check.name)
        yield Finding(check.name, check.meaning, verdict, seen)


def look(check: Check, subject: Subject) -> tuple[Verdict, str]:
    """What one check comes to, by itself."""
    try:
        with jax.debug_key_reuse(False):
            seen = list(check.look(subject))
    except DoesNotApply as reason:
        return "does not apply", str(reason)
    except Exception as error:  # whatever a user's code may raise
        return "fails", said(error)
    return ("fails" if seen else "holds"), "; ".join(seen)
