"""Bootstrapping error accumulation reduction: the policy may do whatever the data
might, in whatever proportion.

    behaviour  a VAE, learned as in BCQ, beside everything else
    target     y = r + γ (1 - terminated) v(s'),
               v(s) = max [λ minᵢ Q̄ᵢ(s, a) + (1 - λ) maxᵢ Q̄ᵢ(s, a)]
               over 10 actions a ~ π̄(s)
    critic     minimise  Σᵢ E[(Qᵢ(s, a) - y)²]
    actor      maximise  E[minᵢ Qᵢ(s, a)] - α E[MMD(b(·|s), π(·|s))],  a ~ π(s)
               (for the first `warm_start` updates without Q)
    α          maximise  α (E[MMD] - ε),  by log α, which stays in [-5, `cap`]
    act        the action of highest Q₁ among 10 of π(s); targets move by τ
    MMD²       = E k(x, x') + E k(y, y') - 2 E k(x, y),  of few samples, before tanh

Few samples and a wide kernel tell apart where the densities live, not how high they
are. Kumar, Fu, Tucker & Levine, 2019. https://arxiv.org/abs/1906.00949
(algorithm 1); kernels `exp(-|x - y|₁ / 2σ)` and `exp(-|x - y|² / 2σ)`, clipped noise
and sizes are those of the authors' code. Differs from `offline.bcq` in the actor; the
VAE is the same.

The authors published three settings that do not agree; `docs/algorithms/bear.md` has
all of them. The defaults are the first.

Deliberately different: α begins at 1 (the authors draw it), σ of the policy is bounded
as in our SAC, the variance of an ensemble is not subtracted (nor is it in the authors'
commands), actions are shown by the same noise at every state, and the networks see
actions in units of their bounds.

Reference scores: `docs/algorithms/bear.md`.
"""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int

from ...core import (
    Algorithm,
    Box,
    Count,
    fold,
    Key,
    NonNegative,
    Obs,
    Positive,
    Real,
    Report,
    Sample,
    Spec,
    Store,
    Unit,
    Whole,
    Widths,
)
from ...data import Replay
from ...nets import Encoder, Ensemble, fan_in, MLP, VAE, Vision
from ...ops import (
    BestOf,
    Critics,
    descend,
    fixed_noise,
    gaussian,
    laplacian,
    Number,
    polyak,
    squared_mmd,
    Trainable,
    trainable,
)
from ..online.sac import Actor
from ..online.td3 import Critic, critic_loss, in_units, twins
from . import bcq


NOISE_CLIP = 0.5  # of the samples whose MMD is taken
LOWEST = -5.0  # log α
KERNELS = {"laplacian": laplacian, "gaussian": gaussian}
JUDGED = {"min": jnp.min, "max": jnp.max, "mean": jnp.mean}


class Sampled(eqx.Module):
    """The actor's action of given noise."""

    actor: Actor

    def __call__(self, obs: Obs, noise: Float[Array, " act"]) -> Float[Array, " act"]:
        return jnp.tanh(raw(self.actor, obs, noise))


class State(eqx.Module):
    vae: Trainable[VAE]
    actor: Trainable[Actor]
    critic: Trainable[Ensemble[Critic]]
    log_alpha: Trainable[Float[Array, ""]]
    target_actor: Actor
    target_critic: Ensemble[Critic]
    step: Int[Array, ""]


def raw(actor: Actor, obs: Obs, noise: Float[Array, " act"]) -> Float[Array, " act"]:
    """The actor's action of given noise, before tanh."""
    pi = actor(obs)
    return pi.mean + jnp.exp(pi.log_std) * noise


def mmd(
    x: Float[Array, "n act"], y: Float[Array, "m act"], kernel: str, sigma: Number
) -> Float[Array, ""]:
    """The authors' `√(MMD² + 1e-6)`."""
    return jnp.sqrt(squared_mmd(x, y, KERNELS[kernel](2 * sigma)) + 1e-6)


def actor_loss(
    actor: Actor,
    critic: Critics,
    obs: Obs,
    behaviour: Float[Array, "batch match act"],
    noise: Float[Array, "batch match act"],
    alpha: Number,
    judged: str,
    started: Bool[Array, ""],
    *,
    kernel: str,
    sigma: Number,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`α E[MMD] - E[Q]`, without Q until `started`; and `E[MMD]`."""

    def one(
        s: Obs, theirs: Float[Array, "match act"], e: Float[Array, "match act"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        mine = jax.vmap(raw, in_axes=(None, None, 0))(actor, s, e)
        q = jax.vmap(critic, in_axes=(None, 0))(s, jnp.tanh(mine)).mean(axis=0)
        return JUDGED[judged](q), mmd(mine, theirs, kernel, sigma)

    value, apart = jax.vmap(one)(obs, behaviour, noise)
    return (alpha * apart - jnp.where(started, value, 0.0)).mean(), apart.mean()


def alpha_loss(
    log_alpha: Float[Array, ""], apart: Float[Array, ""], epsilon: Number
) -> tuple[Float[Array, ""], tuple[()]]:
    """`-α (E[MMD] - ε)`: up while the policy leaves the data."""
    return -jnp.exp(log_alpha) * (apart - epsilon), ()


class BEAR(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    kernel: Literal["laplacian", "gaussian"] = "laplacian"
    """By which two actions are alike."""
    sigma: Positive = 10.0
    """Width of the kernel, of actions before tanh."""
    epsilon: NonNegative = 0.05
    """Largest MMD between the policy and the data."""
    matches: Count = 5
    """Samples of each, of which the MMD is taken."""
    cap: Real = 10.0
    """Largest logarithm of the constraint's weight."""
    judged: Literal["min", "max", "mean"] = "min"
    """Which of the critics the actor believes."""
    warm_start: Whole = 20_000
    """First updates, in which the actor only meets the constraint."""
    critics: Count = 2
    """How many of them."""
    mix: Unit = 0.75
    """Weight of the smallest critic in the target; the largest has the rest."""
    candidates: Count = 10
    """Actions of the policy in the target."""
    shown: Count = 10
    """Actions of the policy to act by."""
    learning_rate: Positive = 1e-3
    """Adam's step size for the actor."""
    critic_rate: Positive = 1e-3
    """Adam's step size for critics, VAE and the constraint's weight."""
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
    """Widths of the hidden layers of actor and critics each."""
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
        act, k_actor = spec.action.size, fold(key, "actor")
        vae = VAE(
            spec.obs,
            act,
            2 * act,
            self.vae_hidden,
            key=fold(key, "vae"),
            vision=self.vision,
        )
        eye = Encoder(
            spec.obs, init=fan_in, key=fold(k_actor, "eye"), vision=self.vision
        )
        body = MLP([eye.size, *self.hidden, 2 * act], key=k_actor)
        actor = Actor(eye, body, spec.action)
        critic = twins(
            spec,
            self.hidden,
            self.vision,
            False,
            key=fold(key, "critic"),
            members=self.critics,
        )
        return State(
            trainable(vae, self.tx),
            trainable(actor, self.tx),
            trainable(critic, self.tx),
            trainable(jnp.zeros(()), self.tx),
            actor,
            critic,
            jnp.array(0, int),
        )

    def policy(self, state: State) -> BestOf:
        first = jax.tree.map(lambda x: x[0], state.critic.net.members)
        actor = state.actor.net
        noise = fixed_noise(self.shown, actor.space.size)
        return BestOf(Sampled(actor), first, noise, state.step == 0, actor.space)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = in_units(batch.steps, state.actor.net.space)
        k_vae, k_target, k_theirs, k_mine = jr.split(key, 4)
        size, act = steps.action.shape

        vae, _ = descend(
            self.tx,
            state.vae,
            lambda v: bcq.vae_loss(v, steps.obs, steps.action, key=k_vae),
            rate=self.critic_rate,
        )
        y = bcq.target(
            Sampled(state.target_actor),
            state.target_critic,
            steps,
            jr.normal(k_target, (size, self.candidates, act)),
            weight=self.mix,
            gamma=self.gamma,
        )
        critic, td = descend(
            self.tx,
            state.critic,
            lambda q: critic_loss(q, steps.obs, steps.action, y, batch.weight),
            rate=self.critic_rate,
        )
        actor, log_alpha, apart = self._constrained(
            state, vae.net, critic.net, steps.obs, keys=(k_theirs, k_mine)
        )
        state = State(
            vae,
            actor,
            critic,
            log_alpha,
            polyak(state.target_actor, actor.net, self.tau),
            polyak(state.target_critic, critic.net, self.tau),
            state.step + 1,
        )
        report = {
            "critic_loss": jnp.square(td).sum(axis=-1).mean(),
            "value": (td + y[:, None]).mean(),
            "mmd": apart,
            "alpha": jnp.exp(log_alpha.net),
        }
        return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))

    def _constrained(
        self,
        state: State,
        vae: VAE,
        critic: Ensemble[Critic],
        obs: Obs,
        *,
        keys: tuple[Key, Key],
    ) -> tuple[Trainable[Actor], Trainable[Float[Array, ""]], Float[Array, ""]]:
        """One step of actor and α; and the divergence before it."""
        size, act = jax.tree.leaves(obs)[0].shape[0], state.actor.net.space.size
        draw = lambda k, n: jnp.clip(
            jr.normal(k, (size, self.matches, n)), -NOISE_CLIP, NOISE_CLIP
        )
        decode = jax.vmap(jax.vmap(vae.decode, in_axes=(None, 0)))
        theirs, mine = decode(obs, draw(keys[0], vae.latent)), draw(keys[1], act)
        alpha = jnp.exp(state.log_alpha.net)
        started = state.step >= self.warm_start

        def improve(pi: Actor) -> tuple[Float[Array, ""], Float[Array, ""]]:
            return actor_loss(
                pi,
                critic,
                obs,
                theirs,
                mine,
                alpha,
                self.judged,
                started,
                kernel=self.kernel,
                sigma=self.sigma,
            )

        actor, apart = descend(self.tx, state.actor, improve, rate=self.learning_rate)
        log_alpha, _ = descend(
            self.tx,
            state.log_alpha,
            lambda la: alpha_loss(la, apart, self.epsilon),
            rate=self.critic_rate,
        )
        within = jnp.clip(log_alpha.net, LOWEST, self.cap)
        return actor, Trainable(within, log_alpha.opt, log_alpha.refused), apart
