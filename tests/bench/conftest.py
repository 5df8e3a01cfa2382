"""How the scripts of `bench` are imported."""

import importlib
import sys
from pathlib import Path

import pytest


BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def script():
    """Imports a script of `bench` or `bench/speed`; they find one another by
    their short names, which nothing else is to find afterwards."""
    before, path = set(sys.modules), list(sys.path)
    sys.path[:0] = [str(BENCH), str(BENCH / "speed")]
    yield importlib.import_module
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def paged(script, monkeypatch, tmp_path):
    """Imports a script that writes a page; its rows and the page lie elsewhere."""

    def load(name):
        module = script(name)
        monkeypatch.setattr(module, "KEPT", tmp_path / f"{name}.jsonl")
        monkeypatch.setattr(module, "PAGE", tmp_path / f"{name}.md")
        return module

    return load
