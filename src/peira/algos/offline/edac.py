"""Ensemble-diversified actor-critic: SAC-N with fewer critics, which are kept apart.

    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²] + η / (N - 1) E[Σᵢ≠ⱼ cos(∇ₐQᵢ, ∇ₐQⱼ)]

∇ₐQ at the data's own s and a. Critics that rise in the same direction agree on the
actions beyond the data, and their minimum does not warn of them.

Differs from `offline.sac_n` in the critics' loss only.
An, Moon, Kim & Song, 2021. https://arxiv.org/abs/2110.01548

Deliberately different: as in our SAC-N.

Reference scores: D4RL locomotion 92.9, antmaze 0.0 (final scores of CORL, N from 10 to
50, η for each dataset, 3M updates); `docs/results.md`.
"""

import functools
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...core import (
    Algorithm,
    Arrays,
    Box,
    Count,
    Key,
    NonNegative,
    Obs,
    Positive,
    Range,
    Real,
    Report,
    Sample,
    Spec,
    Store,
    Transition,
    Unit,
    Whole,
    Widths,
)
from ...nets import Ensemble, Vision
from ...ops import Number, Standardised
from ..online.td3 import Critic
from . import sac_n
from .sac_n import bellman, SACN, State


NOTHING = 1e-20  # the square of a gradient too short to have a direction


def alike(
    critic: Ensemble[Critic], obs: Obs, action: Float[Array, " act"]
) -> Float[Array, ""]:
    """`Σᵢ≠ⱼ cos(∇ₐQᵢ, ∇ₐQⱼ)` at one step."""
    rise = lambda net: jax.grad(lambda a: net(obs, a))(action)
    slope = jax.vmap(rise)(critic.members)
    length = jnp.sqrt(jnp.square(slope).sum(axis=-1, keepdims=True) + NOTHING)
    cosine = (slope / length) @ (slope / length).T
    return cosine.sum() - jnp.trace(cosine)


def diverse(
    critic: Ensemble[Critic],
    steps: Transition,
    y: Float[Arrays, " batch"],
    weight: Float[Arrays, " batch"],
    *,
    eta: Number,
) -> tuple[Float[Array, ""], Float[Array, "batch member"]]:
    """`Σᵢ E[w (Qᵢ - y)²] + η / (N - 1) E[Σᵢ≠ⱼ cos]` and the errors."""
    total, td = bellman(critic, steps, y, weight)
    same = jax.vmap(lambda o, a: alike(critic, o, a))(steps.obs, steps.action)
    return total + eta / (td.shape[1] - 1) * same.mean(), td


class EDAC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    eta: NonNegative = 1.0
    """Weight of the critics' diversity; 0 is SAC-N."""
    members: Annotated[int, Range(2)] = 10
    """Critics, N."""
    learning_rate: Positive = 3e-4
    """Adam's step size for actor, critics and temperature."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    alpha: Positive = 1.0
    """Temperature at the beginning (and for good, unless `automatic`)."""
    automatic: bool = True
    """Adapt the temperature until the policy's entropy meets the target."""
    target_entropy: Real | None = None
    """Entropy to meet; None is minus the number of action entries."""
    batch: Count = 256
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (256, 256, 256)
    """Widths of the hidden layers of actor and critics each."""
    standardise: bool = False
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def sac_n(self) -> SACN:
        return SACN(
            members=self.members,
            learning_rate=self.learning_rate,
            gamma=self.gamma,
            tau=self.tau,
            alpha=self.alpha,
            automatic=self.automatic,
            target_entropy=self.target_entropy,
            batch=self.batch,
            capacity=self.capacity,
            warmup=self.warmup,
            hidden=self.hidden,
            standardise=self.standardise,
            vision=self.vision,
        )

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return self.sac_n.store(spec)

    def init(self, spec: Spec, *, key: Key) -> State:
        return self.sac_n.init(spec, key=key)

    def policy(self, state: State) -> Standardised:
        return self.sac_n.policy(state)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        loss = functools.partial(diverse, eta=self.eta)
        return sac_n.step(self.sac_n, state, batch, loss, key=key)
