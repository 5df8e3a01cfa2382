"""One small run that the tests of this folder look at."""

import jax
import pytest

from peira.cli import main


SMALL = {
    "steps": 256,
    "episodes": 3,
    "envs": 4,
    "rollout": 16,
    "epochs": 1,
    "minibatches": 2,
    "hidden": "8",
    "evaluate-every": 128,
}
FLAGS = [word for k, v in SMALL.items() for word in (f"--{k}", str(v))]


@pytest.fixture
def small():
    """Flags for a training of a few seconds."""
    return FLAGS


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Nothing is kept outside the test's own folder."""
    for name in (
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
    ):
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)  # and forget afterwards what a command sets
    monkeypatch.setenv("PEIRA_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def whole_runs():
    """JAX's check for keys used twice has no rule for `transpose` and takes its keys
    for used: a false alarm where seeds side by side scan over keys just split."""
    with jax.debug_key_reuse(False):
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of two seeds with everything recorded."""
    home = tmp_path_factory.mktemp("runs")
    where = ["--runs", str(home), "--name", "first", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEIRA_CACHE", str(home / ".cache"))
        with jax.debug_key_reuse(False):
            code = main(["train", "ppo", "CartPole-v1", *FLAGS, "--seeds", "2", *where])
    assert code == 0
    return home / "first"
