"""One small run that the tests of this folder look at."""

import pytest

from peira.cli import main


SMALL = [
    "--steps",
    "256",
    "--episodes",
    "3",
    "--envs",
    "4",
    "--rollout",
    "16",
    "--epochs",
    "1",
    "--minibatches",
    "2",
    "--hidden",
    "8",
    "--evaluate-every",
    "128",
    "--seeds",
    "2",
]


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


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of two seeds with everything recorded."""
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEIRA_CACHE", str(home / "cache"))
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        code = main(
            ["train", "ppo", "CartPole-v1", *SMALL, "--quiet"]
            + ["--runs", str(home), "--name", "first"]
        )
    assert code == 0
    return home / "first"
