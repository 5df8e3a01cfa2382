"""Reinforcement learning via supervised learning: clone what led to an outcome, then
ask for a good one.

    maximise  E[log π(a|s, ω)],  ω an outcome of what was done from s on
    reward    ωₜ = (rₜ + rₜ₊₁ + ...) / (H - t),  t from 0, H the longest episode
    goal      ωₜ any later state of the episode, each as likely

π is a normal with one σ for all states, or a softmax. To act, ω is what is wanted: a
return, spread evenly over an episode, or a goal; it does not change on the way.

Emmons, Eysenbach, Kostrikov & Levine, 2021. https://arxiv.org/abs/2112.10751 (RvS-R and
RvS-G); what the paper leaves open is taken from the authors' code.

Differs from `offline.bc` in what the network sees. Deliberately different: rewards
enter such that 0 is the dataset's worst episode and 1 its best (the authors measure
what they ask for by a random and an expert policy); no dropout (theirs is 0.1 in
Kitchen and GCSL); actions and σ are those of our BC.

Reference scores: antmaze 53.5 (goal), kitchen 54.0 (goal); `docs/results.md`.
"""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from ...core import (
    Action,
    Algorithm,
    BadConfig,
    Box,
    Count,
    Discrete,
    Facts,
    is_space,
    Key,
    known,
    MultiDiscrete,
    Obs,
    Policy,
    Positive,
    Range,
    Real,
    Report,
    Sample,
    Source,
    Spec,
    TimeStep,
    Transition,
    Widths,
)
from ...data import Deal
from ...nets import Vision
from ...ops import Standard, Trainable, trainable
from .bc import Clone, clone, Cloner, cloner


Outcome = Literal["reward", "goal"]
WANTED, REACHED = "desired_goal", "achieved_goal"  # Gymnasium's names
Entries = tuple[int, ...]


class Conditions(eqx.Module):
    """How an outcome is told to the network beside what is seen."""

    standard: Standard
    low: Float[Array, ""]
    """Mean reward per step of the dataset's worst episode, were it the longest."""
    high: Float[Array, ""]
    """The same of its best."""
    wanted: Float[Array, " n"] | None
    """What to ask for; None where the environment says it."""
    outcome: Outcome = eqx.field(static=True)
    entries: Entries = eqx.field(static=True)
    longest: int = eqx.field(static=True)
    """Steps of the dataset's longest episode."""

    def seen(self, obs: Obs, outcome: Float[Array, " n"]) -> Obs:
        """What the network sees."""
        return {"outcome": outcome, "obs": without_goal(self.standard(obs))}

    def came(self, extras: PyTree) -> Float[Array, " n"]:
        """The outcome of a step, from what was dealt with it."""
        if self.outcome == "reward":
            return self.share(extras)[None]
        return reached(self.standard(extras), self.entries)

    def share(self, rate: Float[Array, ""]) -> Float[Array, ""]:
        """A mean reward, where 0 is the dataset's worst and 1 its best."""
        span = self.high - self.low
        return (rate - self.low) / jnp.where(span > 0, span, 1.0)

    def asked(self, obs: Obs) -> Float[Array, " n"]:
        """The outcome to ask for."""
        if self.wanted is not None:
            return self.wanted
        return reached(self.standard(obs | {REACHED: obs[WANTED]}), self.entries)


def has_goal(obs: PyTree) -> bool:
    """Whether observations say what is to be reached, and what was."""
    return isinstance(obs, dict) and {WANTED, REACHED} <= obs.keys()


def without_goal(obs: PyTree) -> PyTree:
    """An observation, or a space, without what is to be reached."""
    return {k: x for k, x in obs.items() if k != WANTED} if has_goal(obs) else obs


def reached(obs: PyTree, entries: Entries) -> Float[Array, " n"]:
    """What counts as a goal in an observation: some of its entries, or all."""
    flat = (obs[REACHED] if has_goal(obs) else obs).ravel()
    return flat[jnp.array(entries)] if entries else flat


def goal_size(spec: Spec, entries: Entries) -> int:
    """Numbers in a goal; raises `BadConfig` where observations have none."""
    space = spec.obs[REACHED] if has_goal(spec.obs) else spec.obs
    if not (is_space(space) and isinstance(space, Box) and len(space.shape) < 2):
        raise BadConfig(
            "RvS.outcome = goal: goals are vectors of real numbers, so observations "
            f"must be one, or have '{REACHED}' and '{WANTED}'"
        )
    if entries and max(entries) >= space.size:
        raise BadConfig(
            f"RvS.entries = {entries}: an observation has {space.size} entries"
        )
    return len(entries) or space.size


def given_goal(
    spec: Spec, standard: Standard, goal: tuple[float, ...], entries: Entries
) -> Float[Array, " n"] | None:
    """A goal as the network sees it; None where the environment says it."""
    size = goal_size(spec, entries)
    if not goal and has_goal(spec.obs):
        return None
    if len(goal) != size:
        raise BadConfig(
            f"RvS.goal = {goal}: say the {size} numbers that are to be reached"
        )
    blank = lambda s: np.zeros(s.shape, s.dtype)
    obs = jax.tree.map(blank, spec.obs, is_leaf=is_space)
    space = spec.obs[REACHED] if has_goal(spec.obs) else spec.obs
    full = np.zeros(space.size, space.dtype)
    full[list(entries) or slice(None)] = goal
    place = jnp.asarray(full.reshape(space.shape))
    obs = obs | {REACHED: place} if has_goal(obs) else place
    return reached(standard(obs), entries)


class Following(Policy[tuple[()]]):
    """The clone, asked for one outcome."""

    clone: Clone
    asked: Conditions

    def asked_for(self, target: Float[Array, ""]) -> "Following":
        if self.asked.outcome == "goal":
            raise BadConfig("this policy is asked for a goal, not for a return")
        share = self.asked.share(target / self.asked.longest)[None]
        return eqx.tree_at(lambda p: p.asked.wanted, self, share)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        obs = self.asked.seen(t.obs, self.asked.asked(t.obs))
        t = TimeStep(obs, t.reward, t.first, t.legal)
        return self.clone(carry, t, key=key, explore=explore)


class State(eqx.Module):
    net: Trainable[Cloner]
    asked: Conditions


class RvS(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box, Discrete, MultiDiscrete})
    version: ClassVar = 1

    outcome: Outcome = "reward"
    """What to condition on: the mean reward to come, or a goal reached later."""
    target: Real = 1.0
    """Return to ask for: 0 is that of the dataset's worst episode, 1 of its best."""
    goal: Annotated[tuple[float, ...], Range()] = ()
    """Goal to ask for; none where observations have a `desired_goal`."""
    entries: Annotated[tuple[int, ...], Range(0)] = ()
    """Entries of an observation that make a goal; none are all."""
    learning_rate: Positive = 1e-3
    """Adam's step size."""
    batch: Count = 256
    """Steps per update; the paper has 16384 for Gym and AntMaze."""
    hidden: Widths = (1024, 1024)
    """Widths of the hidden layers."""
    standardise: bool = False
    """Scale observations and goals by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Source[Any, Sample]:
        return Deal(self.batch, hindsight=self.outcome)

    def init(self, spec: Spec, *, key: Key) -> State:
        asked = self._asked(spec, known(self, spec))
        size = 1 if self.outcome == "reward" else goal_size(spec, self.entries)
        some = np.full(size, np.inf, np.float32)
        seen = {"outcome": Box(-some, some), "obs": without_goal(spec.obs)}
        wider = Spec(seen, spec.action, spec.masked)
        net = cloner(wider, self.hidden, "gaussian", self.vision, key=key)
        return State(trainable(net, self.tx), asked)

    def _asked(self, spec: Spec, facts: Facts) -> Conditions:
        standard = Standard.known(spec, use=self.standardise)
        wanted = jnp.asarray(self.target, jnp.float32)[None]
        if self.outcome == "goal":
            wanted = given_goal(spec, standard, self.goal, self.entries)
        elif isinstance(self.target, int | float):
            total = facts.worst + self.target * (facts.best - facts.worst)
            facts.warn_if_far(f"RvS.target = {self.target:g}", total)
        rate = lambda total: jnp.asarray(total / facts.longest, jnp.float32)
        low, high = rate(facts.worst), rate(facts.best)
        return Conditions(
            standard, low, high, wanted, self.outcome, self.entries, facts.longest
        )

    def policy(self, state: State) -> Following:
        return Following(Clone(state.net.net), state.asked)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        net, report = clone(
            self.tx,
            state.net,
            told(state.asked, batch.steps),
            batch.weight,
            rate=self.learning_rate,
        )
        return State(net, state.asked), report


def told(asked: Conditions, steps: Transition) -> Transition:
    """The steps with the outcome of each in what is seen."""
    outcome = jax.vmap(asked.came)(steps.extras)
    seen = jax.vmap(asked.seen)(steps.obs, outcome)
    return dataclasses.replace(steps, obs=seen, extras=())
