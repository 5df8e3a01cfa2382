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
    Check("structure", "no step or update changes a shape or dtype", form.structure),
    Check(
        "declared", "says its version and its number of environments", fields.declared
    ),
    Check("explained", "every field has a sentence under it", fields.explained),
    Check(
        "bounded", "every number has a range, and is refused outside", fields.bounded
    ),
    Check("alive", "every field changes something", fields.alive),
    Check("observations", "reads images and Dicts, or refuses them", form.observations),
    Check("keys", "no random key is used twice", form.keys),
    Check("pure", "reads nothing but what it is given", fields.pure),
    Check("repeats", "one seed, the same finite numbers each time", form.repeats),
    Check("reports", "metrics are numbers, surprises one per item", form.reports),
    Check("resumes", "saved and continued is as never stopped", form.resumes),
    Check("seeds", "seeds side by side are as one by one", fields.seeds),
    Check("sweeps", "and so are values of float fields", fields.sweeps, "seeds"),
    Check("spaces", "actions lie in their space", acting.spaces),
    Check("shows", "showing needs no chance", acting.shows),
    Check("explores", "exploring hangs on chance", acting.explores),
    Check("alone", "one actor alone acts as in company", acting.alone),
    Check("memory", "nothing carried shows where an episode opens", acting.memory),
    decides("choice", "takes 1 rather than 0", "choice", rests_on="works"),
    decides("observation", "takes it by what it sees", "observation"),
    decides("termination", "bootstraps through no death", "termination"),
    decides("truncation", "bootstraps through a time limit", "truncation"),
    decides("auto-reset", "takes no next episode for a successor", "auto_reset"),
    decides("delay", "waits three steps for more", "delay"),
    decides("discount", "counts a step later gamma times as much", "patience", "haste"),
    Check("masks", "does nothing illegal, nor hopes for it", deciding.masks, "choice"),
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
