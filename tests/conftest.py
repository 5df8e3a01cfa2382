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


jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=25, database=None
)
hypothesis.settings.load_profile("suite")


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)
