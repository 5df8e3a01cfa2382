"""What a behaviour is known by, and how far a policy is from it: a clone of its
density, or a judge that tells its actions from the policy's.

Of behaviour-regularised actor-critic: Wu, Tucker & Nachum, 2019.
https://arxiv.org/abs/1911.11361.
"""

import functools
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float

from ...core import Box, Key, Obs
from ...nets import Encoder, MLP
from ...ops import (
    descend,
    dual_kl,
    laplacian,
    Number,
    sampled_kl,
    squared_mmd,
    steepness,
    TanhGaussian,
    Trainable,
    wasserstein,
)
from ..online.td3 import Critic


Divergence = Literal["kl", "mmd", "dual-kl", "wasserstein"]
DUAL = {"dual-kl": dual_kl, "wasserstein": wasserstein}
LOG_STD = (-5.0, 0.0)  # the authors' bounds, reached by tanh
EDGE = 1e-3  # how far from the bounds densities are asked for


class Actor(eqx.Module):
    """A squashed normal over `[-1, 1]`, the bounds of `space`."""

    encoder: Encoder
    body: MLP
    space: Box = eqx.field(static=True)

    def __call__(self, obs: Obs) -> TanhGaussian:
        mean, x = jnp.split(self.body(self.encoder(obs)), 2)
        low, high = LOG_STD
        return TanhGaussian(mean, low + (high - low) * (jnp.tanh(x) + 1) / 2)


class Sampled(eqx.Module):
    """The actor's action of given noise."""

    actor: Actor

    def __call__(self, obs: Obs, noise: Float[Array, " act"]) -> Float[Array, " act"]:
        pi = self.actor(obs)
        return jnp.tanh(pi.mean + jnp.exp(pi.log_std) * noise)


class Clone(eqx.Module):
    """The behaviour's density, and how much its own entropy weighs in learning it."""

    actor: Trainable[Actor]
    entropy: Trainable[Float[Array, ""]]


def inside(action: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Where a squashed normal has a density."""
    return jnp.clip(action, EDGE - 1, 1 - EDGE)


def draws(
    pi: TanhGaussian, n: int, *, key: Key
) -> tuple[Float[Array, "n act"], Float[Array, " n"]]:
    """Some actions with their log-probabilities."""
    return jax.vmap(lambda k: pi.sample_and_log_prob(key=k))(jr.split(key, n))


def primal(
    kind: Divergence,
    actor: Actor,
    clone: Actor,
    obs: Obs,
    samples: int,
    sigma: Number,
    *,
    key: Key,
) -> Float[Array, ""]:
    """D in one state, by samples of the clone or its density at those of the policy."""
    k_mine, k_theirs = jr.split(key)
    b = clone(obs)
    mine, log_prob = draws(actor(obs), samples, key=k_mine)
    if kind == "kl":
        return sampled_kl(log_prob, jax.vmap(b.log_prob)(inside(mine)))
    theirs, _ = draws(b, samples, key=k_theirs)
    return squared_mmd(mine, theirs, laplacian(sigma))


def dual(
    kind: Divergence,
    actor: Actor,
    judge: Critic,
    obs: Obs,
    theirs: Float[Array, " act"],
    *,
    key: Key,
) -> tuple[Float[Array, ""], Float[Array, " act"]]:
    """D in one state, by what a judge makes of the policy's action and the data's; and
    the policy's action."""
    mine = draws(actor(obs), 1, key=key)[0][0]
    plus, minus = DUAL[kind](judge(obs, mine), judge(obs, theirs))
    return plus - minus, mine


Known = Clone | Trainable[Critic]
"""By its clone, or by a judge."""


def apart(
    known: Known,
    kind: Divergence,
    actor: Actor,
    obs: Obs,
    theirs: Float[Array, "batch act"] | None,
    *,
    samples: int,
    sigma: Number,
    key: Key,
) -> Float[Array, " batch"]:
    """D in every state, beside what was done there."""
    keys = jr.split(key, jax.tree.leaves(obs)[0].shape[0])
    if isinstance(known, Clone):
        clone, how = known.actor.net, (samples, sigma)
        one = lambda s, k: primal(kind, actor, clone, s, *how, key=k)
        return jax.vmap(one)(obs, keys)
    judge = known.net
    one = lambda s, a, k: dual(kind, actor, judge, s, a, key=k)[0]
    return jax.vmap(one)(obs, theirs, keys)


def clone_loss(
    actor: Actor,
    obs: Obs,
    action: Float[Array, "batch act"],
    entropy: Number,
    *,
    key: Key,
) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Float[Array, ""]]]:
    """`w E_b[log b] - E_data[log b]`, and the two."""
    keys = jr.split(key, action.shape[0])

    def one(s: Obs, a: Float[Array, " act"], k: Key) -> Any:
        b = actor(s)
        return b.sample_and_log_prob(key=k)[1], b.log_prob(inside(a))

    own, theirs = jax.vmap(one)(obs, action, keys)
    return entropy * own.mean() - theirs.mean(), (own.mean(), theirs.mean())


def judge_loss(
    judge: Critic,
    actor: Actor,
    obs: Obs,
    theirs: Float[Array, "batch act"],
    *,
    kind: Divergence,
    penalty: Number,
    key: Key,
) -> tuple[Float[Array, ""], tuple[()]]:
    """`-E[D] + η E[max(0, |∇c(s, ã)| - 1)²]`, ã anywhere between the two actions."""
    k_between, k_draw = jr.split(key)
    between = jr.uniform(k_between, (theirs.shape[0],))

    def one(
        s: Obs, a: Float[Array, " act"], u: Float[Array, ""], k: Key
    ) -> Float[Array, ""]:
        apart, mine = dual(kind, actor, judge, s, a, key=k)
        steep = steepness(lambda x: judge(s, x), mine + u * (a - mine))
        return penalty * steep - apart

    keys = jr.split(k_draw, theirs.shape[0])
    return jax.vmap(one)(obs, theirs, between, keys).mean(), ()


def learn_clone(
    tx: optax.GradientTransformation,
    clone: Clone,
    obs: Obs,
    action: Float[Array, "batch act"],
    *,
    rate: Number,
    key: Key,
) -> tuple[Clone, Float[Array, ""]]:
    """One step of the clone, and of its entropy's weight towards `-dim(A)`; and the
    likelihood of the data before it."""
    weight = clone.entropy
    actor, (own, likely) = descend(
        tx,
        clone.actor,
        lambda b: clone_loss(b, obs, action, weight.net, key=key),
        rate=rate,
    )
    wanted = -float(action.shape[-1])
    weight, _ = descend(tx, weight, lambda w: (w * (-own - wanted), ()), rate=rate)
    return Clone(actor, clipped(weight, 0.0, jnp.inf)), likely


def learn_judge(
    tx: optax.GradientTransformation,
    judge: Trainable[Critic],
    actor: Actor,
    obs: Obs,
    theirs: Float[Array, "batch act"],
    *,
    kind: Divergence,
    penalty: Number,
    times: int,
    rate: Number,
    key: Key,
) -> Trainable[Critic]:
    """Some steps of the judge, each with fresh actions of the policy."""
    for k in jr.split(key, times):
        loss = functools.partial(
            judge_loss,
            actor=actor,
            obs=obs,
            theirs=theirs,
            kind=kind,
            penalty=penalty,
            key=k,
        )
        judge, _ = descend(tx, judge, loss, rate=rate)
    return judge


def clipped(
    x: Trainable[Float[Array, ""]], low: Number, high: Number
) -> Trainable[Float[Array, ""]]:
    """A learned number, brought back into its range."""
    return Trainable(jnp.clip(x.net, low, high), x.opt, x.refused)
