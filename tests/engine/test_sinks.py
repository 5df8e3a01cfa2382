"""Sinks: each says the numbers it was told, once."""

import io
import json
import sys
import types

import numpy as np
import pytest
from rich.console import Console

from peira.core import BadConfig
from peira.engine import sinks
from peira.engine.sinks import JsonLines, Lines, make_sink, Progress, spread


CONFIG = {"algorithm": "sac", "env": "Pendulum-v1", "hyper": {"tau": 0.5}}


def tell(sink) -> None:
    sink.start(CONFIG, [0, 7], 100)
    for seed in (0, 7):
        sink.log(seed, 50, {"return": 10.0 + seed, "critic_loss": 0.25})
        sink.evaluated(seed, 50, np.array([1.0, 3.0]))
        sink.log(seed, 100, {"critic_loss": 0.125})
    sink.close()


def test_json_lines_are_all_that_was_said():
    out = io.StringIO()
    tell(JsonLines(out))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert events[0] == {
        "event": "start",
        "config": CONFIG,
        "seeds": [0, 7],
        "steps": 100,
    }
    values = {"return": 17.0, "critic_loss": 0.25}
    assert {"event": "log", "seed": 7, "step": 50, "values": values} in events
    told = {"event": "evaluated", "seed": 0, "step": 50, "returns": [1.0, 3.0]}
    assert told in events
    assert [e["event"] for e in events].count("log") == 4
    assert events[-1] == {"event": "end"}


def test_lines_are_one_per_evaluation():
    out = io.StringIO()
    tell(Lines(out))
    first, *rest = out.getvalue().splitlines()
    assert first == "sac on Pendulum-v1: 100 steps, 2 seeds"
    assert rest == [
        " 50 %  step 50  seed 0  return 10  evaluation 2  critic_loss 0.25",
        " 50 %  step 50  seed 7  return 17  evaluation 2  critic_loss 0.25",
    ]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (50, ""),
        (80, "return 13.5 ± 4.9 (n=2)"),
        (120, "return 13.5 ± 4.9 (n=2)  evaluation 2 ± 0 (n=2)  critic_loss 0.125"),
    ],
)
def test_progress_is_one_line_with_what_fits(width, shown):
    console = Console(width=width, record=True, file=io.StringIO())
    sink = Progress(console)
    tell(sink)
    first, *_, bar = console.export_text().strip().splitlines()
    assert first == "sac on Pendulum-v1: 100 steps, 2 seeds"
    assert bar.startswith("━" * max(10, width // 6) + " 200/200 ")
    assert bar.rstrip().endswith(shown or "0:00:00")
    assert "…" not in bar


def test_spread_is_the_deviation_of_a_sample():
    assert spread([1.0, 3.0]) == "2 ± 1.4 (n=2)"
    assert spread([1.0]) == "1"
    assert spread([12345.0, 12545.0]) == "12445 ± 141 (n=2)"


def test_tensorboard_keeps_each_seed_apart(tmp_path):
    tell(make_sink("tensorboard", tmp_path))
    for seed in (0, 7):
        (file,) = (tmp_path / "tensorboard" / f"seed-{seed}").iterdir()
        data = file.read_bytes()
        assert b"critic_loss" in data
        assert b"evaluation" in data


class Told:
    """Stands in for a module or an object of a tracker, and remembers its calls."""

    def __init__(self, calls):
        self.calls = calls

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self

        return call


@pytest.mark.parametrize(
    ("name", "begin", "log", "end"),
    [
        ("wandb", "init", "log", "finish"),
        ("mlflow", "start_run", "log_metrics", "end_run"),
    ],
)
def test_trackers_get_every_number(monkeypatch, tmp_path, name, begin, log, end):
    calls: list = []
    module = types.ModuleType(name)
    module.__getattr__ = Told(calls).__getattr__  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, name, module)
    tell(make_sink(name, tmp_path / "run"))
    names = [call for call, _, _ in calls]
    assert begin in names
    assert names[-1] == end
    rows = [args[0] for call, args, _ in calls if call == log]
    assert len(rows) == 6
    assert any(row.get("seed-7/return") == 17.0 for row in rows)
    assert any(row.get("seed-0/evaluation") == 2.0 for row in rows)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_tracker_says_how_to_get_it(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadConfig, match=rf"pip install 'peira\[{name}\]'"):
        make_sink(name, tmp_path)


def test_an_unknown_sink_has_suggestions(tmp_path):
    with pytest.raises(BadConfig, match="did you mean lines"):
        make_sink("line", tmp_path)
    for name in ("progress", "lines", "json"):
        assert isinstance(make_sink(name, tmp_path), sinks.Sink)
