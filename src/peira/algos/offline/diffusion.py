"""Diffusion Policy: what is done over the next steps is drawn as a whole, by taking
noise away from it; the first part of it is done before anything is planned anew.

    plan     A = (aₜ₋ₒ₊₁ ... aₜ₋ₒ₊ₚ), given s = (sₜ₋ₒ₊₁ ... sₜ)
    minimise E[|ε - ε̂(√ᾱₖ A + √(1 - ᾱₖ) ε, k, s)|²],  k uniform, ε normal
    act      A from pure noise in a few steps back (DDIM); aₜ ... aₜ₊ₑ₋₁ are done

o steps are read, p planned and e executed. AdamW, whose step size rises linearly and
falls as a cosine; who acts is a slow copy of who learns, of decay 1 - n^-0.75. ε̂ is a
U-Net over the time of a plan, or a transformer in which no action looks at later ones,
nor at later observations.

Chi et al., 2023. https://arxiv.org/abs/2303.04137; what the paper leaves open is taken
from the authors' code, and so are the values. Where an episode does not reach, its
first or last step is repeated, and learned from.

Deliberately different: observations have zero mean and unit variance, actions are in
units of their bounds (the authors bring both to [-1, 1] by the data's extremes); every
step may be the one at which is planned (theirs leave e - 1 of the episode after it);
plans are drawn in 10 steps of DDIM, as on the authors' robots, where their simulations
take 100 of DDPM (`eta` 1); after the signal is clipped to the bounds the noise is
worked out again; to show, every plan starts from the same noise; ε in the scaling of
observations is 1e-3. Beside a transformer no weights are lost in reading images (theirs
lose 1e-6 there); what drops out of it stands in `nets.decoder`.

Reference scores: Push-T from states 0.95 at best, 0.91 (with a transformer 0.79) on
average over the last 10 checkpoints; `docs/results.md`.
"""

from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    BadConfig,
    Box,
    Count,
    fold,
    is_space,
    Key,
    known,
    NonNegative,
    Policy,
    Positive,
    Range,
    Report,
    Sample,
    Source,
    Spec,
    TimeStep,
    Unit,
    Widths,
)
from ...data import Deal
from ...nets import Decoder, Encoder, fan_in, UNet, Vision
from ...ops import (
    blank,
    descend,
    generated,
    left,
    noised,
    Number,
    polyak,
    recent,
    renewed,
    scale,
    Schedule,
    Standard,
    Standardised,
    Trainable,
    trainable,
    unscale,
)
from .denoiser import adamw, Denoiser, Kind, Seen, USUAL


LEAST = 1e-4  # the slow copy's least speed


class Plan(eqx.Module):
    """What was last seen, what is to be done, and how much of that was done."""

    seen: Seen
    actions: Float[Array, "executed act"]
    done: Int[Array, ""]


class Planner(Policy[Plan]):
    """Does a part of each plan before it makes the next."""

    net: Denoiser
    kept: Float[Array, " step"]
    noise: Float[Array, "draw plan act"]
    """What plans are made from to show: where they start, and what is added on the
    way."""
    eta: Float[Array, ""]
    observed: int = eqx.field(static=True)
    executed: int = eqx.field(static=True)

    def begin(self) -> Plan:
        net = self.net
        seen = blank(net.eye.spaces, net.form, self.observed)
        actions = jnp.zeros((self.executed, self.noise.shape[-1]))
        return Plan(seen, actions, jnp.array(0, jnp.int32))

    def planned(
        self, seen: Seen, noise: Float[Array, "draw plan act"]
    ) -> Float[Array, "executed act"]:
        """The part of a plan that is executed."""
        told = self.net.features(seen)
        guess = lambda x, time: self.net.body(x, time, told)
        plan = generated(guess, self.kept, noise[0], noise[1:], eta=self.eta)
        now = self.observed - 1
        return jnp.clip(plan[now : now + self.executed], -1.0, 1.0)

    def __call__(
        self, carry: Plan, t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, Plan, tuple[()]]:
        seen = recent(carry.seen, t.obs, t.first)
        due = jnp.asarray(t.first) | (carry.done % self.executed == 0)
        noise = jr.normal(key, self.noise.shape) if explore else self.noise
        make = lambda given: given[0].planned(*given[1:])
        actions = renewed(due, make, (self, seen, noise), carry.actions)
        done = jnp.where(due, 0, carry.done)
        unit = actions[done].reshape(self.net.action.shape)
        return scale(self.net.action, unit), Plan(seen, actions, done + 1), ()


def loss(
    net: Denoiser,
    seen: Seen,
    plan: Float[Array, "batch plan act"],
    kept: Float[Array, " step"],
    *,
    key: Key,
    rate: Number = 0.0,
) -> Float[Array, ""]:
    """`E[|ε - ε̂|²]`, a mean over all numbers of a plan."""
    k_time, k_noise, k_drop = jr.split(key, 3)
    time = jr.randint(k_time, (len(plan),), 0, len(kept))
    noise = jr.normal(k_noise, plan.shape)
    mixed = jax.vmap(noised)(plan, noise, kept[time])
    guess = lambda x, time, seen, k: net(x, time, seen, rate=rate, key=k)
    found = jax.vmap(guess)(mixed, time, seen, jr.split(k_drop, len(plan)))
    return jnp.square(found - noise).mean()


class State(eqx.Module):
    net: Trainable[Denoiser]
    slow: Denoiser
    """The copy that acts."""
    standard: Standard
    count: Int[Array, ""]
    horizon: Int[Array, ""]
    """Updates the run intends."""


class DiffusionPolicy(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1

    observed: Count = 2
    """Observations that are read at once."""
    horizon: Count = 16
    """Actions of a plan, which begins at the first of those observations."""
    executed: Count = 8
    """Actions that are done before a new plan is made."""
    noise_steps: Count = 100
    """Steps in which noise takes the place of a plan, while learning."""
    denoising_steps: Count = 10
    """Steps in which a plan is made from noise, while acting."""
    eta: Unit = 0.0
    """Fresh noise on the way back: none in DDIM (0), that of DDPM (1)."""
    schedule: Schedule = "squared-cosine"
    """How fast noise takes over."""
    learning_rate: Positive = 1e-4
    """AdamW's largest step size."""
    warmup: Count | None = None
    """Updates over which the step size rises, before it falls as a cosine; none are
    500 for a U-Net and 1000 for a transformer."""
    weight_decay: NonNegative | None = None
    """How much is lost in a step of size 1, of every weight of a U-Net or every matrix
    of a transformer; none is 1e-6 for the one and 1e-3 for the other."""
    slowing: Annotated[float, Range(0, 1)] = 0.75
    """How fast the copy that acts grows slow: after n updates it moves n^-slowing of
    the way."""
    batch: Count = 256
    """Windows per update."""
    denoiser: Kind = "unet"
    """Network that tells the noise: convolutions over time, or attention."""
    hidden: Widths = (256, 512, 1024)
    """U-Net: channels at full length, at half of it, and so on."""
    kernel: Count = 5
    """U-Net: steps that a convolution sees; an odd number."""
    embedding: Annotated[int, Range(4)] = 256
    """U-Net: numbers that the step of noise is told in; an even number."""
    width: Count = 256
    """Transformer: numbers per token; an even number."""
    layers: Count = 8
    """Transformer: blocks."""
    heads: Count = 4
    """Transformer: heads of its attention."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.3
    """Transformer: chance of a number to drop out, in attention and its outputs."""
    standardise: bool = True
    """Scale observations by the dataset's mean and standard deviation."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    @property
    def tx(self) -> optax.GradientTransformation:
        decay = self.weight_decay
        if decay is None:
            decay = USUAL[self.denoiser].weight_decay
        return adamw(self.denoiser, decay)

    def store(self, spec: Spec) -> Source[Any, Sample]:
        return Deal(self.batch, self.horizon, before=self.observed - 1)

    def init(self, spec: Spec, *, key: Key) -> State:
        known(self, spec)
        check_horizons(self)
        eye = Encoder(spec.obs, init=fan_in, key=fold(key, "eye"), vision=self.vision)
        body = self._body(spec.action.size, eye.size, key=fold(key, "body"))
        form = jax.tree.structure(spec.obs, is_leaf=is_space)
        net = Denoiser(eye, body, spec.action, form)
        standard = Standard.known(spec, use=self.standardise)
        slow = jax.tree.map(jnp.copy, net)
        count = jnp.array(0, int)
        horizon = jnp.array(spec.updates, int)
        return State(trainable(net, self.tx), slow, standard, count, horizon)

    def _body(self, actions: int, seen: int, *, key: Key) -> UNet | Decoder:
        """The network for so many numbers of an action and of an observation."""
        if self.denoiser == "unet":
            return UNet(
                actions,
                self.observed * seen,
                self.hidden,
                kernel=self.kernel,
                embedding=self.embedding,
                key=key,
            )
        return Decoder(
            actions,
            seen,
            self.horizon,
            self.observed,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            key=key,
        )

    def policy(self, state: State) -> Standardised:
        net = state.slow
        shape = (1 + self.denoising_steps, self.horizon, net.action.size)
        planner = Planner(
            net,
            jnp.asarray(left(self.schedule, self.noise_steps)),
            jr.normal(jr.key(0), shape),
            jnp.asarray(self.eta, jnp.float32),
            self.observed,
            self.executed,
        )
        return Standardised(planner, state.standard)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps, count = state.standard.steps(batch.steps), state.count + 1
        box = state.slow.action
        unit = lambda a: unscale(box, a).ravel()
        plan = jax.vmap(jax.vmap(unit))(jnp.asarray(steps.action))
        seen = jax.tree.map(lambda x: jnp.asarray(x)[:, : self.observed], steps.obs)
        kept = jnp.asarray(left(self.schedule, self.noise_steps))

        def error(net: Denoiser) -> tuple[Float[Array, ""], Float[Array, ""]]:
            value = loss(net, seen, plan, kept, key=key, rate=self.dropout)
            return value, value

        warmup = USUAL[self.denoiser].warmup if self.warmup is None else self.warmup
        size = paced(state.count, warmup, state.horizon)
        net, value = descend(self.tx, state.net, error, rate=self.learning_rate * size)
        speed = jnp.maximum(count - 1, 1) ** -jnp.asarray(self.slowing)
        slow = polyak(state.slow, net.net, jnp.maximum(speed, LEAST))
        new = State(net, slow, state.standard, count, state.horizon)
        return new, Report({"loss": value})


def paced(
    count: Int[Array, ""], warmup: int, updates: Int[Array, ""]
) -> Float[Array, ""]:
    """The share of the step size after so many updates: up in a line, down in a
    cosine."""
    rising = count / warmup
    gone = jnp.clip((count - warmup) / jnp.maximum(1, updates - warmup), 0.0, 1.0)
    falling = (1 + jnp.cos(jnp.pi * gone)) / 2
    return jnp.where(count < warmup, rising, falling)


def check_horizons(self: DiffusionPolicy) -> None:
    """Raise `BadConfig` for plans that are too short, or cannot be halved as often as
    the network does, and for more steps back than there are."""
    least = self.observed - 1 + self.executed
    if self.horizon < least:
        raise BadConfig(
            f"DiffusionPolicy.horizon = {self.horizon}: {self.executed} actions after "
            f"{self.observed} observations need at least {least}"
        )
    halved = 2 ** (len(self.hidden) - 1)
    if self.denoiser == "unet" and self.horizon % halved:
        raise BadConfig(
            f"DiffusionPolicy.horizon = {self.horizon}: {len(self.hidden)} widths "
            f"in hidden halve it {len(self.hidden) - 1} times: choose a multiple of "
            f"{halved}"
        )
    if self.denoising_steps > self.noise_steps:
        raise BadConfig(
            f"DiffusionPolicy.denoising_steps = {self.denoising_steps}: at most "
            f"noise_steps, {self.noise_steps}"
        )
