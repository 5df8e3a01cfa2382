"""Training fitted Q evaluation, and reading what it says."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from ...core import fold, Key, Policy, root, TimeStep, Transition
from ...data import Dataset
from ...engine.from_data import beat_from, FromData
from ...engine.plan import Plan
from .fqe import FQE, State
from .likelihood import check_forgets, portions, Refusal
from .logged import seen


LOOKS = 10  # times that the value is read while it is learned


class Effort(NamedTuple):
    """How much fitted Q evaluation may take."""

    members: int = 5
    """Networks, each with episodes drawn anew."""
    updates: int = 20_000
    """Gradient steps of each."""
    tau: float = 0.02
    """Speed of the target network."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers."""
    learning_rate: float = 3e-4
    """Adam's step size."""
    draws: int = 4
    """Actions of an exploring policy that a value is averaged over."""


class Appraisal(NamedTuple):
    """What an ensemble says of a policy."""

    curve: Float[np.ndarray, "look member"]
    """Each member's value of the policy as it learned; the last is what it says."""
    value: Float[np.ndarray, " step"]
    """Q(s, a) of every step, by the members that had not drawn its episode."""
    after: Float[np.ndarray, " step"]
    """V(s') of every step; 0 where the problem ended."""
    first: Float[np.ndarray, " episode"]
    """V of where each episode opened."""

    @property
    def members(self) -> Float[np.ndarray, " member"]:
        return self.curve[-1]


def evaluation(
    policy: Policy, data: Dataset, *, gamma: float, explore: bool, effort: Effort
) -> FQE:
    """The algorithm, in the units of a dataset's returns."""
    to_go = returns_to_go(data, gamma)
    reward = np.asarray(data.reward, np.float64)
    horizon = 1 / (1 - gamma) if gamma < 1 else float("inf")
    low, high = min(0.0, float(reward.min())), max(0.0, float(reward.max()))
    bound = lambda r: r * horizon if r else 0.0
    return FQE(
        policy,
        explore,
        data.episode.astype(np.int32),
        scale=(float(to_go.mean()), float(to_go.std()) or 1.0),
        limits=(bound(low), bound(high)),
        gamma=gamma,
        learning_rate=effort.learning_rate,
        tau=effort.tau,
        draws=effort.draws if explore else 1,
        hidden=effort.hidden,
    )


def returns_to_go(data: Dataset, gamma: float) -> Float[np.ndarray, " step"]:
    """`Σ γᵏ rₜ₊ₖ` of every step, to the end of what was logged."""
    total = np.array(data.reward, np.float64)
    for back in range(1, int(data.lengths.max())):
        at = data.starts[1:][data.lengths > back] - 1 - back
        total[at] += gamma * total[at + 1]
    return total


def appraise(
    policy: Policy,
    data: Dataset,
    *,
    gamma: float,
    explore: bool = False,
    effort: Effort = Effort(),
    seed: int = 0,
) -> Appraisal:
    """Fit an ensemble and read it. Raises `Refusal` for a policy that remembers, and
    where a number in learning is not finite."""
    check_forgets(policy)
    algorithm = evaluation(policy, data, gamma=gamma, explore=explore, effort=effort)
    seeds = tuple(range(seed, seed + effort.members))
    plan = Plan(steps=effort.updates, seeds=seeds)
    beat = beat_from(algorithm, data, plan)
    loop = FromData(beat, data, seeds, resident=plan.resident * 2**20)
    opened, key = opening(data), fold(root(seed), "appraise")

    @jax.jit
    def begin(state: State, t: TimeStep, key: Key) -> Array:
        many = effort.draws if explore else 1
        one = lambda s: algorithm.value(s, s.q.net, t, key=key, draws=many)
        return jax.vmap(one)(state)

    weight = np.asarray(loop.life.learner.weight)[:, data.starts[:-1]]
    first, curve = np.zeros_like(weight), []
    for updates in np.diff(np.linspace(0, effort.updates, LOOKS + 1).astype(int)):
        loop.advance(int(updates))
        if max(loop.failed) >= 0:
            raise Refusal("fitted Q evaluation met a number that is not finite")
        first = np.asarray(begin(loop.life.learner, opened, key), np.float64)
        curve.append((weight * first).sum(axis=1) / weight.sum(axis=1))
    value, after = everywhere(algorithm, loop.life.learner, data, effort, key)
    unseen = weight == 0
    return Appraisal(
        np.stack(curve),
        out_of_bag(value, unseen[:, data.episode]),
        out_of_bag(after, unseen[:, data.episode]),
        out_of_bag(first, unseen),
    )


def opening(data: Dataset) -> TimeStep:
    """What an actor is handed at the opening of every episode."""
    return seen(data, data.starts[:-1])


def everywhere(
    algorithm: FQE, learner: PyTree, data: Dataset, effort: Effort, key: Key
) -> tuple[np.ndarray, np.ndarray]:
    """Q(s, a) and V(s') of every step, by every member."""

    @jax.jit
    def look(state: State, steps: Transition, key: Key) -> Array:
        def one(state: State) -> Array:
            zero = jnp.zeros_like(steps.terminated)
            t = TimeStep(steps.next_obs, steps.reward, zero, steps.next_legal)
            many = effort.draws if algorithm.explore else 1
            after = algorithm.value(state, state.q.net, t, key=key, draws=many)
            after = jnp.where(steps.terminated, 0.0, after)
            return jnp.stack([algorithm.of_done(state, steps), after])

        return jax.vmap(one)(state)

    def part(step: np.ndarray) -> Array:
        return look(learner, data.gather(step), jr.fold_in(key, int(step[0])))

    both = portions(part, data.steps).astype(np.float64)
    return both[:, 0], both[:, 1]


def out_of_bag(
    said: Float[np.ndarray, "member n"], unseen: Bool[np.ndarray, "member n"]
) -> Float[np.ndarray, " n"]:
    """The mean over the members that had not seen an item; over all where each had."""
    count = unseen.sum(axis=0)
    apart = np.where(unseen, said, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, apart, said.mean(axis=0))
