"""Runs side by side, in Python and in words, and how many runs a comparison takes."""

import json as jsonlib
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core import BadConfig
from ..engine.run import Run
from ..evidence import (
    compared,
    Difference,
    Estimate,
    holm,
    Interval,
    interval,
    joint,
    paired as paired_difference,
    probability_of_improvement,
    typical,
)
from ..evidence.curves import Curve, draw, SCORES
from ..evidence.planning import power, runs_needed, visible
from .showing import evaluated_curve
from .summary import plain_estimate
from .tables import table


BY = {
    "final": "return of the last evaluation",
    "area": "mean return over the whole curve",
    "best": "return of the best checkpoint, by episodes that did not choose it",
}
CHANCE = 0.8  # with which a difference is to be seen


class Comparison(NamedTuple):
    """Runs side by side, by one score for each seed; all but the first against it."""

    scores: dict[str, np.ndarray]
    """One number per seed."""
    means: dict[str, Interval]
    medians: dict[str, Interval]
    """Of the seeds, by intervals that hold whatever the shape."""
    differences: dict[str, Difference]
    """Mean of each later run minus that of the first: intervals that are all right
    together, and p values that many comparisons do not spoil (Holm)."""
    improvements: dict[str, Estimate]
    """Chance that a seed of the later run beats a seed of the first."""
    curves: dict[str, Curve]


def compare(
    *paths: Run | str | Path,
    plot: str | Path | None = None,
    by: str = "final",
    paired: bool = False,
) -> Comparison:
    """Compare two or more runs; `plot` is a picture to draw. Seeds are the sample:
    the episodes of one seed say nothing of another.

    `by` is what a seed scores: `final`, `area` or `best`. `paired` compares seed by
    seed, which is right where a seed gives both runs something that decides their
    scores. Raises `PeiraError`.
    """
    if len(paths) < 2:
        raise BadConfig("compare needs at least two runs")
    if by not in BY:
        raise BadConfig(f"no score {by!r}; there are {', '.join(BY)}")
    runs = [p if isinstance(p, Run) else Run.open(p) for p in paths]
    if len(played := {str(run.config["env"]) for run in runs}) > 1:
        told = f"these runs are of different environments: {', '.join(sorted(played))}"
        if paired:
            raise BadConfig(f"{told}; their seeds are no pairs")
        warnings.warn(told, stacklevel=2)
    names = distinct([run.path for run in runs])
    found = side_by_side(dict(zip(names, runs, strict=True)), by=by, paired=paired)
    if plot is not None:
        labels = {f"{n} ({len(c.seeds)} seeds)": c for n, c in found.curves.items()}
        draw(labels, Path(plot), title="median over seeds with its 95 % interval")
    return found


def side_by_side(runs: Mapping[str, Run], *, by: str, paired: bool) -> Comparison:
    """Runs and what can be said of them; one alone has no differences."""
    curves = {name: evaluated_curve(run) for name, run in runs.items()}
    scores = {name: SCORES[by](run.evaluations()) for name, run in runs.items()}
    first, *others = scores
    return Comparison(
        scores,
        {n: interval(x) for n, x in scores.items()},
        {n: typical(x) for n, x in scores.items()},
        differences(scores, curves, paired=paired),
        {n: probability_of_improvement(scores[n], scores[first]) for n in others},
        curves,
    )


def differences(
    scores: dict[str, np.ndarray], curves: dict[str, Curve], *, paired: bool
) -> dict[str, Difference]:
    """Each later run against the first."""
    first, *others = scores
    level = joint(0.95, len(others))

    def against(name: str) -> Difference:
        if not paired:
            return compared(scores[name], scores[first], level=level)
        a, b = (
            dict(zip(curves[n].seeds, scores[n], strict=True)) for n in (name, first)
        )
        return paired_difference(a, b, level=level)

    found = [against(name) for name in others]
    raised = holm([one.p for one in found])
    return {
        name: one._replace(p=float(p))
        for name, one, p in zip(others, found, raised, strict=True)
    }


def distinct(paths: list[Path]) -> list[str]:
    """The folders' names, or whole paths where two folders have one name."""
    names = [p.resolve().name for p in paths]
    if len(set(names)) < len(names):
        names = list(map(str, paths))
    if len(set(names)) < len(names):
        raise BadConfig("a run is compared with itself: name each run once")
    return names


def say(found: Comparison, *, by: str, plot: str, json: bool) -> None:
    """Print a comparison, as a table or as JSON."""
    if json:
        print(jsonlib.dumps({"runs": plain(found), "by": by, "plot": plot}))
        return
    table(rows(found))
    first = next(iter(found.scores))
    print(
        f"{BY[by]}, n seeds each; brackets are 95 % intervals over seeds; difference\n"
        f"from {first}, p value if they were equal, probability of improving on it"
    )
    for note in notes(found):
        print(note)
    print(f"drawn in {plot}")


def rows(found: Comparison) -> list[dict[str, Any]]:
    """A comparison as a table, a row for each run."""
    said = []
    for name, scores in found.scores.items():
        row: dict[str, Any] = {"run": name, "n": len(scores)}
        row["mean"] = found.means[name].estimate
        row["median"] = found.medians[name].estimate
        if name in found.differences:
            one = found.differences[name]
            row["difference"] = one.estimate
            row["p"] = "" if math.isnan(one.p) else f"{one.p:.3g}"
            row["improvement"] = found.improvements[name]
            row["it is"] = one.verdict
        said.append(row)
    return said


def notes(found: Comparison) -> list[str]:
    """What else must be known: why an interval is missing, how often those that are
    there cover, and what so many seeds can see."""
    said: dict[str, None] = {}
    for name, one in found.means.items():
        if one.why:
            said[f"{name}: no interval of the mean: {one.why}"] = None
        elif one.coverage:
            least, most = one.coverage
            said[
                f"{name}: intervals of the mean like this one ({one.method}) covered "
                f"{least:.0%} to {most:.0%}, by the shape of the scores"
            ] = None
    for name, one in found.medians.items():
        if one.why:
            said[f"{name}: no interval of the median: {one.why}"] = None
    for name, one in found.differences.items():
        if one.why:
            said[f"{name}: no verdict: {one.why}"] = None
        elif one.verdict == "cannot tell" and (sees := seen(found, name)):
            said[
                f"{name}: so many seeds see a difference of {sees:.4g} or more "
                f"({CHANCE:.0%} of the time)"
            ] = None
    return list(said)


def seen(found: Comparison, name: str) -> float:
    """The least true difference that a comparison like this one shows; 0 where there
    is no spread."""
    first = next(iter(found.scores))
    one, both = found.differences[name], [found.scores[n] for n in (name, first)]
    n, level = min(one.runs), joint(0.95, len(found.differences))
    if one.paired:
        spread = float(np.std(both[0] - both[1], ddof=1))
    else:
        spread = math.sqrt(sum(float(np.var(x, ddof=1)) for x in both) / 2)
    if spread == 0:
        return 0.0
    return visible(spread, n, chance=CHANCE, level=level, paired=one.paired)


def plain(found: Comparison) -> list[dict[str, Any]]:
    """A comparison for JSON."""
    number = lambda x: None if math.isnan(x) else x

    def known(one: Interval) -> dict[str, Any]:
        more = {"method": one.method, "coverage": one.coverage, "why": one.why or None}
        return plain_estimate(one.estimate) | more

    rows = []
    for name, scores in found.scores.items():
        row: dict[str, Any] = {"run": name, "n": len(scores), "scores": [*scores]}
        row |= {"mean": known(found.means[name]), "median": known(found.medians[name])}
        if name in found.differences:
            one = found.differences[name]
            row["difference"] = plain_estimate(one.estimate) | {
                "p": number(one.p),
                "paired": one.paired,
                "verdict": one.verdict,
                "why": one.why or None,
            }
            row["improvement"] = plain_estimate(found.improvements[name])
        rows.append(row)
    return rows


def say_power(
    difference: float,
    spread: float,
    *,
    seeds: int | None,
    chance: float,
    level: float,
    paired: bool,
    json: bool,
) -> None:
    """Print how many seeds see a difference, or what so many see."""
    rule = {"level": level, "paired": paired}
    need = runs_needed(difference, spread, chance=chance, **rule)
    sizes: Sequence[int] = sorted({3, 5, 10, 20, need} | ({seeds} if seeds else set()))
    rows = [
        {
            "seeds of each": n,
            "chance": round(power(difference, spread, n, **rule), 4),
            "sees": visible(spread, n, chance=chance, **rule),
        }
        for n in sizes
    ]
    if json:
        print(jsonlib.dumps({"seeds": need, "table": rows}))
        return
    table(rows)
    print(
        f"{need} seeds of each show a true difference of {difference:g} with a chance "
        f"of {chance:.0%} at least,\nwhere seeds differ by {spread:g} (standard "
        f"deviation{' of the pairs' * paired}) and are about normal; sees: the least\n"
        f"difference that so many show with {chance:.0%}"
    )
