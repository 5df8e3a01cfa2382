"""Soft actor-critic with N critics: where they disagree, the smallest is low, and so
actions that the data do not know are worth little.

    target   y = r + γ (1 - terminated) (minⱼ Q̄ⱼ(s', a') - α log π(a'|s')),  a' ~ π(s')
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²],  i and j from 1 to N
    actor    minimise  E[α log π(a|s) - minⱼ Qⱼ(s, a)],  a = tanh(μ(s) + σ(s) ε)
    α        minimise  -log α E[log π(a|s) + H̄],  H̄ = -dim(A)
    targets  move by τ after every step

Differs from `online.sac` in the number of critics and the factor of their loss only.
An, Moon, Kim & Song, 2021. https://arxiv.org/abs/2110.01548

Deliberately different: weights begin, and σ is bounded, as in our SAC; the networks
see actions in units of their bounds.

Reference scores: D4RL locomotion 83.5, antmaze 0.0 (final scores of CORL, N from 5 to
200, 3M updates); `docs/results.md`.
"""

from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from ...core import (
    Algorithm,
    Arrays,
    Box,
    Count,
    Key,
    Positive,
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
from ...ops import Standard, Standardised
from ..online import sac
from ..online.sac import SAC
from ..online.td3 import Critic, critic_loss


class State(eqx.Module):
    sac: sac.State
    standard: Standard


def bellman(
    critic: Ensemble[Critic],
    steps: Transition,
    y: Float[Arrays, " batch"],
    weight: Float[Arrays, " batch"],
) -> tuple[Float[Array, ""], Float[Array, "batch member"]]:
    """`Σᵢ E[w (Qᵢ - y)²]` and the errors."""
    return critic_loss(critic, steps.obs, steps.action, y, weight)


class SACN(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    members: Count = 10
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
    def sac(self) -> SAC:
        return SAC(
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
            vision=self.vision,
        )

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return self.sac.store(spec)

    def init(self, spec: Spec, *, key: Key) -> State:
        standard = Standard.known(spec, use=self.standardise)
        return State(sac.begin(self.sac, spec, key=key, members=self.members), standard)

    def policy(self, state: State) -> Standardised:
        return Standardised(self.sac.policy(state.sac), state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        return step(self, state, batch, bellman, key=key)


def step(
    hp: SACN, state: State, batch: Sample, loss: sac.CriticLoss, *, key: Key
) -> tuple[State, Report]:
    """One update of SAC's, its critics down `loss`."""
    batch = Sample(state.standard.steps(batch.steps), batch.weight, batch.index)
    learned, report = sac.step(hp.sac, state.sac, batch, loss, key=key)
    return State(learned, state.standard), report
