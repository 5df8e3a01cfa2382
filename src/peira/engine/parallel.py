"""Seeds of a host environment: a process each, as many at once as there are cores."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

from ..core import BadConfig, PeiraError
from ..core.checks import plain_warnings
from .sinks import Sink


DIED = (
    "its process died; its own words stand above, and a script must train under "
    "`if __name__ == '__main__':`; exit code"
)


def orphaned() -> bool:
    """Whether this process has outlived the one that started it."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


class Forward(Sink):
    """Sends what happens in a child process to the parent's sinks."""

    def __init__(self, queue: Any):
        self.queue = queue

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        """The parent has started its sinks already."""

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        self._put("log", seed, step, dict(values))

    def evaluated(self, seed: int, step: int, returns: Any) -> None:
        self._put("evaluated", seed, step, returns)

    def close(self) -> None:
        """The parent closes its sinks itself."""

    def ended(self, seed: int, how: str | None = None, why: str | None = None) -> None:
        self._put("ended", seed, how, why)

    def _put(self, *what: Any) -> None:
        if not orphaned():  # nobody listens
            self.queue.put(what)


def work(each: Callable[[int, Sink], None], seed: int, queue: Any) -> None:
    """In the child: train, and say how it ended."""
    plain_warnings(f"seed {seed}: ")
    sink = Forward(queue)
    try:
        each(seed, sink)
        sink.ended(seed)
    except KeyboardInterrupt:
        sink.ended(seed, "stopped")
    except PeiraError as error:
        sink.ended(seed, "failed", str(error))


def side_by_side(
    each: Callable[[int, Sink], None],
    seeds: Sequence[int],
    sinks: Sequence[Sink],
    asked_to_stop: Callable[[], type[KeyboardInterrupt] | None],
) -> None:
    """Call `each(seed, sink)` for every seed, each in a fresh process.

    Raises `KeyboardInterrupt` when asked to stop and every seed has, `PeiraError` with
    what went wrong when the others have ended.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    waiting, running = list(seeds), {}
    stopped, failed = False, []
    try:
        while waiting or running:
            if asked_to_stop() and not stopped:
                stopped = True
                waiting.clear()
                for child in running.values():
                    child.terminate()  # it saves first
            while waiting and len(running) < (os.cpu_count() or 1):
                seed = waiting.pop(0)
                running[seed] = launch(context, each, seed, queue)
            try:
                kind, seed, *said = queue.get(timeout=1.0)
            except Empty:
                died = [s for s, p in running.items() if p.exitcode not in (None, 0)]
                for seed in died:
                    code = running.pop(seed).exitcode
                    failed += [] if stopped else [f"seed {seed}: {DIED} {code}"]
                continue
            for sink in sinks:
                if kind != "ended":
                    getattr(sink, kind)(seed, *said)
            if kind == "ended":
                running.pop(seed).join()
                how, why = said
                stopped |= how == "stopped"
                failed += [f"seed {seed}: {why}"] if how == "failed" else []
    finally:
        for child in running.values():
            child.terminate()
    if failed:
        raise PeiraError("; ".join(failed))
    if stopped:
        raise asked_to_stop() or KeyboardInterrupt


def launch(
    context: Any, each: Callable[[int, Sink], None], seed: int, queue: Any
) -> Any:
    """A process that trains one seed, under way."""
    child = context.Process(target=work, args=(each, seed, queue))
    try:
        child.start()
    except OSError:
        raise
    except Exception as error:
        raise BadConfig(
            "several seeds of a host environment need one that another process can "
            f"make: an id or an importable function ({error})"
        ) from None
    return child
