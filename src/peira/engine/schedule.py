"""Many jobs: somebody who works them off, and a driver that begins anew what died.

A job is called without arguments, in a process that can import it, and takes up what it
left when it is called again. So a driver needs to remember nothing, a worker may die at
any time, and another machine that sees the same files may be the one to go on.
"""

import abc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core import PeiraError
from ..core.checks import plain_warnings
from .signals import stop_signal


Job = Callable[[], None]
TRIES = 3  # times that a job is begun
BUG = "a bug, or a lack of something; its own words stand above"


class Ended(NamedTuple):
    """A job that is no longer under way."""

    name: str
    fault: str = ""
    """What went wrong; empty where nothing did."""
    died: bool = False
    """Whether its process was killed, so that the same again may go well."""


class Scheduler(abc.ABC):
    """Works jobs off where it has room for them, and says which have ended."""

    @abc.abstractmethod
    def submit(self, name: str, job: Job) -> None:
        """Begin a job, now or when there is room."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since; waits so long at most for the first."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask what is under way to save and end, wait for it, and begin nothing."""


class Here(Scheduler):
    """In this process, one job after the other."""

    def __init__(self):
        self._waiting: dict[str, Job] = {}

    def submit(self, name: str, job: Job) -> None:
        self._waiting[name] = job

    def wait(self, seconds: float) -> list[Ended]:
        name, job = next(iter(self._waiting.items()))
        del self._waiting[name]
        try:
            job()
        except PeiraError as error:
            return [Ended(name, str(error))]
        return [Ended(name)]

    def stop(self) -> None:
        self._waiting.clear()


class Local(Scheduler):
    """Processes of this machine, each on a core of its own: never more than there are
    cores, or than `at_once`."""

    def __init__(self, at_once: int | None = None):
        self._free = cores()[:at_once]
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, tuple[int, Any, Any]] = {}
        self._context = multiprocessing.get_context("spawn")

    def submit(self, name: str, job: Job) -> None:
        self._waiting[name] = job
        self._begin()

    def wait(self, seconds: float) -> list[Ended]:
        processes = [process for _, process, _ in self._running.values()]
        sentinels = [process.sentinel for process in processes]
        ready = set(multiprocessing.connection.wait(sentinels, seconds))
        over = [n for n, (_, p, _) in self._running.items() if p.sentinel in ready]
        found = [self._end(name) for name in over]
        self._begin()
        return found

    def stop(self) -> None:
        self._waiting.clear()
        for _, process, _ in self._running.values():
            process.terminate()
        for name in list(self._running):
            self._end(name)

    def _begin(self) -> None:
        while self._waiting and self._free:
            name, job = next(iter(self._waiting.items()))
            del self._waiting[name]
            core = self._free.pop(0)
            ear, mouth = self._context.Pipe(duplex=False)
            process = self._context.Process(target=work, args=(name, job, core, mouth))
            process.start()
            mouth.close()
            self._running[name] = core, process, ear

    def _end(self, name: str) -> Ended:
        core, process, ear = self._running.pop(name)
        with ear:
            try:
                fault = ear.recv_bytes().decode()
            except EOFError:
                fault = ""
        process.join()
        self._free.append(core)
        code = process.exitcode
        if fault:
            return Ended(name, fault)
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
            return Ended(name, f"its process was {how}", died=True)
        return Ended(name, f"exit code {code}: {BUG}" if code else "")


def cores() -> list[int]:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def work(name: str, job: Job, core: int, mouth: Any) -> None:
    """In a worker: do the job on one core, and say what went wrong."""
    if sys.platform == "linux":  # before JAX counts the cores for its threads
        os.sched_setaffinity(0, {core})
    plain_warnings(f"{name}: ")
    try:
        job()
    except KeyboardInterrupt:
        mouth.send_bytes(b"stopped")
    except PeiraError as error:
        mouth.send_bytes(str(error).encode())


def work_off(
    jobs: Mapping[str, Job],
    scheduler: Scheduler,
    *,
    ended: Callable[[str], None],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Bring every job to its end. `ended` hears the name of each that has come there,
    `look` is called about once a second.

    Raises `KeyboardInterrupt` when asked to stop and all have saved, `PeiraError` with
    what went wrong when the others have ended.
    """
    tries, failed = dict.fromkeys(jobs, 1), []
    with stop_signal() as asked_to_stop:
        try:
            for name, job in jobs.items():
                scheduler.submit(name, job)
            while tries:
                look()
                for one in scheduler.wait(1.0):
                    if stop := asked_to_stop():
                        raise stop
                    if one.died and tries[one.name] < TRIES:
                        tries[one.name] += 1
                        scheduler.submit(one.name, jobs[one.name])
                        continue
                    del tries[one.name]
                    if one.fault:
                        failed.append(f"{one.name}: {one.fault}")
                    else:
                        ended(one.name)
                if stop := asked_to_stop():
                    raise stop
        finally:
            scheduler.stop()
    if failed:
        raise PeiraError("; ".join(failed))
