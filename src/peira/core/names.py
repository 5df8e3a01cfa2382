"""Things named as `module:attribute`."""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .checks import BadConfig, unknown


def home(kind: str, name: str) -> ModuleType:
    """The module of `module:attribute`; raises `BadConfig` if it cannot be imported."""
    try:
        return importlib.import_module(name.partition(":")[0])
    except ImportError as error:
        raise BadConfig(f"{kind} '{name}': {error}") from None
    except Exception as error:  # whatever the module does when imported
        raise BadConfig(f"{kind} '{name}': {type(error).__name__}: {error}") from error


def part(kind: str, name: str, module: ModuleType, fits: Callable[[Any], bool]) -> Any:
    """The attribute of `module:attribute`; raises `BadConfig` with the names of what
    would fit if there is none."""
    attribute = name.partition(":")[2]
    if not hasattr(module, attribute):
        fitting = [k for k, v in vars(module).items() if fits(v)]
        raise unknown(f"{kind} of {module.__name__}", attribute, fitting)
    return getattr(module, attribute)
