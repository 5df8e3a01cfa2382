"""Ctrl-C and SIGTERM as a wish that is heard between two chunks of a training."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

from ..core import Terminated


KINDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@contextlib.contextmanager
def stop_signal() -> Iterator[Callable[[], type[KeyboardInterrupt] | None]]:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after this chunk, by
    raising what is then returned; a second Ctrl-C interrupts at once."""
    asked: type[KeyboardInterrupt] | None = None

    def ask(number: int, _: Any) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = asked or KINDS[number]

    old: dict[int, Any] = {}
    try:
        for number in KINDS:
            with contextlib.suppress(ValueError):  # not the main thread: leave it
                old[number] = signal.signal(number, ask)
        yield lambda: asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
