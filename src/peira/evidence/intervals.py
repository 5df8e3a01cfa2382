"""The interval that a number of runs and tasks supports, or why there is none.

Few runs of one task do not show whether they are all of the same kind: where 30 % of
seeds find the trick and 70 % do not, three seeds are all alike in every third
experiment. No interval of a mean is right then, so none is given below `MANY` runs of
one task; more tasks make up for runs, because a mean over many tasks is near normal.
How often each method covers was measured (`bench/coverage.py`) and is said with it.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import betainc

from .aggregates import aggregate, AGGREGATES
from .resampling import bca, studentised
from .scores import matrix
from .statistics import around, contrast, Estimate


MANY = 10  # runs of one task from which on its mean has an interval
TASKS = 5  # tasks from which on three runs of each are enough
CELLS = 20  # runs of all tasks together that are enough with fewer tasks
LEAST = 3  # runs
SKEWED = 2.0  # standard errors of the skewness of normal scores
MEASURED = Path(__file__).parent / "coverage.json"
Runs = Float[np.ndarray, " run"]


class Interval(NamedTuple):
    """An estimate, how its interval was made, and what stands behind it."""

    estimate: Estimate
    """The bounds are NaN where there is none."""
    method: str
    runs: int
    tasks: int
    why: str = ""
    """Why there is no interval."""

    @property
    def coverage(self) -> tuple[float, float] | None:
        """How often intervals of nominally 95 % by this method, of as many runs and
        tasks or the next fewer that were tried, covered the truth: in the worst and
        in the best of the shapes that were tried. None where it was not measured."""
        return measured(self.method, self.runs, self.tasks)

    def __str__(self) -> str:
        return str(self.estimate) if not self.why else f"{self.estimate} ({self.why})"


def interval(
    scores: Any, *, of: str = "mean", level: float = 0.95, target: float = 1.0
) -> Interval:
    """An aggregate of a matrix of runs by tasks (one axis: runs of one task), with the
    interval that these runs support. `of` is one of `AGGREGATES`, `target` the
    optimality gap's. Raises `BadConfig`.

    The mean, and with it the gap, has the t interval of the tasks' means, each with a
    variance of its own, or where scores are skewed the studentised bootstrap's. The
    interquartile mean of many tasks has the t interval of winsorised scores; of few
    tasks it has BCa's, as the median over tasks has, from more runs on.
    """
    found = matrix(scores)
    value = aggregate(found, of, target=target)
    if of == "optimality gap":
        inner = interval(np.minimum(found, target), level=level)
        _, low, high = inner.estimate
        return inner._replace(estimate=Estimate(value, target - high, target - low))
    runs, tasks = found.shape
    if why := too_few(of, runs, tasks):
        return Interval(Estimate(value, math.nan, math.nan), "none", runs, tasks, why)
    if of == "iqm" and tasks >= TASKS:
        return Interval(trimmed(found, level=level), "winsorised t", runs, tasks)
    if of != "mean":
        estimate = bca(AGGREGATES[of], *found.T, level=level)
        return Interval(estimate, "BCa", runs, tasks)
    if abs(skewness(found)) > SKEWED * skewness_error(found.size):
        return Interval(studentised(*found.T, level=level), "studentised", runs, tasks)
    estimate = contrast([1 / tasks] * tasks, *found.T, level=level)
    return Interval(estimate, "t", runs, tasks)


def too_few(of: str, runs: int, tasks: int) -> str:
    """Why so many runs and tasks give an aggregate no interval; empty where they do."""
    need = runs_needed_of(of, tasks)
    if runs >= need:
        return ""
    where = "one task" if tasks == 1 else f"{tasks} tasks"
    name = "" if of == "mean" else f" of the {of}"
    return f"{runs} runs of {where} are too few for an interval{name}; {need} will do"


def runs_needed_of(of: str, tasks: int) -> int:
    """Runs of each task from which on an aggregate has an interval."""
    if of == "iqm":
        return LEAST if tasks >= TASKS else 2 * MANY
    if of == "median":
        return MANY
    return LEAST if tasks >= TASKS else min(MANY, -(-CELLS // tasks))


def skewness(scores: Float[np.ndarray, "run task"]) -> float:
    """Fisher's, of what each run differs from its task's mean by; 0 without spread."""
    rest = scores - scores.mean(axis=0)
    second = float(np.square(rest).mean())
    return float((rest**3).mean()) / second**1.5 if second > 0 else 0.0


def skewness_error(n: int) -> float:
    """The standard error of the skewness of n normal numbers.

    Cramér, 1946, Mathematical methods of statistics, sec. 29.3.
    """
    return math.sqrt(6 * (n - 2) / ((n + 1) * (n + 3))) if n > 2 else math.inf


def trimmed(scores: Float[np.ndarray, "run task"], *, level: float = 0.95) -> Estimate:
    """The interquartile mean with the t interval of the winsorised scores, each task
    with a variance of its own.

    Tukey & McLaughlin, 1963, Less vulnerable confidence and significance procedures for
    location based on a single sample. Sankhyā A 25.
    """
    runs, tasks = scores.shape
    total, ordered = scores.size, np.sort(scores, axis=None)
    cut = total // 4
    kept = ordered[cut : total - cut]
    value, share = float(kept.mean()), len(kept) / total
    if runs < 2:
        return Estimate(value, math.nan, math.nan)
    near = np.clip(scores, kept[0], kept[-1])
    variances = near.var(axis=0, ddof=1) / runs / tasks**2
    variance = float(variances.sum())
    if variance == 0:
        return Estimate(value, value, value)
    freedom = variance**2 / float(np.square(variances).sum()) * (runs - 1)
    lost = max(1.0, freedom * share)  # scores that were cut say nothing of the spread
    return around(value, math.sqrt(variance) / share, lost, level)


def typical(scores: Runs, *, level: float = 0.95) -> Interval:
    """The median over the runs of one task, with an interval between order statistics
    that holds whatever the shape: exact where it ends on scores, interpolated between
    them to the level. Below five runs even all of them span it too rarely.

    Hettmansperger & Sheather, 1986, Confidence intervals based on interpolated order
    statistics. Statistics & Probability Letters 4.
    """
    ordered = np.sort(matrix(scores)[:, 0])
    n, value = len(ordered), float(np.median(ordered))
    if (all_of := span(n, 1)) < level - 0.015:
        why = (
            f"{n} runs: even all of them span the median only {all_of:.0%} of the time"
        )
        return Interval(Estimate(value, math.nan, math.nan), "none", n, 1, why)
    k = max((k for k in range(1, n // 2 + 1) if span(n, k) >= level), default=1)
    low, high = ordered[k - 1], ordered[n - k]
    if span(n, k) > level and k < n // 2 + n % 2:
        outer, inner = span(n, k), span(n, k + 1)
        part = (outer - level) / (outer - inner)
        bent = (n - k) * part / (k + (n - 2 * k) * part)
        low = (1 - bent) * low + bent * ordered[k]
        high = (1 - bent) * high + bent * ordered[n - k - 1]
    return Interval(Estimate(value, float(low), float(high)), "order", n, 1)


def span(n: int, k: int) -> float:
    """How often the k-th lowest and the k-th highest of n scores enclose the median."""
    return float(1 - 2 * betainc(n - k + 1, k, 0.5)) if 2 * k <= n + 1 else 0.0


def measured(method: str, runs: int, tasks: int) -> tuple[float, float] | None:
    """The least and the highest measured coverage over shapes."""
    rows = [row for row in json.loads(MEASURED.read_text()) if row["method"] == method]
    near = [row for row in rows if row["tasks"] <= tasks and row["runs"] <= runs]
    if not near:
        return None
    found = max(near, key=lambda row: (row["tasks"], row["runs"]))
    return found["least"], found["most"]
