"""Behaviour cloning: do what the data did, or what its best episodes did.

    Discrete  maximise  E[log π(a|s)]
    Box       minimise  E[(π(s) - a)²], or maximise, with another `head`,
              gaussian  E[log N(a; μ(s), σ)]
              mixture   E[log Σₖ wₖ(s) N(a; μₖ(s), σₖ(s))]
              binned    E[Σᵢ log p(bᵢ | s, b₁ ... bᵢ₋₁)],  bᵢ the bin of the entry aᵢ

Over the share `top` of all episodes, those with the highest returns: with 0.1 it is
the 10%BC of Chen et al., 2021, https://arxiv.org/abs/2106.01345. The squared error is
that of Fujimoto & Gu, 2021, https://arxiv.org/abs/2106.06860; the normal, with one σ
for all states, that of Emmons et al., 2021, https://arxiv.org/abs/2112.10751; the
mixture that of Mandlekar et al., 2021, https://arxiv.org/abs/2108.03298; bins one after
another those of Metz et al., 2017, https://arxiv.org/abs/1705.05035, evenly spaced with
both bounds among them as in Tang & Agrawal, 2020, https://arxiv.org/abs/1901.10500.

Deliberately different: the networks, and so the error, see actions in units of their
bounds; σ is never less than a thousandth of half of them, so that data without noise
can be learned from; the share is of episodes, where Chen et al. count their steps.

Reference scores: D4RL locomotion 50.4, 10%BC 69.3 (final scores of CORL);
`docs/results.md`.
"""

from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Shaped

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
    Range,
    Report,
    Sample,
    Source,
    Spec,
    TimeStep,
    Transition,
    Widths,
)
from ...data import Deal
from ...nets import Autoregressive, Encoder, fan_in, MLP, Vision
from ...ops import (
    Binned,
    Categorical,
    descend,
    Gaussian,
    Mixture,
    MultiCategorical,
    scale,
    Standard,
    Standardised,
    Trainable,
    trainable,
)
from ..online.td3 import in_units


LEAST = -7.0  # log of the smallest σ: a thousandth of half the bounds
Kind = Literal["deterministic", "gaussian", "mixture", "binned"]
Served = Discrete | MultiDiscrete | Box


class Point(eqx.Module):
    """One action; the mean squared error, negated, stands for a log-probability."""

    mean: Float[Array, " act"]

    def sample(self, *, key: Key) -> Float[Array, " act"]:
        return self.mean

    def mode(self) -> Float[Array, " act"]:
        return self.mean

    def log_prob(self, action: Float[Array, " act"]) -> Float[Array, ""]:
        return -jnp.square(self.mean - action).mean()


Distribution = Categorical | MultiCategorical | Gaussian | Mixture | Binned | Point


class Cloner(eqx.Module):
    """What to do, given what is seen; of a Box in units of its bounds."""

    encoder: Encoder
    body: MLP | Autoregressive
    log_std: Float[Array, " act"] | None
    action: Served = eqx.field(static=True)
    modes: int = eqx.field(static=True, default=0)
    """Normals of a mixture; none is no mixture."""

    def __call__(self, obs: Obs, legal: Any = None) -> Distribution:
        seen = self.encoder(obs)
        if isinstance(self.body, Autoregressive):
            return Binned(self.body, seen)
        out = self.body(seen)
        if self.modes:
            return mixture(out, self.modes)
        return distribution(self.action, out, legal, self.log_std)


def distribution(
    space: Served,
    out: Float[Array, " out"],
    legal: Any = None,
    log_std: Float[Array, " act"] | None = None,
) -> Distribution:
    """What a network's output says of what to do; of a Box one action, unless a
    standard deviation is given."""
    match space:
        case Discrete():
            return Categorical(out, legal)
        case MultiDiscrete(nvec):
            return MultiCategorical(out, nvec, legal)
    if log_std is None:
        return Point(jnp.tanh(out))
    return Gaussian(out, jnp.logaddexp(log_std, LEAST))


def mixture(out: Float[Array, " out"], modes: int) -> Mixture:
    """Weights, means and spreads from a network's output, in this order."""
    logits, rest = out[:modes], out[modes:]
    mean, log_std = jnp.split(rest.reshape(2 * modes, -1), 2)
    return Mixture(logits, jnp.tanh(mean), jnp.logaddexp(log_std, LEAST))


def outputs(space: Served) -> int:
    """How many numbers a network must say for it."""
    match space:
        case Discrete(n):
            return n
        case MultiDiscrete(nvec):
            return sum(nvec)
    return space.size


def decided(
    pi: Distribution, space: Served, *, key: Key, explore: bool
) -> Shaped[Array, "..."]:
    """An action as the environment takes it: any when exploring, the likeliest when
    showing."""
    action = pi.sample(key=key) if explore else pi.mode()
    if isinstance(space, Box):
        return scale(space, jnp.clip(action, -1.0, 1.0).reshape(space.shape))
    return action


def cloner(
    spec: Spec,
    hidden: Widths,
    head: Kind,
    vision: Vision,
    *,
    key: Key,
    modes: int = 5,
    bins: int = 51,
) -> Cloner:
    """A network that has cloned nothing yet; what has choices needs no head."""
    eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"), vision=vision)
    size, k_body = outputs(spec.action), fold(key, "body")
    real = isinstance(spec.action, Box)
    if real and head == "binned":
        body = Autoregressive(eye.size, size, bins, hidden, key=k_body)
        return Cloner(eye, body, None, spec.action)
    if real and head == "mixture":
        body = MLP([eye.size, *hidden, modes * (1 + 2 * size)], key=k_body)
        return Cloner(eye, body, None, spec.action, modes)
    log_std = jnp.zeros(size) if real and head == "gaussian" else None
    body = MLP([eye.size, *hidden, size], key=k_body)
    return Cloner(eye, body, log_std, spec.action)


class Clone(Policy[tuple[()]]):
    """Samples when exploring, does the likeliest when showing."""

    net: Cloner

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        pi = self.net(t.obs, t.legal)
        return decided(pi, self.net.action, key=key, explore=explore), carry, ()


def loss(
    net: Cloner, steps: Transition, weight: Float[Arrays, " batch"]
) -> Float[Array, ""]:
    """`-E[w log π(a|s)]`."""
    log_prob = lambda o, legal, a: net(o, legal).log_prob(a)
    return -(weight * jax.vmap(log_prob)(steps.obs, steps.legal, steps.action)).mean()


def clone(
    tx: optax.GradientTransformation,
    net: Trainable[Cloner],
    steps: Transition,
    weight: Float[Arrays, " batch"],
    *,
    rate: Any,
) -> tuple[Trainable[Cloner], Report]:
    """One step down the loss; actions as the environment takes them."""
    box = net.net.action
    if isinstance(box, Box):
        steps = in_units(steps, box)

    def error(n: Cloner) -> tuple[Float[Array, ""], Float[Array, ""]]:
        value = loss(n, steps, weight)
        return value, value

    net, value = descend(tx, net, error, rate=rate)
    return net, Report({"loss": value})


class State(eqx.Module):
    net: Trainable[Cloner]
    standard: Standard


class BC(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box, Discrete, MultiDiscrete})
    version: ClassVar = 1

    top: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """Clone only this share of the episodes, those with the highest returns."""
    head: Kind = "deterministic"
    """For a Box: one action by its squared error; or, by their likelihood, a normal,
    a mixture of normals, or bins of one entry after another."""
    modes: Count = 5
    """Normals of the mixture."""
    bins: Annotated[int, Range(2)] = 51
    """Evenly spaced numbers per entry of the action, both bounds among them."""
    learning_rate: Positive = 3e-4
    """Adam's step size."""
    batch: Count = 256
    """Steps per update."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers."""
    standardise: bool = True
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Source[Any, Sample]:
        return Deal(self.batch, top=self.top)

    def init(self, spec: Spec, *, key: Key) -> State:
        net = cloner(
            spec,
            self.hidden,
            self.head,
            self.vision,
            modes=self.modes,
            bins=self.bins,
            key=key,
        )
        standard = Standard.known(spec, use=self.standardise)
        return State(trainable(net, self.tx), standard)

    def policy(self, state: State) -> Standardised:
        return Standardised(Clone(state.net.net), state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = state.standard.steps(batch.steps)
        net, report = clone(
            self.tx, state.net, steps, batch.weight, rate=self.learning_rate
        )
        return State(net, state.standard), report
