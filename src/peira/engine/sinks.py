"""Where to watch a training: on the terminal, as lines, in a tracker's pages.

Nothing here is the record of a run; that is the run's folder.
"""

import abc
import importlib
import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress as Bar,
    TextColumn,
    TimeRemainingColumn,
)

from ..core import BadConfig, unknown


class Sink(abc.ABC):
    """Hears what happens in a training."""

    @abc.abstractmethod
    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        """Training begins, of so many steps for each seed."""

    @abc.abstractmethod
    def log(self, seed: int, step: int, values: dict[str, float]) -> None: ...

    @abc.abstractmethod
    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        """The returns of the episodes of one evaluation."""

    @abc.abstractmethod
    def close(self) -> None: ...


class Progress(Sink):
    """A live bar: steps, rate, time left, return over the seeds, and as many more
    numbers as there is room for."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._width = max(10, self._console.width // 6)
        self._bar = Bar(
            BarColumn(bar_width=self._width),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[news]}"),
            console=self._console,
        )
        self._steps: dict[int, int] = {}
        self._values: dict[int, dict[str, float]] = {}

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        self._console.print(title(config, seeds, steps), highlight=False)
        self._bar.add_task("", total=steps * len(seeds), rate="", news="")
        self._bar.start()

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        self._steps[seed] = step
        self._values[seed] = self._values.get(seed, {}) | values
        (task,) = self._bar.tasks
        rate = f"{task.speed:,.0f}/s" if task.speed else ""
        counts = f"{task.total:,.0f}"
        taken = [self._width, 2 * len(counts) + 1, len(rate), len("0:00:00")]
        room = self._console.width - sum(taken) - len(taken)
        self._bar.update(
            task.id,
            completed=sum(self._steps.values()),
            rate=rate,
            news=news(self._values.values(), room=room),
        )

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        self._values.setdefault(seed, {})["evaluation"] = float(np.mean(returns))

    def close(self) -> None:
        self._bar.stop()


def title(config: dict, seeds: list[int], steps: int) -> str:
    many = "seeds" if len(seeds) > 1 else "seed"
    what = f"{config['algorithm']} on {config['env'] or 'a dataset'}"
    return f"{what}: {steps:,} steps, {len(seeds)} {many}"


def news(values: Iterable[dict[str, float]], room: float = math.inf) -> str:
    """Returns and losses, as many as fit into the room: means, and for returns the
    spread where there are several seeds."""
    values = list(values)
    names = dict.fromkeys(k for row in values for k in row)
    returns = [name for name in ("return", "evaluation") if name in names]
    line = ""
    for name in [*returns, *(k for k in names if k.endswith("loss"))]:
        numbers = [row[name] for row in values if name in row]
        text = spread(numbers) if name in returns else short(np.mean(numbers), 4)
        longer = f"{line}  {name} {text}".strip()
        if len(longer) > room:
            break
        line = longer
    return line


def spread(numbers: list[float]) -> str:
    """The mean of some seeds, and their standard deviation."""
    mean, n = short(np.mean(numbers), 4), len(numbers)
    return f"{mean} ± {short(np.std(numbers, ddof=1), 2)} (n={n})" if n > 1 else mean


def short(number: Any, digits: int) -> str:
    """So many digits that matter, and whole numbers in full."""
    return f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"


class Lines(Sink):
    """Plain text for a log file: one line per evaluation."""

    def __init__(self, file: Any = None):
        self._file = file or sys.stderr
        self._latest: dict[int, dict[str, float]] = {}
        self._steps = 0

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        self._steps = steps
        self._say(title(config, seeds, steps))

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        self._latest[seed] = self._latest.get(seed, {}) | values

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        now = {"evaluation": float(np.mean(returns))} | self._latest.get(seed, {})
        share = f"{100 * step // self._steps:3d} %"
        self._say(f"{share}  step {step:,}  seed {seed}  {news([now])}")

    def close(self) -> None:
        """Nothing to close."""

    def _say(self, line: str) -> None:
        print(line, file=self._file, flush=True)


class JsonLines(Sink):
    """One JSON object per line on standard output, for programs."""

    def __init__(self, file: Any = None):
        self._file = file or sys.stdout

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        self._say(event="start", config=config, seeds=seeds, steps=steps)

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        self._say(event="log", seed=seed, step=step, values=values)

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        numbers = np.asarray(returns, float).tolist()
        self._say(event="evaluated", seed=seed, step=step, returns=numbers)

    def close(self) -> None:
        self._say(event="end")

    def _say(self, **what: Any) -> None:
        print(json.dumps(what), file=self._file, flush=True)


class TensorBoard(Sink):
    """Event files in the run's folder, one set for each seed."""

    def __init__(self, path: Path):
        self._path = path / "tensorboard"
        self._writers: dict[int, Any] = {}

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        writer = optional("tensorboardX", "tensorboardX").SummaryWriter
        for k in seeds:
            self._writers[k] = writer(str(self._path / f"seed-{k}"))

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writers[seed].add_scalar(name, value, step)

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        self._writers[seed].add_scalar("evaluation", float(np.mean(returns)), step)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class WandB(Sink):
    """A run at Weights & Biases; seeds are prefixes, each with its own steps."""

    def __init__(self, path: Path):
        self._path = path
        self._wandb = optional("wandb", "peira[wandb]")

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        self._run = self._wandb.init(
            project="peira", name=self._path.name, dir=str(self._path), config=config
        )
        for k in seeds:
            self._run.define_metric(f"seed-{k}/*", step_metric=f"seed-{k}/step")

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        row = {"step": step} | values
        self._run.log({f"seed-{seed}/{k}": v for k, v in row.items()})

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        self.log(seed, step, {"evaluation": float(np.mean(returns))})

    def close(self) -> None:
        self._run.finish()


class MLflow(Sink):
    """A run in MLflow's tracking store; seeds are prefixes."""

    def __init__(self, path: Path):
        self._path = path
        self._mlflow = optional("mlflow", "peira[mlflow]")

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        self._mlflow.set_experiment("peira")
        self._mlflow.start_run(run_name=self._path.name)
        self._mlflow.log_params(
            {"algorithm": config["algorithm"], "env": config["env"]} | config["hyper"]
        )

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        row = {f"seed-{seed}/{k}": v for k, v in values.items()}
        self._mlflow.log_metrics(row, step=step)

    def evaluated(self, seed: int, step: int, returns: np.ndarray) -> None:
        self.log(seed, step, {"evaluation": float(np.mean(returns))})

    def close(self) -> None:
        self._mlflow.end_run()


def optional(module: str, package: str) -> Any:
    """A module that not everyone has; raises `BadConfig` saying how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise BadConfig(f"{module} is not installed: pip install '{package}'") from None


SINKS: dict[str, Callable[[Path], Sink]] = {
    "progress": lambda _: Progress(),
    "lines": lambda _: Lines(),
    "json": lambda _: JsonLines(),
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}


def make_sink(name: str, run_path: Path) -> Sink:
    """A sink by its name; raises `BadConfig` for one that is unknown or not there."""
    if name not in SINKS:
        raise unknown("sink", name, SINKS)
    return SINKS[name](run_path)
