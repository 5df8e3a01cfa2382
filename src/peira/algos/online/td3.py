"""Twin delayed deep deterministic policy gradient.

    target   y = r + γ (1 - terminated) minᵢ Q̄ᵢ(s', clip(π̄(s') + clip(ε, ±c)))
    critic   minimise  Σᵢ E[(Qᵢ(s, a) - y)²]
    actor    maximise  E[Q₁(s, π(s))],  once every `delay` critic steps,
             after which all targets move by τ

or, with histograms m of y and p of what a critic says (`online.values`),

    critic   minimise  Σᵢ E[H(m, pᵢ(s, a))], H the cross-entropy

Fujimoto, van Hoof & Meger, 2018. https://arxiv.org/abs/1802.09477 (algorithm 1). The
networks and step sizes are those of the authors' later code (256-256, 3e-4); the paper
has 400-300 and 1e-3.

Deliberately different: the networks see actions in units of their bounds.

Reference scores at 1M steps (authors' learning curves, mean of the last 10
evaluations, 10 seeds): HalfCheetah 9533, Hopper 3305, Walker2d 4565; `docs/results.md`.
"""

from collections.abc import Callable
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
    Arrays,
    Box,
    Count,
    fold,
    Key,
    NonNegative,
    Obs,
    Policy,
    Positive,
    Range,
    Real,
    Report,
    Sample,
    Spec,
    Store,
    TimeStep,
    Transition,
    Unit,
    Whole,
    Widths,
)
from ...data import Replay
from ...nets import Encoder, Ensemble, fan_in, MLP, Vision
from ...ops import (
    descend,
    Number,
    polyak,
    scale,
    Trainable,
    trainable,
    unscale,
    when,
)
from .values import cross_entropy, ValueLoss, Values


class Actor(eqx.Module):
    """A deterministic action in `[-1, 1]`, the bounds of `space`."""

    encoder: Encoder
    body: MLP
    space: Box = eqx.field(static=True)

    def __call__(self, obs: Obs) -> Float[Array, " act"]:
        return jnp.tanh(self.body(self.encoder(obs)))


class Critic(eqx.Module):
    """The value of an action in `[-1, 1]`, or what stands for it."""

    encoder: Encoder
    body: MLP

    def says(self, obs: Obs, action: Float[Array, " act"]) -> Float[Array, " out"]:
        return self.body(jnp.concatenate([self.encoder(obs), action]))

    def __call__(self, obs: Obs, action: Float[Array, " act"]) -> Float[Array, ""]:
        return self.says(obs, action)[0]


def twins(
    spec: Spec,
    hidden: Widths,
    vision: Vision,
    layer_norm: bool,
    *,
    key: Key,
    members: int = 2,
    outputs: int = 1,
) -> Ensemble[Critic]:
    """Two critics, or more, that begin apart."""

    def make(k: Key) -> Critic:
        eye = Encoder(spec.obs, init=fan_in, key=fold(k, "eye"), vision=vision)
        sizes = [eye.size + spec.action.size, *hidden, outputs]
        return Critic(eye, MLP(sizes, key=k, layer_norm=layer_norm))

    return Ensemble(make, members, key=key)


class State(eqx.Module):
    actor: Trainable[Actor]
    critic: Trainable[Ensemble[Critic]]
    target_actor: Actor
    target_critic: Ensemble[Critic]
    step: Int[Array, ""]


class Deterministic(Policy[tuple[()]]):
    """The actor's action, with normal noise when exploring; before the first update
    anything within the bounds."""

    actor: Actor
    untrained: Array
    noise: Float[Array, ""]

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        unit = self.actor(t.obs)
        if explore:
            k_noise, k_any = jr.split(key)
            noisy = unit + self.noise * jr.normal(k_noise, unit.shape)
            anything = jr.uniform(k_any, unit.shape, minval=-1.0, maxval=1.0)
            unit = jnp.where(self.untrained, anything, jnp.clip(noisy, -1.0, 1.0))
        box = self.actor.space
        return scale(box, unit.reshape(box.shape)), carry, ()


def smoothed(
    actor: Actor, obs: Obs, *, noise: Number, clip: Number, key: Key
) -> Float[Array, "batch act"]:
    """The actor's actions with clipped noise (eq. 14)."""
    action = jax.vmap(actor)(obs)
    smooth = jnp.clip(noise * jr.normal(key, action.shape), -clip, clip)
    return jnp.clip(action + smooth, -1.0, 1.0)


def target(
    actor: Actor,
    critic: Ensemble[Critic],
    steps: Transition,
    *,
    gamma: Number,
    noise: Number,
    clip: Number,
    key: Key,
) -> Float[Arrays, " batch"]:
    """`y`, with the target policy smoothed (eqs. 10 and 14)."""
    action = smoothed(actor, steps.next_obs, noise=noise, clip=clip, key=key)
    value = jax.vmap(critic)(steps.next_obs, action).min(axis=-1)
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, value)


def critic_loss(
    critic: Ensemble[Critic],
    obs: Obs,
    action: Action,
    y: Float[Arrays, " batch"],
    weight: Float[Arrays, " batch"],
) -> tuple[Float[Array, ""], Float[Array, "batch member"]]:
    """`Σᵢ E[w (Qᵢ - y)²]` and the errors."""
    td = jax.vmap(critic)(obs, action) - y[:, None]
    return (weight[:, None] * jnp.square(td)).sum(axis=-1).mean(), td


def actor_loss(
    actor: Actor, critic: Ensemble[Critic], steps: Transition
) -> Float[Array, ""]:
    """`-E[Q₁(s, π(s))]`; the first critic alone is asked."""
    first = jax.tree.map(lambda x: x[0], critic.members)
    return -jax.vmap(first)(steps.obs, jax.vmap(actor)(steps.obs)).mean()


ActorLoss = Callable[[Actor, Ensemble[Critic], Transition], Float[Array, ""]]


class TD3(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Box})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    learning_rate: Positive = 3e-4
    """Adam's step size, actor and critics alike."""
    gamma: Unit = 0.99
    """Discount."""
    tau: Unit = 0.005
    """Speed of the target networks."""
    delay: Count = 2
    """Critic steps per actor step."""
    exploration_noise: NonNegative = 0.1
    """Standard deviation of exploration, in units where the bounds are -1 and 1."""
    target_noise: NonNegative = 0.2
    """Standard deviation of the target policy's smoothing, in the same units."""
    target_clip: NonNegative = 0.5
    """Largest smoothing."""
    batch: Count = 256
    """Items per update."""
    capacity: Count = 1_000_000
    """Steps the replay keeps."""
    warmup: Whole = 10_000
    """Steps before the first update; until then actions are random."""
    every: Count = 1
    """Steps between updates, over all environments."""
    value_loss: ValueLoss = "mse"
    """How values are learned: by regression on the target, or as a histogram by its
    cross-entropy."""
    value_low: Real | None = None
    """Histograms: the lowest value there is."""
    value_high: Real | None = None
    """Histograms: the highest value there is."""
    bins: Annotated[int, Range(2)] = 51
    """Histograms: numbers from the lowest to the highest."""
    sigma: Positive = 0.75
    """HL-Gauss: deviation of the normal, in distances of two numbers."""
    hidden: Widths = (256, 256)
    """Widths of the hidden layers of actor and critics each."""
    layer_norm: bool = False
    """LayerNorm after every hidden layer of the critics."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    def __check_init__(self):
        self.values.check("TD3")

    @property
    def values(self) -> Values:
        low, high = self.value_low, self.value_high
        return Values(self.value_loss, low, high, self.bins, self.sigma)

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def store(self, spec: Spec) -> Store[Any, Sample]:
        return Replay(self.capacity, self.batch, self.warmup, self.every)

    def init(self, spec: Spec, *, key: Key) -> State:
        k_actor = fold(key, "actor")
        eye = Encoder(
            spec.obs, init=fan_in, key=fold(k_actor, "eye"), vision=self.vision
        )
        body = MLP([eye.size, *self.hidden, spec.action.size], key=k_actor)
        actor = Actor(eye, body, spec.action)
        critic = twins(
            spec,
            self.hidden,
            self.vision,
            self.layer_norm,
            key=fold(key, "critic"),
            outputs=self.values.outputs,
        )
        return State(
            trainable(actor, self.tx),
            trainable(critic, self.tx),
            target_actor=actor,
            target_critic=critic,
            step=jnp.array(0, int),
        )

    def policy(self, state: State) -> Deterministic:
        noise = jnp.asarray(self.exploration_noise)
        return Deterministic(state.actor.net, state.step == 0, noise)

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        return step(self, state, batch, actor_loss, key=key)


def step(
    hp: TD3, state: State, batch: Sample, loss: ActorLoss, *, key: Key
) -> tuple[State, Report]:
    """One critic step and, every `hp.delay`-th time, one actor step down `loss`."""
    steps = in_units(batch.steps, state.actor.net.space)
    y = target(
        state.target_actor,
        hp.values.read(state.target_critic),
        steps,
        gamma=hp.gamma,
        noise=hp.target_noise,
        clip=hp.target_clip,
        key=key,
    )
    return learn(hp, state, steps, y, batch.weight, loss)


def learn(
    hp: TD3,
    state: State,
    steps: Transition,
    y: Float[Arrays, " batch"],
    weight: Float[Arrays, " batch"],
    loss: ActorLoss,
) -> tuple[State, Report]:
    """The critics a step towards `y`; every `hp.delay`-th time, the actor one down
    `loss`."""
    values = hp.values

    def miss(
        q: Ensemble[Critic],
    ) -> tuple[Float[Array, ""], Float[Array, "batch member"]]:
        if values.how == "mse":
            return critic_loss(q, steps.obs, steps.action, y, weight)
        return cross_entropy(q, steps, y, weight, values=values)

    critic, td = descend(hp.tx, state.critic, miss, rate=hp.learning_rate)

    def improve(s: State) -> State:
        actor, _ = descend(
            hp.tx,
            s.actor,
            lambda pi: (loss(pi, values.read(critic.net), steps), ()),
            rate=hp.learning_rate,
        )
        return State(
            actor,
            critic,
            polyak(s.target_actor, actor.net, hp.tau),
            polyak(s.target_critic, critic.net, hp.tau),
            s.step,
        )

    count = state.step + 1
    state = State(state.actor, critic, state.target_actor, state.target_critic, count)
    state = when(count % hp.delay == 0, improve, state)
    report = {
        "critic_loss": jnp.square(td).sum(axis=-1).mean(),
        "value": (td + y[:, None]).mean(),
    }
    return state, Report(report, surprise=jnp.abs(td).mean(axis=-1))


def in_units(steps: Transition, box: Box) -> Transition:
    """The same steps with flat actions in units of their bounds."""
    unit = jax.vmap(lambda a: unscale(box, a).ravel())(steps.action)
    return eqx.tree_at(lambda s: s.action, steps, unit)
