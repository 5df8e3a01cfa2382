"""How likely a policy is to do what was done."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from ...core import Action, Box, fold, Key, PeiraError, Policy, root, TimeStep
from ...data import Dataset
from ...ops import Standardised
from .logged import seen


TOGETHER = 8_192  # steps that are looked at together
DRAWS = 256  # actions drawn of a policy that does not tell its probabilities


class Refusal(PeiraError):
    """Why a policy cannot be judged in this way."""


@runtime_checkable
class Likely(Protocol):
    """A policy that can tell how likely it is to do something."""

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""] | None:
        """Of doing this when exploring: a probability, or a density of actions in
        their own units; None where it has neither."""


def density(
    policy: Policy, t: TimeStep, action: Action, *, explore: bool
) -> Float[Array, ""] | None:
    """π(a|s) where the policy can tell; else None."""
    if isinstance(policy, Standardised):
        inner = TimeStep(policy.standard(t.obs), t.reward, t.first, t.legal)
        return density(policy.policy, inner, action, explore=explore)
    if not explore or not isinstance(policy, Likely):
        return None
    said = policy.log_prob(t, action)
    return None if said is None else jnp.exp(said)


def share(
    policy: Policy, t: TimeStep, action: Action, *, key: Key, draws: int, explore: bool
) -> Float[Array, ""]:
    """How often the policy chooses this, of so many times it is asked: exact for a
    deterministic policy, without bias for any."""
    drawn = choices(policy, t, key=key, draws=draws, explore=explore)
    same = jax.tree.map(
        lambda x, a: (x == a).reshape(draws, -1).all(axis=1), drawn, action
    )
    return same.mean()


def choices(
    policy: Policy, t: TimeStep, *, key: Key, draws: int, explore: bool
) -> PyTree:
    """So many actions, each drawn anew."""
    one = lambda k: policy(policy.begin(), t, key=k, explore=explore)[0]
    return jax.vmap(one)(jr.split(key, draws))


def check_forgets(policy: Policy) -> None:
    """Raise `Refusal` for a policy that carries anything from step to step."""
    if jax.tree.leaves(jax.eval_shape(policy.begin)):
        raise Refusal(
            "it remembers what it has seen: the value of what it does is no function "
            "of one observation"
        )


def likelihoods(
    policy: Policy, data: Dataset, *, explore: bool = False, seed: int = 0
) -> Float[np.ndarray, " step"]:
    """π(a|s) of every step of a dataset. Raises `Refusal` where there is none."""
    check_forgets(policy)
    if isinstance(data.spec.action, Box):
        if not explore:
            raise Refusal(
                "it is deterministic in a space of real numbers, and so never does "
                "what was done: ask fqe, or judge it as it explores (--stochastic)"
            )
        one = jax.tree.map(lambda x: x[0], seen(data, np.zeros(1, int)))
        action = jax.tree.map(lambda x: jnp.asarray(x[0]), data.action)
        ask = lambda t: density(policy, t, action, explore=True)
        if jax.eval_shape(ask, one) is None:
            raise Refusal("it does not say how likely its actions are (log_prob)")

    @jax.jit
    def look(policy: Policy, t: TimeStep, action: PyTree, step: Array) -> Array:
        def one(t: TimeStep, action: PyTree, i: Array) -> Array:
            told = density(policy, t, action, explore=explore)
            if told is not None:
                return told
            key, draws = fold(root(seed), "likelihood", i), DRAWS if explore else 1
            return share(policy, t, action, key=key, draws=draws, explore=explore)

        return jax.vmap(one)(t, action, step)

    def part(step: Int[np.ndarray, " n"]) -> Array:
        action = jax.tree.map(lambda x: np.asarray(x[step]), data.action)
        return look(policy, seen(data, step), action, jnp.asarray(step))

    return portions(part, data.steps).astype(np.float64)


def portions(part: Any, count: int) -> np.ndarray:
    """`part(i)` of the numbers 0 .. count-1, in portions of one size, so that it is
    compiled once; they lie along its last axis."""
    size = min(TOGETHER, count)
    found = []
    for first in range(0, count, size):
        step = np.minimum(np.arange(first, first + size), count - 1)
        found.append(np.asarray(part(step))[..., : count - first])
    return np.concatenate(found, axis=-1)


def support(weight: Float[np.ndarray, " n"], *, sure: float = 4.0) -> Bool[Any, ""]:
    """Whether weights average 1, as far as so few can tell."""
    error = weight.std(ddof=1) / np.sqrt(len(weight))
    return np.abs(weight.mean() - 1) <= sure * error + 1e-9
