"""Who says which setting is tried next, and whether a trial is worth its end.

A sweep that is stopped goes on as one that never was: what is asked depends on the
number of the trial and on the rounds before its own, never on what ended first.
"""

import abc
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...core import RunFault
from ...engine.fields import plain
from ...engine.files import write_file
from ...engine.sinks import optional
from .sweep import Axis, grid, Setting, Sweep


JOURNAL = "optuna.jsonl"


class Proposer(abc.ABC):
    """Asked for a setting, and told its score."""

    @abc.abstractmethod
    def ask(self, number: int) -> Setting:
        """The setting of a trial; the same whenever it is asked again."""

    @abc.abstractmethod
    def worthless(self, number: int, evaluations: Mapping[int, float]) -> bool:
        """Whether a trial is to end, by its mean return at each step so far."""

    @abc.abstractmethod
    def tell(self, number: int, score: float | None) -> None:
        """What came of a trial; None where it did not come to its end."""


class Listed(Proposer):
    """A list that was made before the first run."""

    def __init__(self, sweep: Sweep):
        self._settings = grid(sweep.axes, sweep.trials, sweep.draw)

    def ask(self, number: int) -> Setting:
        return self._settings[number]

    def worthless(self, number: int, evaluations: Mapping[int, float]) -> bool:
        return False

    def tell(self, number: int, score: float | None) -> None:
        """Nobody learns from it."""


class Optuna(Proposer):
    """A sampler and a pruner of Optuna, which keeps its trials in a journal of JSON in
    the sweep's folder. Raises `PeiraError` where there is no Optuna, or no journal."""

    def __init__(self, sweep: Sweep, folder: Path):
        self._optuna = optuna = library()
        self._sweep = sweep
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        file = folder / JOURNAL
        drop_half_a_line(file)
        # Whoever drives a sweep holds its folder. A second lock would only be left
        # behind by a driver that is killed, and waited for.
        lock: Any = SimpleNamespace(acquire=lambda: True, release=lambda: None)
        pruners = optuna.pruners
        kinds = {"none": pruners.NopPruner, "median": pruners.MedianPruner}
        try:
            backend = optuna.storages.journal.JournalFileBackend(str(file), lock)
            self._study = optuna.create_study(
                study_name="sweep",
                storage=optuna.storages.JournalStorage(backend),
                direction="maximize",
                pruner=kinds[sweep.prune](),
                load_if_exists=True,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFault(f"{file} cannot be used by Optuna: {error}") from None

    def ask(self, number: int) -> Setting:
        self._study.sampler = self._sampler(number)
        if number < len(self._study.get_trials(deepcopy=False)):
            trial = self._trial(number)
        else:
            trial = self._study.ask()
        return {n: suggested(trial, n, axis) for n, axis in self._sweep.axes.items()}

    def worthless(self, number: int, evaluations: Mapping[int, float]) -> bool:
        known = self._study.get_trials(deepcopy=False)[number]
        if known.state.is_finished():  # others have come since: it stays as it was
            return False
        trial, before = self._trial(number), known.intermediate_values
        if before and trial.should_prune():
            return True
        for step in sorted(evaluations.keys() - before.keys()):
            trial.report(evaluations[step], step)
            if trial.should_prune():
                return True
        return False

    def tell(self, number: int, score: float | None) -> None:
        # What diverged is told as what was pruned: known to be bad, and not unknown.
        pruned = self._optuna.trial.TrialState.PRUNED
        state = pruned if score is None else None
        self._study.tell(number, score, state=state, skip_if_finished=True)

    def _trial(self, number: int) -> Any:
        """One that was asked for: perhaps only in part, by a driver that was killed."""
        frozen = self._study.get_trials(deepcopy=False)[number]
        return self._optuna.trial.Trial(self._study, frozen._trial_id)

    def _sampler(self, number: int) -> Any:
        drawn = np.random.SeedSequence([self._sweep.draw, number]).generate_state(1)
        seed = int(drawn[0])
        if self._sweep.method == "random":
            return self._optuna.samplers.RandomSampler(seed=seed)
        return self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def library() -> Any:
    """Optuna. Raises `BadConfig` where it is not installed."""
    return optional("optuna", "peira[optuna]")


def proposer(sweep: Sweep, folder: Path) -> Proposer:
    return Listed(sweep) if sweep.method == "grid" else Optuna(sweep, folder)


def suggested(trial: Any, name: str, axis: Axis) -> Any:
    """A value for one field. Choices have a name, because Optuna takes no lists."""
    if axis.low is None:
        return json.loads(
            trial.suggest_categorical(
                name, [json.dumps(x) for x in plain(axis.choices)]
            )
        )
    kinds = {int: trial.suggest_int, float: trial.suggest_float}
    return kinds[type(axis.low)](name, axis.low, axis.high, log=axis.log)


def drop_half_a_line(file: Path) -> None:
    """Forget what a killed driver did not write to its end."""
    said = file.read_bytes() if file.exists() else b""
    if not said.endswith(b"\n") and said:
        write_file(file, said[: said.rfind(b"\n") + 1])
