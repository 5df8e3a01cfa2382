"""Experience that is used once: the last steps of every environment, dealt whole."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..core import (
    Arrays,
    check_fields,
    Count,
    Key,
    Positive,
    Report,
    Rhythm,
    Store,
    Transition,
    Unit,
)
from ..ops import Moments
from . import ring


class Rollout(Store[Transition, Transition]):
    """`length` steps of every environment, `(time, env, ...)`, learned from once."""

    length: Count = 128

    def __check_init__(self):
        check_fields(self)

    def rhythm(self, *, envs: int) -> Rhythm:
        return Rhythm(warmup=0, every=self.length * envs, updates=1)

    def init(self, example: Transition, *, envs: int) -> Transition:
        return ring.empty(example, rows=self.length, envs=envs).data

    def add(self, kept: Transition, steps: Transition) -> Transition:
        return steps

    def cut(self, kept: Transition, lost: Bool[Array, " env"]) -> Transition:
        return kept  # it has been learned from

    def sample(self, kept: Transition, *, key: Key) -> Transition:
        return kept

    def heed(self, kept: Transition, batch: Transition, report: Report) -> Transition:
        return kept


class Scales(eqx.Module):
    """What a reward's scale is measured on: the discounted sum of rewards so far in
    each environment, and the moments of all such sums."""

    kept: Transition
    running: Float[Array, " env"]
    moments: Moments


class ScaledRewards(Store[Scales, Transition]):
    """A rollout whose rewards are divided by the standard deviation of the discounted
    sum of rewards, then clipped.

    Engstrom et al., 2020, appendix A.1, options 2 and 5 (from OpenAI's baselines).
    Rewards are kept raw and scaled when dealt. https://arxiv.org/abs/2005.12729
    """

    base: Rollout
    gamma: Unit = 0.99
    divide: bool = True
    """Divide by the standard deviation."""
    clip: Positive | None = 10.0
    """Then clip to plus and minus this; None leaves them."""

    def rhythm(self, *, envs: int) -> Rhythm:
        return self.base.rhythm(envs=envs)

    def init(self, example: Transition, *, envs: int) -> Scales:
        kept = self.base.init(example, envs=envs)
        return Scales(kept, jnp.zeros(envs), Moments.zero(()))

    def add(self, kept: Scales, steps: Transition) -> Scales:
        sums, running = discounted_sums(
            kept.running, steps.reward, steps.over, self.gamma
        )
        moments = kept.moments.merge(sums)
        return Scales(self.base.add(kept.kept, steps), running, moments)

    def cut(self, kept: Scales, lost: Bool[Array, " env"]) -> Scales:
        running = jnp.where(lost, 0.0, kept.running)
        return Scales(self.base.cut(kept.kept, lost), running, kept.moments)

    def sample(self, kept: Scales, *, key: Key) -> Transition:
        steps = self.base.sample(kept.kept, key=key)
        reward = steps.reward
        if self.divide:
            reward = reward / jnp.sqrt(kept.moments.variance + 1e-8)
        if self.clip is not None:
            reward = jnp.clip(reward, -self.clip, self.clip)
        return eqx.tree_at(lambda s: s.reward, steps, reward)

    def heed(self, kept: Scales, batch: Transition, report: Report) -> Scales:
        return kept


def discounted_sums(
    running: Float[Array, " env"],
    reward: Float[Arrays, "time env"],
    over: Bool[Arrays, "time env"],
    gamma: float | Float[Array, ""],
) -> tuple[Float[Array, "time env"], Float[Array, " env"]]:
    """`Gₜ = γ Gₜ₋₁ + rₜ`, begun anew after the end of an episode."""

    def forward(g: Array, x: tuple[Arrays, Arrays]) -> tuple[Array, Array]:
        r, o = x
        g = gamma * g + r
        return jnp.where(o, 0.0, g), g

    running, sums = jax.lax.scan(forward, running, (reward, over))
    return sums, running
