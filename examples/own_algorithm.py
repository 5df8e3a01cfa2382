"""Munchausen DQN: Q-learning that is rewarded for being sure of itself.

    y = r + α clip(τ log π(a|s), -1, 0) + γ (1 - terminated) V̄(s'),  π = softmax(Q̄ / τ)
    minimise  E[Huber(Q(s, a) - y)],  V̄ = τ log Σ exp(Q̄ / τ),  Q̄ follows Q slowly

Vieillard, Pietquin & Geist, 2020. https://arxiv.org/abs/2007.14430
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from peira.algos.online.dqn import QNetwork
from peira.core import Algorithm, Discrete, Policy, Positive, Report, Sample, Unit
from peira.data import Replay
from peira.nets import Encoder, fan_in, MLP
from peira.ops import Categorical, descend, polyak, Trainable, trainable


class State(eqx.Module):
    net: Trainable[QNetwork]
    target: QNetwork


class Softmax(Policy[tuple[()]]):
    net: QNetwork
    tau: jax.Array

    def begin(self) -> tuple[()]:
        return ()  # nothing is remembered from step to step

    def __call__(self, carry: tuple[()], t: Any, *, key: Any, explore: bool) -> Any:
        pi = Categorical(self.net(t.obs) / self.tau, t.legal)
        return pi.sample(key=key) if explore else pi.mode(), carry, ()


class MunchausenDQN(Algorithm[State, Sample]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    tx: ClassVar = optax.scale_by_adam()
    learning_rate: Positive = 1e-3
    """Adam's step size."""
    gamma: Unit = 0.99
    """Discount."""
    alpha: Unit = 0.9
    """Weight of the log-policy in the reward."""
    tau: Positive = 0.03
    """Temperature."""

    def store(self, spec: Any) -> Replay:
        return Replay(capacity=50_000, batch=64, warmup=500, every=2)

    def init(self, spec: Any, *, key: Any) -> State:
        k_eye, k_body = jax.random.split(key)
        eye = Encoder(spec.obs, init=fan_in, key=k_eye)
        net = QNetwork(eye, MLP([eye.size, 64, 64, spec.action.n], key=k_body), None)
        return State(trainable(net, self.tx), net)

    def policy(self, state: State) -> Softmax:
        return Softmax(state.net.net, jnp.asarray(self.tau))

    def update(self, state: State, batch: Sample, *, key: Any) -> Any:
        s, rows = batch.steps, jnp.arange(batch.weight.size)
        log_pi = jax.nn.log_softmax(jax.vmap(state.target)(s.obs, s.legal) / self.tau)
        sure = jnp.clip(self.tau * log_pi[rows, s.action], -1.0, 0.0)
        q = jax.vmap(state.target)(s.next_obs, s.next_legal)
        value = self.tau * jax.nn.logsumexp(q / self.tau, axis=-1)
        y = s.reward + self.alpha * sure + self.gamma * (1 - s.terminated) * value

        def loss(net: QNetwork) -> tuple[jax.Array, jax.Array]:
            td = jax.vmap(net)(s.obs)[rows, s.action] - y
            return (batch.weight * optax.losses.huber_loss(td)).mean(), jnp.abs(td)

        net, td = descend(self.tx, state.net, loss, rate=self.learning_rate)
        state = State(net, polyak(state.target, net.net, 0.01))
        return state, Report({"td_error": td.mean()}, surprise=td)
