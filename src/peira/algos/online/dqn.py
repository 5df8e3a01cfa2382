"""Deep Q-learning, and what Rainbow added to it, each as a switch.

    target   y = Σₖ γᵏ rₜ₊ₖ + γⁿ (1 - terminated) Q̄(sₜ₊ₙ, a*)
             a* = argmax Q̄(sₜ₊ₙ, ·), or argmax Q(sₜ₊ₙ, ·) when `double`
    loss     E[w Huber(Q(sₜ, aₜ) - y)],  w the replay's correction (one if uniform)
    dueling  Q(s, a) = V(s) + A(s, a) - mean A(s, ·)

or, with histograms, for evenly spaced atoms z and softmax probabilities p,

    value    Q(s, a) = Σᵢ zᵢ pᵢ(s, a)
    loss     E[w H(m, p(sₜ, aₜ))], H the cross-entropy; m is y as two-hot or HL-Gauss,
             or for C51 all Σₖ γᵏ rₜ₊ₖ + γⁿ (1 - terminated) z̄(sₜ₊ₙ, a*) on the atoms

Mnih et al., 2015. https://doi.org/10.1038/nature14236; double: van Hasselt et al.,
2016, https://arxiv.org/abs/1509.06461; dueling: Wang et al., 2016,
https://arxiv.org/abs/1511.06581; prioritised replay: Schaul et al., 2016,
https://arxiv.org/abs/1511.05952; together: Hessel et al., 2018,
https://arxiv.org/abs/1710.02298; C51: Bellemare et al., 2017,
https://arxiv.org/abs/1707.06887; values by classification: Farebrother et al., 2024,
https://arxiv.org/abs/2403.03950.

Deliberately different from the Nature paper: Adam instead of RMSProp, exploration
annealed over a fraction of the run, and defaults for small problems, with targets of
three steps because those of one step do not settle on CartPole; the Nature values are
`--n 1 --learning-rate 2.5e-4 --batch 32 --capacity 1000000 --warmup 50000 --every 4
--target-every 10000 --final-epsilon 0.1`. Windows of n steps are cut at the first end
of an episode; a time limit is bootstrapped through, a death is not.

Reference scores: `docs/results.md`.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int

from ...core import (
    Action,
    Algorithm,
    Count,
    Discrete,
    fold,
    Key,
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
    Unit,
    Whole,
    Widths,
)
from ...data import Prioritised, Replay
from ...nets import Encoder, fan_in, MLP, Vision
from ...ops import (
    check_support,
    descend,
    encoded,
    expected,
    n_step,
    projected,
    support,
    Trainable,
    trainable,
    when,
)


NEVER = -1e9  # the value of an action that may not be taken
HISTOGRAMS = ("two-hot", "hl-gauss", "c51")


class QNetwork(eqx.Module):
    """The value of every action; with `advantage`, as value plus centred advantage."""

    encoder: Encoder
    value: MLP
    advantage: MLP | None

    def __call__(self, obs: Obs, legal: Any = None) -> Float[Array, " action"]:
        x = self.encoder(obs)
        q = self.value(x)
        if self.advantage is not None:
            a = self.advantage(x)
            q = q + a - a.mean()
        return q if legal is None else jnp.where(legal, q, NEVER)


class Expected(eqx.Module):
    """The value of every action as the mean of a histogram: the network has an output
    for every atom of every action, and lays actions end to end."""

    net: QNetwork
    atoms: Float[Array, " bin"]

    def logits(self, obs: Obs) -> Float[Array, "action bin"]:
        x, bins = self.net.encoder(obs), self.atoms.shape[0]
        out = self.net.value(x).reshape(-1, bins)
        if self.net.advantage is not None:
            a = self.net.advantage(x).reshape(-1, bins)
            out = out + a - a.mean(axis=0, keepdims=True)
        return out

    def __call__(self, obs: Obs, legal: Any = None) -> Float[Array, " action"]:
        q = expected(self.logits(obs), self.atoms)
        return q if legal is None else jnp.where(legal, q, NEVER)


class State(eqx.Module):
    net: Trainable[QNetwork]
    target: QNetwork
    epsilon: Float[Array, ""]
    step: Int[Array, ""]
    horizon: Int[Array, ""]


class EpsilonGreedy(Policy[tuple[()]]):
    """The best action, or with probability ε any legal one."""

    net: Callable[[Obs, Any], Float[Array, " action"]]
    epsilon: Float[Array, ""]

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        q = self.net(t.obs, t.legal)
        best = q.argmax().astype(jnp.int32)
        if not explore:
            return best, carry, ()
        k_any, k_whether = jr.split(key)
        legal = jnp.ones_like(q, bool) if t.legal is None else t.legal
        anything = jr.categorical(k_any, jnp.where(legal, 0.0, NEVER))
        roam = jr.uniform(k_whether) < self.epsilon
        return jnp.where(roam, anything.astype(jnp.int32), best), carry, ()

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""]:
        """Of a choice when exploring."""
        q = self.net(t.obs, t.legal)
        legal = jnp.ones_like(q, bool) if t.legal is None else t.legal
        any_one = self.epsilon * legal[action] / legal.sum()
        return jnp.log(any_one + (1 - self.epsilon) * (action == q.argmax()))


def target(
    next_q: Float[Array, " action"],
    chooser: Float[Array, " action"],
    reward: Float[Array, " time"],
    terminated: Array,
    truncated: Array,
    *,
    gamma: float | Float[Array, ""],
) -> Float[Array, ""]:
    """`Σ γᵏ r + γⁿ Q̄(sₜ₊ₙ, argmax chooser)`, for one window; `chooser` is `Q̄` itself
    or, for double learning, the online network's values of the same state."""
    total, bootstrap, _ = n_step(reward, terminated, truncated, gamma=gamma)
    return total + bootstrap * next_q[chooser.argmax()]


class DQN(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    actors: ClassVar[int] = 1

    learning_rate: Positive = 1e-3
    """Adam's step size."""
    gamma: Unit = 0.99
    """Discount."""
    batch: Count = 128
    """Items per update."""
    capacity: Count = 100_000
    """Steps the replay keeps."""
    warmup: Whole = 1_000
    """Steps before the first update; until then actions are random."""
    every: Count = 8
    """Steps between updates, over all environments."""
    target_every: Count = 100
    """Updates between copies to the target network."""
    initial_epsilon: Unit = 1.0
    """Chance of a random action at the beginning."""
    final_epsilon: Unit = 0.05
    """Chance of a random action after exploration has been annealed."""
    exploration: Unit = 0.2
    """Fraction of the run's updates over which the chance falls."""
    double: bool = False
    """Choose the next action by the online network."""
    dueling: bool = False
    """State value and advantages apart."""
    n: Count = 3
    """Rewards summed before bootstrapping."""
    prioritised: bool = False
    """Replay surprising steps more often."""
    alpha: Unit = 0.6
    """Prioritised replay: how much surprise matters."""
    beta: Unit = 0.4
    """Prioritised replay: correction at the beginning; it grows to one over the run."""
    max_gradient: Positive = 10.0
    """Largest norm of the gradient."""
    value_loss: Literal["huber", "mse", "two-hot", "hl-gauss", "c51"] = "huber"
    """How values are learned: by regression on the target, with Huber's loss or half
    the squared error, or as a histogram by its cross-entropy."""
    value_low: Real | None = None
    """Histograms: the lowest value there is."""
    value_high: Real | None = None
    """Histograms: the highest value there is."""
    bins: Annotated[int, Range(2)] = 51
    """Histograms: numbers from the lowest to the highest."""
    sigma: Positive = 0.75
    """HL-Gauss: deviation of the normal, in distances of two numbers."""
    hidden: Widths = (128, 128)
    """Widths of the hidden layers."""
    vision: Vision = "auto"
    """Network for images: nature for large frames, small for boards."""

    def __check_init__(self):
        if self.value_loss in HISTOGRAMS:
            where = f"DQN.value_loss = {self.value_loss}"
            check_support(where, self.value_low, self.value_high)

    @property
    def tx(self) -> optax.GradientTransformation:
        guard = optax.clip_by_global_norm(self.max_gradient)
        return optax.chain(guard, optax.scale_by_adam())

    def store(self, spec: Spec) -> Store[Any, Sample]:
        replay = Replay(self.capacity, self.batch, self.warmup, self.every, 1, self.n)
        if not self.prioritised:
            return replay
        return Prioritised(replay, self.alpha, self.beta, spec.updates)

    def init(self, spec: Spec, *, key: Key) -> State:
        encoder = Encoder(
            spec.obs, init=fan_in, key=fold(key, "encoder"), vision=self.vision
        )
        sizes = [encoder.size, *self.hidden]
        each = self.bins if self.value_loss in HISTOGRAMS else 1
        every = each * spec.action.n
        value = MLP([*sizes, each if self.dueling else every], key=fold(key, "value"))
        advantage = (
            MLP([*sizes, every], key=fold(key, "advantage")) if self.dueling else None
        )
        net = QNetwork(encoder, value, advantage)
        return State(
            trainable(net, self.tx),
            net,
            jnp.ones(()),
            jnp.array(0, int),
            jnp.array(spec.updates, int),
        )

    def policy(self, state: State) -> EpsilonGreedy:
        return EpsilonGreedy(self._read(state.net.net), state.epsilon)

    def _read(self, net: QNetwork) -> QNetwork | Expected:
        """What a network says of the values of actions."""
        if self.value_loss not in HISTOGRAMS:
            return net
        return Expected(net, support(self.value_low, self.value_high, self.bins))

    def update(self, state: State, batch: Sample, *, key: Key) -> tuple[State, Report]:
        steps = batch.steps  # windows (batch, n, ...)
        total, bootstrap, last = jax.vmap(lambda *w: n_step(*w, gamma=self.gamma))(
            steps.reward, steps.terminated, steps.truncated
        )
        rows = jnp.arange(last.shape[0])
        obs, action = jax.tree.map(lambda x: x[:, 0], (steps.obs, steps.action))
        final = lambda tree: jax.tree.map(lambda x: x[rows, last], tree)
        next_obs, next_legal = final(steps.next_obs), final(steps.next_legal)

        later = self._read(state.target)
        next_q = jax.vmap(later)(next_obs, next_legal)
        chooser = (
            jax.vmap(self._read(state.net.net))(next_obs, next_legal)
            if self.double
            else next_q
        )
        y = jax.vmap(lambda *w: target(*w, gamma=self.gamma))(
            next_q, chooser, steps.reward, steps.terminated, steps.truncated
        )
        aim = y
        if isinstance(later, Expected):
            said = jax.vmap(later.logits)(next_obs)[rows, chooser.argmax(axis=-1)]
            aim = self._histograms(later.atoms, y, said, total, bootstrap)

        def loss(net: QNetwork) -> tuple[Float[Array, ""], Any]:
            q, miss = self._miss(self._read(net), obs, action, aim)
            return (batch.weight * miss).mean(), (q, q - y)

        net, (q, td) = descend(self.tx, state.net, loss, rate=self.learning_rate)
        step = state.step + 1
        new_target = when(
            step % self.target_every == 0, lambda _: net.net, state.target
        )
        state = State(net, new_target, self._epsilon(step, state), step, state.horizon)
        report = {
            "td_error": jnp.abs(td).mean(),
            "value": q.mean(),
            "epsilon": state.epsilon,
        }
        return state, Report(report, surprise=jnp.abs(td))

    def _histograms(
        self,
        atoms: Float[Array, " bin"],
        y: Float[Array, " batch"],
        next_logits: Float[Array, "batch bin"],
        total: Float[Array, " batch"],
        bootstrap: Float[Array, " batch"],
    ) -> Float[Array, "batch bin"]:
        """The distributions to learn: made of the target alone, or for C51 of that of
        the next action."""
        match self.value_loss:
            case "two-hot" | "hl-gauss" as how:
                one = lambda y: encoded(y, atoms, how=how, sigma=self.sigma)
                return jax.vmap(one)(y)
        follows = lambda r, g, p: projected(r + g * atoms, p, atoms)
        return jax.vmap(follows)(total, bootstrap, jax.nn.softmax(next_logits))

    def _miss(
        self,
        read: QNetwork | Expected,
        obs: Obs,
        action: Int[Array, " batch"],
        aim: Float[Array, "batch ..."],
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """The values of what was done, and the loss of each."""
        rows = jnp.arange(action.shape[0])
        if isinstance(read, Expected):
            said = jax.vmap(read.logits)(obs)[rows, action]
            miss = optax.losses.softmax_cross_entropy(said, aim)
            return expected(said, read.atoms), miss
        q = jax.vmap(read)(obs)[rows, action]
        if self.value_loss == "mse":
            return q, optax.losses.l2_loss(q, aim)
        return q, optax.losses.huber_loss(q, aim)

    def _epsilon(self, step: Int[Array, ""], state: State) -> Float[Array, ""]:
        """Linear from the initial to the final chance over a fraction of the run."""
        span = jnp.maximum(self.exploration * state.horizon, 1.0)
        left = jnp.clip(1.0 - step.astype(float) / span, 0.0, 1.0)
        return self.final_epsilon + left * (self.initial_epsilon - self.final_epsilon)
