"""Learning curves for the page: numbers as JSON, which the page's script draws."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..curves import COLOURS, Curve, middles
from .html import Html, join, listed, tag


class Chart(NamedTuple):
    """Curves that have their axes in common."""

    title: str
    curves: Mapping[str, Curve]
    axis: str
    """What a step is."""

    def draw(self) -> Html:
        """The place of the chart, its numbers, and what must be known of them."""
        lines = [line(name, one) for name, one in self.curves.items()]
        for one, colour in zip(lines, COLOURS * len(lines), strict=False):
            one["colour"] = colour
        numbers = in_script({"axis": self.axis, "curves": lines})
        box = tag("input", type="checkbox", checked="", class_="seeds")
        return tag(
            "figure",
            tag("figcaption", tag("strong", self.title), tag("label", box, " seeds")),
            tag("div", class_="chart", role="img", aria_label=self.told()),
            Html(f'<script type="application/json">{numbers}</script>'),
            listed([f"{one['name']}: {one['note']}" for one in lines]),
        )

    def told(self) -> str:
        """The chart for who does not see it."""
        ends = (
            f"{name}: {np.median(one.returns[:, -1]):.4g}"
            for name, one in self.curves.items()
        )
        return f"Return over {self.axis}; median at the end: {', '.join(ends)}"


def line(name: str, one: Curve) -> dict[str, Any]:
    """One curve: every seed, their median, and its interval at each step; none where
    the seeds are too few."""
    found = middles(one)
    why = next((f.why for f in found if f.why), "")
    n = len(one.seeds)
    behind = f"{n} seeds" if n > 1 else "one seed"
    told = why if why else "band: the median's 95 % interval, step by step"
    plural = "s" * (one.episodes != 1)
    return {
        "name": name,
        "seeds": one.seeds,
        "steps": one.steps.tolist(),
        "returns": one.returns.tolist(),
        "middle": [f.estimate.value for f in found],
        "low": None if why else [f.estimate.low for f in found],
        "high": None if why else [f.estimate.high for f in found],
        "note": f"{behind}, {one.episodes} episode{plural} per point; {told}",
    }


def in_script(value: Any) -> str:
    """JSON that no reader of HTML takes for markup. What is not finite is null."""
    text = json.dumps(finite(value), allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    bad = isinstance(value, float) and not abs(value) < float("inf")
    return None if bad else value


def charts(drawn: list[Chart]) -> Html:
    return join(*(chart.draw() for chart in drawn))
