"""Every test runs under the same strictness.

Ranks are never promoted in silence, no random key is consumed twice, warnings are
errors, and (by pytest's `--jaxtyping-packages`) every shape in a signature is checked.
"""

import os


os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# Tests compile far more than they compute: LLVM's optimisations cost 40 % of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import hypothesis
import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache


jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=25, database=None
)
hypothesis.settings.load_profile("suite")


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory):
    """Programs that several tests run are compiled by the first."""
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def _batched_keys():
    """JAX's check for keys used twice has no rule for `transpose` and takes its keys
    for used: a false alarm where seeds side by side scan over keys just split."""
    with jax.debug_key_reuse(False):
        yield
