"""Fitted Q evaluation.

    y       = r + γ (1 - terminated) Q̄(s', a'),  a' ~ π(s')
    Q         minimise  E[w (Q(s, a) - y)²]
    target    moves by τ after every step

π is given and is not learned. Every member of an ensemble has episodes of its own,
drawn with replacement; w is how often the step's was. So the members differ by what
another dataset of the same size would change, and by what another training would.

Le, Voloshin & Yue, 2019. https://arxiv.org/abs/1903.08738 (algorithm 3); drawing the
episodes: Hao et al., 2021. https://arxiv.org/abs/2102.03607

Deliberately different: the paper fits each Q to its end before the next target; here
the target follows slowly and lies within what the rewards allow, both as in the code of
Fu et al., 2021, https://arxiv.org/abs/2103.16596 (whose step size and batch these are).
The network's output is in units of the returns logged.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    Arrays,
    Box,
    Count,
    Discrete,
    fold,
    Key,
    MultiDiscrete,
    Obs,
    Policy,
    Positive,
    Report,
    Sample,
    Source,
    Space,
    Spec,
    TimeStep,
    Transition,
    Unit,
    Widths,
)
from ...data import Deal
from ...nets import Encoder, fan_in, MLP
from ...nets.encode import flat, width
from ...ops import (
    descend,
    Number,
    polyak,
    Standard,
    Trainable,
    trainable,
    unscale,
)
from .likelihood import choices


class Values(eqx.Module):
    """Q(s, a), in units of its scale: one output per choice, or the action as input."""

    encoder: Encoder
    body: MLP
    space: Space = eqx.field(static=True)

    def __call__(self, obs: Obs, action: Action) -> Float[Array, ""]:
        eye = self.encoder(obs)
        if isinstance(self.space, Discrete):
            return self.body(eye)[action]
        return self.body(jnp.concatenate([eye, code(self.space, action)]))[0]


def code(space: Space, action: Action) -> Float[Array, " act"]:
    """An action as the network sees it: in units of its bounds where it has any."""
    if isinstance(space, Box) and space.bounded:
        return unscale(space, action).ravel()
    return flat(space, action)


class State(eqx.Module):
    q: Trainable[Values]
    target: Values
    policy: Policy
    standard: Standard
    weight: Float[Array, " step"] | None
    """How often the episode of each step was drawn; None: each once."""


def target(
    value: Float[Array, " batch"],
    steps: Transition,
    *,
    gamma: Number,
    limits: tuple[float, float],
) -> Float[Array, " batch"]:
    """`y`, within the limits."""
    y = steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)
    return jnp.clip(y, *limits)


def loss(
    q: Values, steps: Transition, y: Float[Array, " batch"], weight: Any
) -> tuple[Float[Array, ""], Float[Array, " batch"]]:
    """`E[w (Q(s, a) - y)²]` and the errors."""
    td = jax.vmap(q)(steps.obs, steps.action) - y
    return (weight * jnp.square(td)).mean(), td


class FQE(Algorithm[State, Sample]):
    """Learns the values of a policy that is given, and is not learned."""

    serves: ClassVar = frozenset({Box, Discrete, MultiDiscrete})
    version: ClassVar = 1

    judged: Policy
    """Whose values are asked."""
    explore: bool = False
    """Whether it acts as when it learns, or as when it shows."""
    episode: Int[Arrays, " step"] | None = None
    """The episode of every step, to draw them with replacement; None: each once."""
    scale: tuple[float, float] = (0.0, 1.0)
    """What the network's 0 stands for, and its 1."""
    limits: tuple[float, float] = (-float("inf"), float("inf"))
    """Between which every value lies."""
    gamma: Unit = 0.99
    """Discount."""
    learning_rate: Positive = 3e-4
    """Adam's step size."""
    tau: Unit = 0.005
    """Speed of the target network."""
    draws: Count = 1
    """Actions that are drawn of the policy for each target."""
    batch: Count = 256
    """Items per update."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers."""

    def store(self, spec: Spec) -> Source[Any, Sample]:
        return Deal(self.batch)

    def init(self, spec: Spec, *, key: Key) -> State:
        eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"))
        heads = isinstance(spec.action, Discrete)
        extra = 0 if heads else width(spec.action)
        out = spec.action.n if heads else 1
        body = MLP([eye.size + extra, *self.hidden, out], key=fold(key, "body"))
        q = Values(eye, body, spec.action)
        weight = None
        if self.episode is not None:
            weight = resampled(self.episode, key=fold(key, "resample"))
        return State(
            trainable(q, optax.scale_by_adam()),
            target=q,
            policy=self.judged,
            standard=Standard.known(spec),
            weight=weight,
        )

    def policy(self, state: State) -> Policy[Any]:
        return state.policy

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = batch.steps
        zero = jnp.zeros_like(steps.terminated)
        t = TimeStep(steps.next_obs, steps.reward, zero, steps.next_legal)
        value = self.value(state, state.target, t, key=key, draws=self.draws)
        y = target(value, steps, gamma=self.gamma, limits=self.limits)
        weight = batch.weight
        if state.weight is not None:
            weight = weight * state.weight[batch.index]
        middle, unit = self.scale
        scaled = state.standard.steps(steps)
        q, td = descend(
            optax.scale_by_adam(),
            state.q,
            lambda q: loss(q, scaled, (y - middle) / unit, weight),
            rate=self.learning_rate,
        )
        after = polyak(state.target, q.net, self.tau)
        state = State(q, after, state.policy, state.standard, state.weight)
        report = {"loss": jnp.square(unit * td).mean(), "value": y.mean()}
        return state, Report(report)

    def value(
        self, state: State, q: Values, t: TimeStep, *, key: Key, draws: int
    ) -> Float[Array, " batch"]:
        """`E[Q(s, a)]` over actions that the policy draws, for every observation."""

        def one(t: TimeStep, key: Key) -> Array:
            act = choices(state.policy, t, key=key, draws=draws, explore=self.explore)
            obs = state.standard(t.obs)
            return jax.vmap(lambda a: q(obs, a))(act).mean()

        keys = jr.split(key, t.reward.shape[0])
        return self.scale[0] + self.scale[1] * jax.vmap(one)(t, keys)

    def of_done(self, state: State, steps: Transition) -> Float[Array, " batch"]:
        """`Q(s, a)` of what was done."""
        seen = state.standard.steps(steps)
        unit = jax.vmap(state.q.net)(seen.obs, seen.action)
        return self.scale[0] + self.scale[1] * unit


def resampled(episode: Int[Arrays, " step"], *, key: Key) -> Float[Array, " step"]:
    """How often the episode of each step is among as many drawn with replacement."""
    count = int(episode[-1]) + 1
    drawn = jr.randint(key, (count,), 0, count)
    return jnp.bincount(drawn, length=count)[episode].astype(jnp.float32)
