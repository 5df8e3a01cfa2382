"""Reinforcement learning in JAX: experience in, a policy and the evidence out.

Everything here is imported when it is first asked for.
"""

import importlib
from typing import Any, TYPE_CHECKING


if TYPE_CHECKING:
    from .cli.calibrating import calibrate as calibrate
    from .cli.checking import check as check
    from .cli.choosing import ope as ope, select as select
    from .cli.collecting import collect as collect
    from .cli.comparing import compare as compare
    from .cli.doctor import doctor as doctor
    from .cli.exporting import export as export
    from .cli.profiling import profile as profile
    from .cli.reporting import report as report
    from .cli.showing import (
        evaluate as evaluate,
        load_policy as load_policy,
        replay_fault as replay_fault,
        watch as watch,
    )
    from .cli.training import resume as resume, train as train
    from .core import Algorithm as Algorithm, PeiraError as PeiraError
    from .engine.plan import Plan as Plan
    from .engine.run import Run as Run
    from .envs import make as make

__version__ = "0.1.0"

_homes = {
    "Algorithm": "core",
    "PeiraError": "core",
    "Plan": "engine.plan",
    "Run": "engine.run",
    "calibrate": "cli.calibrating",
    "check": "cli.checking",
    "collect": "cli.collecting",
    "compare": "cli.comparing",
    "doctor": "cli.doctor",
    "evaluate": "cli.showing",
    "export": "cli.exporting",
    "load_policy": "cli.showing",
    "make": "envs",
    "ope": "cli.choosing",
    "profile": "cli.profiling",
    "replay_fault": "cli.showing",
    "report": "cli.reporting",
    "resume": "cli.training",
    "select": "cli.choosing",
    "train": "cli.training",
    "watch": "cli.showing",
}
__all__ = [
    "Algorithm",
    "PeiraError",
    "Plan",
    "Run",
    "__version__",
    "calibrate",
    "check",
    "collect",
    "compare",
    "doctor",
    "evaluate",
    "export",
    "load_policy",
    "make",
    "ope",
    "profile",
    "replay_fault",
    "report",
    "resume",
    "select",
    "train",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _homes:
        raise AttributeError(f"module 'peira' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_homes[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
