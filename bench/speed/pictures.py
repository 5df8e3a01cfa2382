"""The pictures of `docs/benchmarks.md`: without a background, in colours and greys that
can be read on a light page and on a dark one."""

from typing import Any

import matplotlib
import numpy as np
from ledger import ROOT
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator, ScalarFormatter
from measured import curves, median, Result
from rows import NAMES


ASSETS = ROOT / "docs" / "assets"
RATIOS, SCALING = "beside_peers.svg", "scaling.svg"
GREY, BLUE, ORANGE = "#808080", "#3B8FD0", "#E0731D"
STYLE = {
    "svg.hashsalt": "peira",  # the same rows make the same file
    "svg.fonttype": "none",
    "font.size": 9,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color"), GREY
    ),
    **dict.fromkeys(("ytick.color", "axes.titlecolor"), GREY),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GREY,
    "grid.alpha": 0.25,
}


def ratios(done: list[Result]) -> None:
    """A line for each peer of each row: the median with its interval, and a tick where
    what is asked begins; grey where nothing is."""
    found = [
        (
            f"{one.row.name}: {NAMES[library]}",
            one.against(one.best(library)),
            target,
        )
        for one in done
        for library, target in one.peers.items()
    ]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 0.8 + 0.28 * len(found)), layout="constrained")
        axes = figure.subplots()
        for y, (_, ratio, target) in enumerate(found):
            colour = GREY
            if target is not None:
                colour = BLUE if ratio.value >= target else ORANGE
            axes.plot([ratio.low, ratio.high], [y, y], color=colour, linewidth=2)
            axes.plot(ratio.value, y, "o", color=colour, markersize=5)
            if target is not None:
                axes.plot(target, y, "|", color=GREY, markersize=13, markeredgewidth=2)
        axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(found)), [label for label, _, _ in found])
        axes.invert_yaxis()
        axes.set_xscale("log")
        plain(axes)
        axes.set_xlabel("times as fast (dot and interval), and what is asked (tick)")
        save(figure, RATIOS)


def scaling(lines: list[dict[str, Any]]) -> None:
    """A small picture for every curve."""
    last = {line["curve"]: line for line in lines}
    rows = -(-len(last) // 2)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 2.4 * rows), layout="constrained")
        every = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes, (name, line) in zip(every, last.items(), strict=False):
            grow(axes, name, line)
        for axes in every[len(last) :]:
            axes.set_axis_off()
        save(figure, SCALING)


def grow(axes: Axes, name: str, line: dict[str, Any]) -> None:
    """Work per second over what is varied, with its interval."""
    found = curves(line)
    for (label, points), colour in zip(found.items(), (BLUE, ORANGE), strict=False):
        x = np.array([*points])
        speed = np.array([median(1 / spent) for spent in points.values()])
        axes.plot(x, speed[:, 0], "o-", color=colour, label=label, markersize=4)
        axes.fill_between(x, speed[:, 1], speed[:, 2], color=colour, alpha=0.25)
    axes.set_xscale("log", base=10 if max(x) > 2_000 else 2)
    axes.set_xticks(x)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylim(bottom=0)
    axes.set_title(name, loc="left", fontsize=9)
    axes.set_xlabel(line["axis"])
    axes.set_ylabel(f"{line['unit']} / s")
    axes.grid(axis="y")
    if len(found) > 1:
        axes.legend(frameon=False, fontsize=8)


def plain(axes: Axes) -> None:
    """Numbers of times as they are said, on a scale of ratios."""
    low, high = axes.get_xlim()
    marks = [0.1, 0.25, 0.5, 1, 2, 4, 10, 25, 50, 100, 250]
    axes.set_xticks([x for x in marks if low <= x <= high])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def save(figure: Figure, name: str) -> None:
    figure.savefig(ASSETS / name, transparent=True, metadata={"Date": None})
