"""Learning curves: what each seed earned, and what that says of the mean."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..core import BadConfig
from .intervals import Interval, typical


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Told apart by colour-blind readers too: Okabe & Ito, 2008, Color universal design."""


class Curve(NamedTuple):
    """Mean return of each evaluation, for each seed."""

    seeds: list[int]
    steps: Int[np.ndarray, " time"]
    returns: Float[np.ndarray, "seed time"]
    episodes: int
    """Episodes per evaluation."""


def curve(evaluations: Any) -> Curve:
    """The curve of a run from its table of greedy evaluations, over the steps at which
    every seed has been evaluated."""
    seed, step, earned = greedy(evaluations)
    seeds, steps, cells = by_run(seed, step, earned)
    returns = np.array([[cell.mean() for cell in row] for row in cells])
    return Curve(seeds, np.array(steps), returns, len(cells[0][0]))


def episodes(evaluations: Any) -> Float[np.ndarray, "run time episode"]:
    """Every greedy episode of a run's evaluations, for `chosen_best`; of the shortest
    evaluation so many, where they differ."""
    _, _, cells = by_run(*greedy(evaluations))
    least = min(len(cell) for row in cells for cell in row)
    return np.array([[cell[:least] for cell in row] for row in cells])


def by_run(
    seed: np.ndarray, step: np.ndarray, earned: np.ndarray
) -> tuple[list[int], list[int], list[list[np.ndarray]]]:
    """Seeds, the steps at which all have been evaluated, and the episodes of each."""
    seeds = sorted({int(s) for s in seed})
    steps = sorted(set.intersection(*({*step[seed == s].tolist()} for s in seeds)))
    cells = [[earned[(seed == s) & (step == t)] for t in steps] for s in seeds]
    return seeds, steps, cells


def final(returns: Float[np.ndarray, "run time"]) -> Float[np.ndarray, " run"]:
    """What each run's last evaluation earned."""
    return returns[:, -1]


def best(returns: Float[np.ndarray, "run time"]) -> Float[np.ndarray, " run"]:
    """What each run's highest evaluation earned: too much, because its luck chose it.
    `chosen_best` says what such a choice is worth."""
    return returns.max(axis=1)


def area(
    steps: Int[np.ndarray, " time"], returns: Float[np.ndarray, "run time"]
) -> Float[np.ndarray, " run"]:
    """The mean height of each run's curve over its steps, by trapezoids: the return of
    who learns at once, less what learning took."""
    if len(steps) < 2:
        return returns[:, -1]
    return np.trapezoid(returns, steps, axis=1) / (steps[-1] - steps[0])


def chosen_best(
    returns: Float[np.ndarray, "run time episode"],
) -> Float[np.ndarray, " run"]:
    """What the best checkpoint of each run is worth: one half of the episodes of every
    evaluation chooses it and the other half scores it, and the other way about. Raises
    `BadConfig` for fewer than two episodes."""
    if returns.shape[2] < 2:
        raise BadConfig(
            "the best checkpoint must be chosen by other episodes than score it: "
            "evaluate with two at least (--episodes)"
        )
    halves = returns[..., ::2].mean(axis=2), returns[..., 1::2].mean(axis=2)
    runs = np.arange(len(returns))
    there, back = (
        scored[runs, chose.argmax(axis=1)] for chose, scored in (halves, halves[::-1])
    )
    return (there + back) / 2


SCORES: dict[str, Callable[[Any], Float[np.ndarray, " run"]]] = {
    "final": lambda table: final(curve(table).returns),
    "area": lambda table: area(curve(table).steps, curve(table).returns),
    "best": lambda table: chosen_best(episodes(table)),
    "highest": lambda table: best(curve(table).returns),
}
"""What each run scores, by its table of evaluations."""


def last_episodes(evaluations: Any) -> Float[np.ndarray, " episode"]:
    """What each episode of the last evaluation earned, whichever seed's."""
    _, step, earned = greedy(evaluations)
    return earned[step == step.max()]


def greedy(evaluations: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seed, step and return of every greedy episode."""
    mode = np.asarray(evaluations["mode"].to_pylist()) == "greedy"
    names = ("seed", "step", "return")
    seed, step, earned = (np.asarray(evaluations[n].to_pylist())[mode] for n in names)
    return seed, step, earned


def middles(one: Curve) -> list[Interval]:
    """The median over seeds at each step: its interval holds whatever the shape, and
    scores have odd shapes on their way up."""
    return [typical(scores) for scores in one.returns.T]


def draw(curves: Mapping[str, Curve], path: Path, *, title: str) -> None:
    """Write a picture: for each run the median over seeds, with its 95 % interval where
    they are five or more, and a thin line for every seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for i, (name, one) in enumerate(curves.items()):
        draw_one(axes, one, label=name, colour=COLOURS[i % len(COLOURS)])
    low = min(one.returns.min() for one in curves.values())
    high = max(one.returns.max() for one in curves.values())
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.margins(x=0.01)
    axes.set_title(title, loc="left", fontsize=10, color="#333333")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path)


def draw_one(axes: Any, one: Curve, *, label: str, colour: str) -> None:
    """One run: seeds thin, median thick, its interval as a band."""
    centre, *band = np.array([middle.estimate for middle in middles(one)]).T
    if len(one.seeds) > 1:
        axes.plot(one.steps, one.returns.T, color=colour, alpha=0.35, linewidth=0.7)
        axes.fill_between(one.steps, *band, color=colour, alpha=0.15, linewidth=0)
    mark = "o" if len(one.steps) == 1 else ""
    axes.plot(one.steps, centre, color=colour, linewidth=2, label=label, marker=mark)


def describe(one: Curve) -> str:
    """What stands behind each point of a curve."""
    n = len(one.seeds)
    sure = "" if typical(one.returns[:, 0]).why else " with its 95 % interval"
    seeds = f"median of {n} seeds{sure}" if n > 1 else "one seed"
    return f"{seeds}, {one.episodes} episodes per point"
