"""How a contestant takes turns: it is told how much to do, does it, and says how long
that took. Standard library only, for it runs in every peer's environment.

A contestant's program ends in `serve(make)`. `make(**settings)` returns what can `go`
on by so many steps or updates.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(make: Callable[..., Any]) -> None:
    """Answer every line on standard input with one on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    began = time.perf_counter()
    contestant = make(**json.loads(sys.argv[1]))
    tell(answers, seconds=time.perf_counter() - began)
    for line in sys.stdin:
        began = time.perf_counter()
        contestant.go(int(line))
        tell(answers, seconds=time.perf_counter() - began)


def tell(answers: Any, **what: float) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(what | {"mib": memory}), file=answers, flush=True)
