"""How a contestant takes turns: it is told how much to do, does it, and says how long
that took. Standard library only, for it runs in every peer's environment.

A contestant's program ends in `serve(make)`. `make(**settings)` returns what can `go`
on by so many steps or updates; where it is asked how good it has become, `look` is the
mean return of so many episodes, played without exploring.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


USAGE = """usage: {0} SETTINGS

One side of a row of rows.py, for contest.py to run. By hand: give it the settings as
JSON, then lines of how many steps or updates to go on by, or 'look' and how many
episodes to play; every line is answered by how many seconds it took.
"""


def serve(make: Callable[..., Any]) -> None:
    """Answer every line on standard input with one on standard output."""
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(USAGE.format(sys.argv[0]), end="")
        sys.exit(0 if len(sys.argv) == 2 else 2)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    began = time.perf_counter()
    contestant = make(**json.loads(sys.argv[1]))
    tell(answers, seconds=time.perf_counter() - began)
    for line in sys.stdin:
        verb, _, n = line.strip().rpartition(" ")
        began = time.perf_counter()
        found = contestant.look(int(n)) if verb == "look" else contestant.go(int(n))
        more = {} if found is None else {"return": found}
        tell(answers, seconds=time.perf_counter() - began, **more)


def tell(answers: Any, **what: float) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(what | {"mib": memory}), file=answers, flush=True)
