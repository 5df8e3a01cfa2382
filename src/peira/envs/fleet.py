"""Bodies that answer calls, here or in a process each. A fault is an answer too."""

import contextlib
import multiprocessing
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..core import BadConfig, EnvironmentFault
from .body import Body, OpenEnv
from .hosted import Care


START = 600.0  # seconds in which a process must have made its environment
STATM = Path("/proc/self/statm")
Answers = dict[int, Any]  # by environment; a fault where there is no answer


class Here:
    """Bodies in this process."""

    def __init__(self, bodies: Sequence[Body], open_again: Callable[[int], Body]):
        self.bodies, self.open_again = list(bodies), open_again

    def call(self, method: str, args: Mapping[int, tuple]) -> Answers:
        """What each body answers, or its fault."""
        return {
            i: attempt(getattr(self.bodies[i], method), given)
            for i, given in args.items()
        }

    def revive(self, i: int) -> None:
        """Another body in place of one that failed."""
        with contextlib.suppress(Exception):  # it is broken already
            self.bodies[i].close()
        self.bodies[i] = self.open_again(i)

    def close(self) -> None:
        for body in self.bodies:
            body.close()


class Away:
    """Bodies in a process each, answering calls sent through a pipe."""

    def __init__(self, open_env: OpenEnv, name: str, envs: int, care: Care):
        self.open_env, self.name, self.care = open_env, name, care
        self.pipes: dict[int, Connection] = {}
        self.processes: dict[int, Any] = {}
        try:
            for i in range(envs):
                self._start(i)
            for i in range(envs):
                self._ready(i)
        except (EnvironmentFault, BadConfig):
            self.close()
            raise

    def _start(self, i: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, its = context.Pipe()
        given = (its, self.open_env, self.name, i, self.care.memory)
        process = context.Process(target=serve, args=given, daemon=True)
        try:
            process.start()
        except Exception as error:
            raise BadConfig(
                f"{self.name}: another process cannot make it ({error}); give an id or "
                "an importable function"
            ) from None
        its.close()
        self.pipes[i], self.processes[i] = ours, process

    def _ready(self, i: int) -> None:
        answer = self.call("ready", {i: ()}, START)[i]
        if isinstance(answer, EnvironmentFault):
            raise answer

    def call(
        self, method: str, args: Mapping[int, tuple], seconds: float | None = None
    ) -> Answers:
        """As `Here.call`; who does not answer in time is given up."""
        for i, given in args.items():
            with contextlib.suppress(OSError):  # who is dead does not answer
                self.pipes[i].send((method, given))
        answers = {i: self._answer(i, seconds or self.care.patience) for i in args}
        for answer in answers.values():
            if isinstance(answer, BadConfig):
                raise answer
        return answers

    def _answer(self, i: int, seconds: float) -> Any:
        try:
            if self.pipes[i].poll(seconds):
                return self.pipes[i].recv()
            self.processes[i].kill()
            return EnvironmentFault(
                f"{self.name}, environment {i}: no answer for {seconds:g} seconds"
            )
        except (EOFError, OSError):
            self.processes[i].join(timeout=1.0)
            code = self.processes[i].exitcode
            return EnvironmentFault(
                f"{self.name}, environment {i}: its process died (exit code {code})"
            )

    def revive(self, i: int) -> None:
        """As `Here.revive`."""
        self._end(i, patience=0.0)
        self._start(i)
        self._ready(i)

    def _end(self, i: int, *, patience: float) -> None:
        self.pipes[i].close()
        self.processes[i].join(timeout=patience)
        if self.processes[i].is_alive():
            self.processes[i].kill()
            self.processes[i].join()

    def close(self) -> None:
        for pipe in self.pipes.values():
            pipe.close()
        for i in self.pipes:
            self._end(i, patience=5.0)


def attempt(call: Callable[..., Any], args: tuple) -> Any:
    """What a call answers, or the fault in which it ends."""
    try:
        return call(*args)
    except EnvironmentFault as fault:
        return fault


def serve(
    pipe: Connection, open_env: OpenEnv, name: str, index: int, memory: int | None
) -> None:
    """In the process: answer calls until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    body = None
    try:
        while True:
            method, args = pipe.recv()
            try:
                if method == "ready":
                    body = Body(open_env, name, index)
                    pipe.send(None)
                else:
                    answer = getattr(body, method)(*args)
                    pipe.send(answer if slim(memory) else fat(name, index, memory))
            except (EnvironmentFault, BadConfig) as fault:
                pipe.send(type(fault)(str(fault)))
    except (EOFError, OSError):
        pass
    finally:
        if body is not None:
            body.close()


def slim(memory: int | None) -> bool:
    """Whether this process holds no more than so many MiB; on Linux only."""
    if memory is None or not STATM.exists():
        return True
    pages = int(STATM.read_text().split()[1])
    return pages * resource.getpagesize() <= memory * 2**20


def fat(name: str, index: int, memory: int | None) -> EnvironmentFault:
    return EnvironmentFault(
        f"{name}, environment {index}: its process holds more than {memory} MiB"
    )
