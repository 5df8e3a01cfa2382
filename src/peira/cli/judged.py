"""What to say of policies that were judged or chosen."""

import json as jsonlib
import math
from typing import Any

from ..evidence.ope import Judgement
from .choosing import Chosen
from .summary import plain_estimate
from .tables import table


def say_judged(found: dict[int, list[Judgement]], *, path: str, json: bool) -> None:
    """Print judgements, as a table or as JSON."""
    if json:
        rows = [{"seed": k, **plain(j)} for k, said in found.items() for j in said]
        print(jsonlib.dumps(rows))
        return
    rows = [row(k, j) for k, said in found.items() for j in said]
    if len(found) == 1:
        rows = [{k: v for k, v in r.items() if k != "seed"} for r in rows]
    table(rows, title=f"{path}: discounted return, and its interval")
    notes = {
        (j.method, note) for said in found.values() for j in said for note in j.notes
    }
    for method, note in sorted(notes):
        print(f"{method}: {note}")
    for method, why in sorted(
        {(j.method, j.refused) for s in found.values() for j in s}
    ):
        if why:
            print(f"{method} is refused: {why}")


def row(seed: int, said: Judgement) -> dict[str, Any]:
    """One line of the table."""
    told: dict[str, Any] = {"seed": seed, "method": said.method}
    if said.estimate is None:
        told |= {"value": "refused", "interval": ""}
    elif said.method == "bound":
        told |= {"value": f"at least {said.estimate.low:.4g}", "interval": ""}
    else:
        value, low, high = said.estimate
        told |= {"value": f"{value:.4g}", "interval": [low, high]}
    told["episodes"] = said.episodes
    told["effective"] = "" if said.effective is None else f"{said.effective:.1f}"
    return told


def plain(said: Judgement) -> dict[str, Any]:
    """A judgement as JSON, which has no NaN."""
    estimate = said.estimate
    return {
        "method": said.method,
        "estimate": None if estimate is None else plain_estimate(estimate),
        "episodes": said.episodes,
        "effective": said.effective,
        "refused": said.refused or None,
        "notes": list(said.notes),
    }


def say_chosen(found: Chosen, *, json: bool) -> None:
    """Print a choice, as text or as one JSON object."""
    if json:
        print(jsonlib.dumps(chosen_plain(found)))
        return
    table(found.table)
    luck = found.naive.value - found.score.value
    print(f"chosen  {found.winner}")
    print(f"score   {found.score}: {found.what}")
    print(f"naive   {found.naive}: what chose it, {luck:+.3g} for having been chosen")
    spent = f"{found.choosing} episodes chose, {found.scoring} scored"
    fitted = f", {found.updates:,} updates of fitted Q evaluation" * bool(found.updates)
    print(f"cost    {spent}{fitted}, {found.seconds:.0f} s")


def chosen_plain(found: Chosen) -> dict[str, Any]:
    finite = lambda x: None if isinstance(x, float) and not math.isfinite(x) else x
    rows = [
        {
            k: [finite(x) for x in v] if isinstance(v, list) else finite(v)
            for k, v in r.items()
        }
        for r in found.table
    ]
    return {
        "winner": found.winner,
        "score": plain_estimate(found.score),
        "naive": plain_estimate(found.naive),
        "what": found.what,
        "policies": rows,
        "episodes": {"choosing": found.choosing, "scoring": found.scoring},
        "updates": found.updates,
        "seconds": found.seconds,
    }
