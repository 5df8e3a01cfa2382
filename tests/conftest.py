"""Every test runs under the same strictness.

Ranks are never promoted in silence, no random key is consumed twice, warnings are
errors, and (by pytest's `--jaxtyping-packages`) every shape in a signature is checked.
"""

import gc
import os
import shutil
import tempfile
from importlib.metadata import version


os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# Every core has a worker of its own: threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests compile far more than they compute: LLVM's optimisations cost 40 % of the time,
# and the emitters of fused loops a quarter of the rest.
# JAX 0.11 has no emitters to switch off any more.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false"
    + " --xla_cpu_use_fusion_emitters=false" * (version("jaxlib") < "0.11"),
)
# A program that several tests run, or one test in several processes, is compiled once.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    os.path.join(tempfile.gettempdir(), f"peira-programs-{os.getpid()}"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import hypothesis
import jax
import pytest


# Tracing leaves much behind that stays: to look for what can go took 2.8 of 40 seconds
# of an algorithm's conformance, and takes 0.8 so.
gc.set_threshold(100_000, 50, 100)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
jax.devices()  # one, whichever test is first: several seeds would make themselves more

hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=25, database=None
)
hypothesis.settings.load_profile("suite")


def pytest_unconfigure():
    """Whoever named the place of the programs removes it: not its workers."""
    place = os.environ["JAX_COMPILATION_CACHE_DIR"]
    if place.endswith(f"peira-programs-{os.getpid()}"):
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _forget():
    """What a module compiled is of no use to the next; kept by all of them it is
    gigabytes, and to search those once for garbage takes half a minute."""
    yield
    jax.clear_caches()


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def _batched_keys():
    """JAX's check for keys used twice has no rule for `transpose` and takes its keys
    for used: a false alarm where seeds side by side scan over keys just split."""
    with jax.debug_key_reuse(False):
        yield
