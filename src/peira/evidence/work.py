"""One training of many, for whichever process comes to do it."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..core import Algorithm, RunFault
from ..data import read
from ..engine.files import hold
from ..engine.plan import Plan
from ..engine.provenance import code
from ..engine.run import configuration, Run
from ..engine.train import train
from .progress import Pulse


PAUSE = 0.2  # seconds between looks at a run that is held


class Work(NamedTuple):
    """A run of one seed, and where it lies."""

    path: Path
    algorithm: str
    """Its name."""
    learner: Algorithm
    env: str | None
    plan: Plan
    data: Path | None = None
    """Where the dataset lies, if it learns from one."""
    env_kwargs: Mapping[str, Any] = {}

    def __call__(self) -> None:
        """Train, from the beginning or from the last checkpoint, to the end."""
        whole = ("config.toml", "provenance.json")
        again = all((self.path / name).exists() for name in whole)
        data = None if self.data is None else read(self.data)
        if again:
            run = Run.open(self.path)
        else:
            shutil.rmtree(self.path, ignore_errors=True)  # killed before it began
            config = configuration(
                self.algorithm,
                self.env,
                self.learner,
                self.plan,
                env_kwargs=self.env_kwargs,
                data=data and (str(self.data), data.fingerprint()),
            )
            run = Run.create(self.path, config)
        while run.busy:  # the worker of a driver that died saves first
            time.sleep(PAUSE)
            run = Run.open(self.path)
        if not run.done:
            train(
                self.learner,
                self.env,
                self.plan,
                run,
                name=self.algorithm,
                sinks=[Pulse(self.path)],
                env_kwargs=self.env_kwargs,
                data=data,
                resume=again,
            )


def made(run: Run) -> dict[str, Any]:
    """What a row says of how its run was made."""
    born, now = run.born.get("code"), code()
    return {
        "seconds": float(run.born.get("seconds") or 0.0),
        "code": now if born == now else f"{born}, then {now}",
        "versions": run.born["versions"],
        "config": run.config,
    }


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else drives the runs of this folder meanwhile. Raises `RunFault` when
    somebody does."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(path))
        except BlockingIOError:
            raise RunFault(f"{path} is being run by another process") from None
        yield
