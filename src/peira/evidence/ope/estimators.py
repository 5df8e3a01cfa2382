"""What a policy is worth, from episodes that another has played.

The value is `E[Σ γᵗ rₜ]` when the policy acts. Every estimator gives it as the mean of
one number per episode, which is what its interval is made of. With w the product of
the ratios up to a step, n the number of episodes and i one of them:

    is      mean_i  w_T Σ γᵗ rₜ
    wis     Σᵢ w_T Σ γᵗ rₜ / Σᵢ w_T
    pdis    mean_i  Σ γᵗ wₜ rₜ
    wpdis   Σₜ γᵗ (Σᵢ wₜ rₜ / Σᵢ wₜ)
    dr      mean_i  V(s₀) + Σ γᵗ wₜ (rₜ + γ V(sₜ₊₁) - Q(sₜ, aₜ))
    wdr     the same with wₜ / mean_i wₜ

An episode that ended rests where it is, with reward 0, and keeps its weight.

Precup, Sutton & Singh, 2000 (is, wis, pdis, wpdis); Jiang & Li, 2016,
https://arxiv.org/abs/1511.03722 (eq. 10: dr, here with the recursion written out);
Thomas & Brunskill, 2016, https://arxiv.org/abs/1604.00923 (wdr).

Deliberately different: where time ran out `dr` and `wdr` add what the model says is
still to come. The others count what was logged, and nothing after it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .logged import Logged, Model


class Parts(NamedTuple):
    """An estimate, episode by episode."""

    parts: Float[np.ndarray, " episode"]
    """Their mean is the estimate."""
    weight: Float[np.ndarray, " episode"]
    """How much each episode counts for the policy: 1 on average, where the log shows
    all that the policy does."""


def discounts(log: Logged, gamma: float) -> Float[np.ndarray, " time"]:
    return gamma ** np.arange(log.reward.shape[1])


def trajectory(log: Logged, gamma: float) -> Parts:
    """Importance sampling of whole episodes: unbiased."""
    weight = log.weight[:, -1]
    return Parts(weight * (log.reward @ discounts(log, gamma)), weight)


def weighted_trajectory(log: Logged, gamma: float) -> Parts:
    """Self-normalised importance sampling of whole episodes: consistent."""
    weight = log.weight[:, -1]
    share = weight / weight.mean()
    total = log.reward @ discounts(log, gamma)
    value = (share * total).mean()
    return Parts(value + share * (total - value), weight)


def per_decision(log: Logged, gamma: float) -> Parts:
    """Importance sampling of each reward by what led to it: unbiased."""
    return summed(log, log.reward, gamma)


def weighted_per_decision(log: Logged, gamma: float) -> Parts:
    """The same, self-normalised step by step: consistent."""
    return normalised(log, log.reward, gamma)


def doubly_robust(log: Logged, model: Model, gamma: float) -> Parts:
    """A model, corrected by what it had not foreseen: unbiased whatever the model,
    where the ratios are right and every episode ended."""
    parts, weight = summed(log, surprise(log, model, gamma), gamma)
    return Parts(model.first + parts, weight)


def weighted_doubly_robust(log: Logged, model: Model, gamma: float) -> Parts:
    """The same, with weights that are self-normalised step by step: consistent."""
    parts, weight = normalised(log, surprise(log, model, gamma), gamma)
    return Parts(model.first + parts, weight)


def surprise(
    log: Logged, model: Model, gamma: float
) -> Float[np.ndarray, "episode time"]:
    """`r + γ V(s') - Q(s, a)`; 0 after the end."""
    return np.where(log.alive, log.reward + gamma * model.after - model.value, 0.0)


def summed(log: Logged, x: Float[np.ndarray, "episode time"], gamma: float) -> Parts:
    """`Σ γᵗ wₜ xₜ` of each episode."""
    return Parts((log.weight * x) @ discounts(log, gamma), counted(log, gamma))


def normalised(
    log: Logged, x: Float[np.ndarray, "episode time"], gamma: float
) -> Parts:
    """`Σₜ γᵗ Σᵢ wₜ xₜ / Σᵢ wₜ`, and by how much each episode moves it (to first order).
    Where every weight is 0 nothing is counted."""
    weight = log.weight
    mean = weight.mean(axis=0)
    share = np.divide(weight, mean, out=np.zeros_like(weight), where=mean > 0)
    middle = (share * x).mean(axis=0)
    parts = middle + share * (x - middle)
    return Parts(parts @ discounts(log, gamma), counted(log, gamma))


def counted(log: Logged, gamma: float) -> Float[np.ndarray, " episode"]:
    """The weights of an episode's steps, averaged as the discount weighs them."""
    discount = discounts(log, gamma)
    return log.weight @ discount / discount.sum()
