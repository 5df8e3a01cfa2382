"""Seeds of a host environment: a process each, as many at once as there are cores."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

from ..core import BadConfig, PeiraError
from .sinks import Sink


class Forward(Sink):
    """Sends what happens in a child process to the parent's sinks."""

    def __init__(self, queue: Any):
        self.queue = queue

    def start(self, config: dict, seeds: list[int], steps: int) -> None:
        """The parent has started its sinks already."""

    def log(self, seed: int, step: int, values: dict[str, float]) -> None:
        self.queue.put(("log", seed, step, dict(values)))

    def evaluated(self, seed: int, step: int, returns: Any) -> None:
        self.queue.put(("evaluated", seed, step, returns))

    def close(self) -> None:
        """The parent closes its sinks itself."""


def work(each: Callable[[int, Sink], None], seed: int, queue: Any) -> None:
    """In the child: train, and say how it ended."""
    try:
        each(seed, Forward(queue))
        queue.put(("ended", seed, None, None))
    except KeyboardInterrupt:
        queue.put(("ended", seed, "stopped", None))
    except PeiraError as error:
        queue.put(("ended", seed, "failed", str(error)))


def side_by_side(
    each: Callable[[int, Sink], None], seeds: Sequence[int], sinks: Sequence[Sink]
) -> None:
    """Call `each(seed, sink)` for every seed, each in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    waiting, running = list(seeds), {}
    stopped, failed = False, []

    def launch() -> None:
        seed = waiting.pop(0)
        child = context.Process(target=work, args=(each, seed, queue))
        try:
            child.start()
        except (AttributeError, TypeError) as error:
            raise BadConfig(
                "several seeds of a host environment need one that another process "
                f"can make: an id or an importable function ({error})"
            ) from None
        running[seed] = child

    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                launch()
            try:
                kind, seed, a, b = queue.get(timeout=1.0)
            except Empty:
                died = [s for s, p in running.items() if p.exitcode not in (None, 0)]
                for seed in died:
                    code = running.pop(seed).exitcode
                    failed.append(f"seed {seed}: its process died (exit code {code})")
                continue
            except KeyboardInterrupt:  # the children have it too, and are saving
                stopped = True
                waiting.clear()
                continue
            if kind == "ended":
                running.pop(seed).join()
                stopped |= a == "stopped"
                failed += [f"seed {seed}: {b}"] if a == "failed" else []
            for sink in sinks:
                if kind == "log":
                    sink.log(seed, a, b)
                elif kind == "evaluated":
                    sink.evaluated(seed, a, b)
    finally:
        for child in running.values():
            child.terminate()
    if failed:
        raise PeiraError("; ".join(failed))
    if stopped:
        raise KeyboardInterrupt
