"""Batch-constrained deep Q-learning: only actions like those in the data are asked for.

    VAE      minimise  E[(â - a)²] + E[KL(N(μ, σ²) | N(0, 1))] / 2,  z ~ N(μ, σ²),
             â = decode(s, z),  means over the entries
    propose  a = decode(s, z),  z = clip(N(0, 1), ±0.5),  then a + ξ(s, a), |ξ| ≤ φ
    target   y = r + γ (1 - terminated) v(s'),
             v(s) = max [λ minᵢ Q̄ᵢ(s, a) + (1 - λ) maxᵢ Q̄ᵢ(s, a)]
             over 10 proposals a, perturbed by ξ̄
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²]
    ξ        maximise  E[Q₁(s, a + ξ(s, a))],  a one proposal
    act      the proposal of highest Q₁ among 100; targets move by τ

Fujimoto, Meger & Precup, 2019. https://arxiv.org/abs/1812.02900 (algorithm 1, with the
sizes of the authors' code, which acts by the best of 100 where the paper has 10).

Deliberately different: what is shown comes from the same 100 latents at every state,
so that showing needs no chance; the networks see actions in units of their bounds.

Reference scores: the paper has curves only; D4RL's evaluation of it is quoted in
`docs/algorithms/bcq.md`.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Algorithm,
    Arrays,
    Box,
    Count,
    fold,
    Key,
    NonNegative,
    Obs,
    Positive,
    Report,
    Sample,
    Spec,
    Store,
    Transition,
    Unit,
    Whole,
    Widths,
)
from ...data import Replay
from ...nets import Encoder, Ensemble, fan_in, MLP, VAE, Vision
from ...ops import (
    best_worth,
    BestOf,
    Critics,
    descend,
    fixed_noise,
    normal_kl,
    Number,
    polyak,
    Propose,
    Trainable,
    trainable,
)
from ..online.td3 import Critic, critic_loss, in_units, twins


LATENT_CLIP = 0.5  # of what is decoded, but not of what is learned from


class Perturbation(eqx.Module):
    """Where an action would better be, as a direction of at most 1 per entry."""

    encoder: Encoder
    body: MLP
    space: Box = eqx.field(static=True)

    def __call__(self, obs: Obs, action: Float[Array, " act"]) -> Float[Array, " act"]:
        return jnp.tanh(self.body(jnp.concatenate([self.encoder(obs), action])))


class Proposals(eqx.Module):
    """What the data would do, perturbed: `clip(a + φ ξ(s, a), ±1)`."""

    vae: VAE
    perturbation: Perturbation
    phi: Number

    def __call__(
        self, obs: Obs, noise: Float[Array, " latent"]
    ) -> Float[Array, " act"]:
        z = jnp.clip(noise, -LATENT_CLIP, LATENT_CLIP)
        action = jnp.tanh(self.vae.decode(obs, z))
        moved = action + self.phi * self.perturbation(obs, action)
        return jnp.clip(moved, -1.0, 1.0)


class State(eqx.Module):
    vae: Trainable[VAE]
    perturbation: Trainable[Perturbation]
    critic: Trainable[Ensemble[Critic]]
    target_perturbation: Perturbation
    target_critic: Ensemble[Critic]
    step: Int[Array, ""]


def vae_loss(
    vae: VAE, obs: Obs, action: Float[Array, "batch act"], *, key: Key
) -> tuple[Float[Array, ""], tuple[()]]:
    """`E[(â - a)²] + E[KL] / 2`."""
    mean, std = jax.vmap(vae.encode)(obs, action)
    z = mean + std * jr.normal(key, mean.shape)
    again = jnp.tanh(jax.vmap(vae.decode)(obs, z))
    kl = jax.vmap(normal_kl)(mean, std).mean()
    return jnp.square(again - action).mean() + 0.5 * kl, ()


def target(
    propose: Propose,
    critic: Critics,
    steps: Transition,
    noise: Float[Array, "batch candidate noise"],
    *,
    weight: Number,
    gamma: Number,
) -> Float[Arrays, " batch"]:
    """`y`, by the best of the proposals that the noise stands for."""
    worth = lambda s, e: best_worth(propose, critic, s, e, weight=weight)
    value = jax.vmap(worth)(steps.next_obs, noise)
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)


def perturbation_loss(
    propose: Proposals,
    critic: Ensemble[Critic],
    obs: Obs,
    noise: Float[Array, "batch latent"],
) -> Float[Array, ""]:
    """`-E[Q₁(s, a + ξ(s, a))]`."""
    first = jax.tree.map(lambda x: x[0], critic.members)
    return -jax.vmap(first)(obs, jax.vmap(propose)(obs, noise)).mean()


class BCQ(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    phi: NonNegative = 0.05
    """Largest perturbation of a proposal, in units where the bounds are -1 and 1."""
    mix: Unit = 0.75
    """Weight of the smaller critic in the target; the larger has the rest."""
    candidates: Count = 10
    """Proposals in the target."""
    shown: Count = 100
    """Proposals to act by."""
    learning_rate: Positive = 1e-3
    """Adam's step size, of every network."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    batch: Count = 100
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps, where an environment is learned from too."""
    warmup: Whole = 0
    """Steps in such an environment before the first update there."""
    hidden: Widths = (400, 300)
    """Widths of the hidden layers of critics and perturbation each."""
    vae_hidden: Widths = (750, 750)
    """Widths of the hidden layers of the VAE's halves."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup)

    def init(self, spec: Spec, *, key: Key) -> State:
        act, k_xi = spec.action.size, fold(key, "perturbation")
        vae = VAE(
            spec.obs,
            act,
            2 * act,
            self.vae_hidden,
            key=fold(key, "vae"),
            vision=self.vision,
        )
        eye = Encoder(spec.obs, init=fan_in, key=fold(k_xi, "eye"), vision=self.vision)
        body = MLP([eye.size + act, *self.hidden, act], key=k_xi)
        xi = Perturbation(eye, body, spec.action)
        critic = twins(spec, self.hidden, self.vision, False, key=fold(key, "critic"))
        return State(
            trainable(vae, self.tx),
            trainable(xi, self.tx),
            trainable(critic, self.tx),
            xi,
            critic,
            jnp.array(0, int),
        )

    def policy(self, state: State) -> BestOf:
        first = jax.tree.map(lambda x: x[0], state.critic.net.members)
        vae, xi = state.vae.net, state.perturbation.net
        propose = Proposals(vae, xi, jnp.asarray(self.phi))
        noise = fixed_noise(self.shown, vae.latent)
        return BestOf(propose, first, noise, state.step == 0, xi.space)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = in_units(batch.steps, state.perturbation.net.space)
        k_vae, k_target, k_actor = jr.split(key, 3)

        vae, _ = descend(
            self.tx,
            state.vae,
            lambda v: vae_loss(v, steps.obs, steps.action, key=k_vae),
            rate=self.learning_rate,
        )
        size, latent = steps.action.shape[0], vae.net.latent
        y = target(
            Proposals(vae.net, state.target_perturbation, self.phi),
            state.target_critic,
            steps,
            jr.normal(k_target, (size, self.candidates, latent)),
            weight=self.mix,
            gamma=self.gamma,
        )
        critic, td = descend(
            self.tx,
            state.critic,
            lambda q: critic_loss(q, steps.obs, steps.action, y, batch.weight),
            rate=self.learning_rate,
        )
        noise = jr.normal(k_actor, (size, latent))

        def worth(xi: Perturbation) -> tuple[Float[Array, ""], tuple[()]]:
            propose = Proposals(vae.net, xi, self.phi)
            return perturbation_loss(propose, critic.net, steps.obs, noise), ()

        xi, _ = descend(self.tx, state.perturbation, worth, rate=self.learning_rate)
        state = State(
            vae,
            xi,
            critic,
            polyak(state.target_perturbation, xi.net, self.tau),
            polyak(state.target_critic, critic.net, self.tau),
            state.step + 1,
        )
        report = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean(),
            "value": (td + y[:, None]).mean(),
        }
        return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))
