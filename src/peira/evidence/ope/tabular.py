"""Decisions among a few states, whose values are known exactly: the ground that
off-policy estimates are tried on."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from ...core import Action, Discrete, Key, Policy, Spec, TimeStep
from ...data import check, Dataset


Table = Float[np.ndarray, "state action"]


@dataclasses.dataclass(frozen=True)
class Tabular:
    """A Markov decision process."""

    opening: Float[np.ndarray, " state"]
    """How likely an episode opens in each state."""
    move: Float[np.ndarray, "state action state"]
    """How likely each state follows; what is missing to 1 is the end."""
    reward: Table
    """Expected reward of an action."""
    noise: float = 0.0
    """Standard deviation of the reward."""

    def values(self, policy: Table, gamma: float) -> tuple[Table, np.ndarray]:
        """Q and V of a policy, by solving `V = Σ π (r + γ P V)`."""
        lead = np.einsum("sa,sat->st", policy, self.move)
        earned = (policy * self.reward).sum(axis=1)
        v = np.linalg.solve(np.eye(len(earned)) - gamma * lead, earned)
        return self.reward + gamma * self.move @ v, v

    def worth(self, policy: Table, gamma: float, horizon: int | None = None) -> float:
        """The value of a policy: for good, or within so many steps."""
        if horizon is None:
            return float(self.opening @ self.values(policy, gamma)[1])
        v = np.zeros(len(self.opening))
        for _ in range(horizon):
            v = (policy * (self.reward + gamma * self.move @ v)).sum(axis=1)
        return float(self.opening @ v)

    def play(
        self, behaviour: Table, episodes: int, horizon: int, rng: np.random.Generator
    ) -> Dataset:
        """Episodes of at most so many steps, with the propensities."""
        states, actions = self.reward.shape
        obs = np.zeros((episodes, horizon + 1), np.int32)
        action = np.zeros((episodes, horizon), np.int32)
        reward = np.zeros((episodes, horizon), np.float32)
        length = np.full(episodes, horizon)
        alive = np.ones(episodes, bool)
        obs[:, 0] = drawn(np.tile(self.opening, (episodes, 1)), rng)
        for t in range(horizon):
            s = obs[:, t]
            a = action[:, t] = drawn(behaviour[s], rng)
            luck = self.noise * rng.standard_normal(episodes)
            reward[:, t] = self.reward[s, a] + luck
            follow = drawn(self.move[s, a], rng)
            over = follow == states
            length[alive & over] = t + 1
            alive &= ~over
            obs[:, t + 1] = np.where(over, 0, follow)
        taken = np.arange(horizon)[None] < length[:, None]
        stood = np.arange(horizon + 1)[None] <= length[:, None]
        starts = np.concatenate([[0], np.cumsum(length)])
        last = np.zeros(starts[-1], bool)
        last[starts[1:] - 1] = True
        ended = np.repeat(~alive, length)
        chance = np.take_along_axis(behaviour[obs[:, :-1]], action[..., None], axis=2)
        return check(
            Dataset(
                Spec(Discrete(states), Discrete(actions)),
                obs[stood],
                action[taken],
                reward[taken],
                last & ended,
                last & ~ended,
                starts,
                propensity=chance[..., 0][taken],
            )
        )


def drawn(
    chances: Float[np.ndarray, "n k"], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """One of 0 .. k-1 in each row, or k for what is missing to 1."""
    up_to = np.cumsum(chances, axis=1)
    up_to[:, -1] = np.where(up_to[:, -1] > 1 - 1e-9, 1.0, up_to[:, -1])
    return (rng.random((len(chances), 1)) >= up_to).sum(axis=1)


class Stochastic(Policy[tuple[()]]):
    """Acts by a table when exploring, and its likeliest action when showing."""

    logits: Float[Array, "state action"]

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        logits = self.logits[t.obs]
        action = jr.categorical(key, logits) if explore else logits.argmax()
        return action.astype(jnp.int32), carry, ()

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""]:
        return self.logits[t.obs, action]


def acting(table: Table) -> Stochastic:
    """A policy from its probabilities."""
    with np.errstate(divide="ignore"):
        return Stochastic(jnp.asarray(np.log(table), jnp.float32))
