"""Returns and advantages against their definitions, written as loops."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jaxtyping
import numpy as np
import pytest
from hypothesis import given

from peira.ops import gae, lambda_return, n_step


T = 7
numbers = hnp.arrays(np.float64, T, elements=st.floats(-10, 10, width=32))
flags = hnp.arrays(bool, T)
unit = st.floats(0, 1)
FAST = {f.__name__: jax.jit(f) for f in (gae, lambda_return, n_step)}


def arrays(*xs):
    return [x.astype(np.float32) if x.dtype == np.float64 else x for x in xs]


@given(numbers, numbers, numbers, flags, flags, unit, unit)
def test_gae_is_the_discounted_sum_of_errors(
    reward, value, next_value, terminated, truncated, gamma, lam
):
    wanted = np.zeros(T)
    for t in range(T):
        for k in range(t, T):
            follows = 0.0 if terminated[k] else next_value[k]
            error = reward[k] + gamma * follows - value[k]
            wanted[t] += (gamma * lam) ** (k - t) * error
            if terminated[k] or truncated[k]:
                break
    got = FAST["gae"](
        *arrays(reward, value, next_value, terminated, truncated), gamma=gamma, lam=lam
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


@given(numbers, numbers, flags, flags, unit, unit)
def test_lambda_return_is_the_mixture_of_n_step_returns(
    reward, next_value, terminated, truncated, gamma, lam
):
    def follows(t, n):
        """The n-step return from t, and whether it reached the end of the data."""
        total = 0.0
        for k in range(n):
            total += gamma**k * reward[t + k]
            if terminated[t + k]:
                return total, True
            if truncated[t + k] or t + k == T - 1 or k == n - 1:
                over = truncated[t + k] or t + k == T - 1
                return total + gamma ** (k + 1) * next_value[t + k], over
        raise AssertionError

    wanted = np.zeros(T)
    for t in range(T):
        for n in range(1, T - t + 1):
            value, over = follows(t, n)
            # What is beyond the end all weighs on the last return there is.
            wanted[t] += lam ** (n - 1) * (1.0 if over else 1 - lam) * value
            if over:
                break
    got = FAST["lambda_return"](
        *arrays(reward, next_value, terminated, truncated), gamma=gamma, lam=lam
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


@given(numbers, numbers, flags, flags, unit, unit)
def test_gae_plus_value_is_the_lambda_return(
    reward, value, terminated, truncated, gamma, lam
):
    """When the value of a step's successor is the value of the next step."""
    next_value = np.append(value[1:], 0.5)
    ends = arrays(terminated, truncated)
    r, v, w = arrays(reward, value, next_value)
    advantage = FAST["gae"](r, v, w, *ends, gamma=gamma, lam=lam)
    target = FAST["lambda_return"](r, w, *ends, gamma=gamma, lam=lam)
    np.testing.assert_allclose(advantage + v, target, rtol=1e-4, atol=1e-3)


@given(numbers, flags, flags, unit)
def test_n_step_stops_at_the_first_end(reward, terminated, truncated, gamma):
    total, k = 0.0, 0
    while True:
        total += gamma**k * reward[k]
        if terminated[k] or truncated[k] or k == T - 1:
            break
        k += 1
    bootstrap = 0.0 if terminated[k] else gamma ** (k + 1)
    got = FAST["n_step"](*arrays(reward, terminated, truncated), gamma=gamma)
    np.testing.assert_allclose(got, (total, bootstrap, k), rtol=1e-4, atol=1e-4)


def test_signatures_are_checked():
    """Without the import hook of pyproject.toml this would broadcast in silence."""
    x, no = np.zeros(T, np.float32), np.zeros(T, bool)
    with pytest.raises(jaxtyping.TypeCheckError, match="next_value"):
        gae(x, x, x[:1], no, no, gamma=0.9, lam=0.9)
