"""Classic control in JAX, step for step Gymnasium 1.x's: CartPole-v1, Pendulum-v1,
Acrobot-v1, MountainCar-v0 and MountainCarContinuous-v0.

The world of each is its state vector, in Gymnasium's order, in float32 where Gymnasium
computes in float64. A world knows no time limit: `TimeLimit` adds one.
"""

import math
from typing import Generic, TypeVar

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ..core import Action, Box, Discrete, Env, Key, Obs, Outcome, Spec


World = TypeVar("World")


class TimeLimit(Env[tuple[World, Int[Array, ""]]], Generic[World]):
    """Truncates after `limit` steps; the world is (inner world, steps taken)."""

    env: Env[World]
    limit: int

    @property
    def spec(self) -> Spec:
        return self.env.spec

    def reset(
        self, *, key: Key
    ) -> tuple[tuple[World, Int[Array, ""]], Obs, PyTree | None]:
        world, obs, legal = self.env.reset(key=key)
        return (world, jnp.zeros((), jnp.int32)), obs, legal

    def step(
        self, world: tuple[World, Int[Array, ""]], action: Action, *, key: Key
    ) -> tuple[tuple[World, Int[Array, ""]], Outcome]:
        inner, count = world
        inner, out = self.env.step(inner, action, key=key)
        truncated = out.truncated | (count + 1 >= self.limit)
        return (inner, count + 1), Outcome(
            out.obs, out.reward, out.terminated, truncated, out.legal
        )


class CartPole(Env[Float[Array, "4"]]):
    """Keep a pole upright on a cart: reward 1 a step, the last one included.

    Barto, Sutton & Anderson, 1983; the equations are Florian's, 2007.
    """

    gravity: float = 9.8  # m/s²
    cart: float = 1.0  # kg
    pole: float = 0.1  # kg
    half_length: float = 0.5  # m
    force: float = 10.0  # N
    tau: float = 0.02  # s
    edge: float = 2.4  # m
    lean: float = 12 * 2 * math.pi / 360  # rad

    @property
    def spec(self) -> Spec:
        high = np.array([2 * self.edge, np.inf, 2 * self.lean, np.inf], np.float32)
        return Spec(Box(-high, high), Discrete(2))

    def reset(self, *, key: Key) -> tuple[Float[Array, "4"], Float[Array, "4"], None]:
        state = jr.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return state, state, None

    def step(
        self, world: Float[Array, "4"], action: Int[Array, ""], *, key: Key
    ) -> tuple[Float[Array, "4"], Outcome]:
        _, speed, angle, spin = world
        force = jnp.where(action == 1, self.force, -self.force)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        total = self.cart + self.pole
        moment = self.pole * self.half_length
        push = (force + moment * spin**2 * sin) / total
        spin_up = (self.gravity * sin - cos * push) / (
            self.half_length * (4 / 3 - self.pole * cos**2 / total)
        )
        speed_up = push - moment * spin_up * cos / total
        rate = jnp.stack([speed, speed_up, spin, spin_up])
        state = world + self.tau * rate
        terminated = (jnp.abs(state[0]) > self.edge) | (jnp.abs(state[2]) > self.lean)
        return state, Outcome(state, jnp.ones(()), terminated, jnp.array(False))


class Pendulum(Env[Float[Array, "2"]]):
    """Swing a pendulum up with little torque; the cost is the square of angle, speed
    and torque. The state is (angle from upright, angular speed)."""

    gravity: float = 10.0  # m/s²
    mass: float = 1.0  # kg
    length: float = 1.0  # m
    dt: float = 0.05  # s
    max_speed: float = 8.0  # rad/s
    max_torque: float = 2.0  # N m

    @property
    def spec(self) -> Spec:
        high = np.array([1, 1, self.max_speed], np.float32)
        torque = np.full(1, self.max_torque, np.float32)
        return Spec(Box(-high, high), Box(-torque, torque))

    def look(self, state: Float[Array, "2"]) -> Float[Array, "3"]:
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def reset(self, *, key: Key) -> tuple[Float[Array, "2"], Float[Array, "3"], None]:
        high = jnp.array([jnp.pi, 1.0])
        state = jr.uniform(key, (2,), minval=-high, maxval=high)
        return state, self.look(state), None

    def step(
        self, world: Float[Array, "2"], action: Float[Array, "1"], *, key: Key
    ) -> tuple[Float[Array, "2"], Outcome]:
        angle, speed = world
        torque = jnp.clip(action, -self.max_torque, self.max_torque)[0]
        from_top = wrap(angle)
        cost = from_top**2 + 0.1 * speed**2 + 0.001 * torque**2
        pull = 3 * self.gravity / (2 * self.length) * jnp.sin(angle)
        twist = 3 / (self.mass * self.length**2) * torque
        speed = speed + (pull + twist) * self.dt
        speed = jnp.clip(speed, -self.max_speed, self.max_speed)
        state = jnp.stack([angle + speed * self.dt, speed])
        no = jnp.array(False)
        return state, Outcome(self.look(state), -cost, no, no)


class Acrobot(Env[Float[Array, "4"]]):
    """Swing the foot of two links above a line by torque at the hip: reward -1 a step
    until then. The state is two angles (from hanging down; from the first link) and
    their speeds, integrated by Runge and Kutta's fourth-order rule.

    Sutton, 1996, with the equations of Sutton & Barto's book. Both links are 1 m and
    1 kg, with moment of inertia 1 kg m² about their middle.
    """

    gravity: float = 9.8  # m/s²
    dt: float = 0.2  # s
    max_speed: tuple[float, float] = (4 * math.pi, 9 * math.pi)  # rad/s

    @property
    def spec(self) -> Spec:
        high = np.array([1, 1, 1, 1, *self.max_speed], np.float32)
        return Spec(Box(-high, high), Discrete(3))

    def look(self, state: Float[Array, "4"]) -> Float[Array, "6"]:
        a, b = state[:2]
        sides = [jnp.cos(a), jnp.sin(a), jnp.cos(b), jnp.sin(b)]
        return jnp.stack([*sides, state[2], state[3]])

    def reset(self, *, key: Key) -> tuple[Float[Array, "4"], Float[Array, "6"], None]:
        state = jr.uniform(key, (4,), minval=-0.1, maxval=0.1)
        return state, self.look(state), None

    def rate(
        self, state: Float[Array, "4"], torque: Float[Array, ""]
    ) -> Float[Array, "4"]:
        """The state's derivative in time."""
        a, b, da, db = state
        cos, sin = jnp.cos(b), jnp.sin(b)
        d1 = 0.25 + (1.25 + cos) + 2
        d2 = 0.25 + 0.5 * cos + 1
        phi2 = 0.5 * self.gravity * jnp.sin(a + b)
        phi1 = -0.5 * db**2 * sin - db * da * sin + 1.5 * self.gravity * jnp.sin(a)
        phi1 = phi1 + phi2
        ddb = (torque + d2 / d1 * phi1 - 0.5 * da**2 * sin - phi2) / (1.25 - d2**2 / d1)
        return jnp.stack([da, db, -(d2 * ddb + phi1) / d1, ddb])

    def step(
        self, world: Float[Array, "4"], action: Int[Array, ""], *, key: Key
    ) -> tuple[Float[Array, "4"], Outcome]:
        torque = (action - 1).astype(jnp.float32)
        k1 = self.rate(world, torque)
        k2 = self.rate(world + self.dt / 2 * k1, torque)
        k3 = self.rate(world + self.dt / 2 * k2, torque)
        k4 = self.rate(world + self.dt * k3, torque)
        state = world + self.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        most = jnp.array(self.max_speed)
        speed = jnp.clip(state[2:], -most, most)
        state = jnp.concatenate([wrap(state[:2]), speed])
        terminated = -jnp.cos(state[0]) - jnp.cos(state[0] + state[1]) > 1
        reward = terminated.astype(jnp.float32) - 1
        return state, Outcome(self.look(state), reward, terminated, jnp.array(False))


class MountainCar(Env[Float[Array, "2"]]):
    """Rock a weak car out of a valley: reward -1 a step until the flag. The state is
    (position, velocity).

    Moore, 1990. `MountainCarContinuous` is its twin.
    """

    force: float = 0.001
    goal: float = 0.5  # m

    @property
    def spec(self) -> Spec:
        return Spec(VALLEY, Discrete(3))

    def reset(self, *, key: Key) -> tuple[Float[Array, "2"], Float[Array, "2"], None]:
        return at_the_bottom(key)

    def step(
        self, world: Float[Array, "2"], action: Int[Array, ""], *, key: Key
    ) -> tuple[Float[Array, "2"], Outcome]:
        state = roll(world, (action - 1) * self.force)
        terminated = (state[0] >= self.goal) & (state[1] >= 0)
        return state, Outcome(state, -jnp.ones(()), terminated, jnp.array(False))


class MountainCarContinuous(Env[Float[Array, "2"]]):
    """The same valley with a throttle: 100 at the flag, less a tenth of the action's
    square at every step."""

    power: float = 0.0015
    goal: float = 0.45  # m

    @property
    def spec(self) -> Spec:
        one = np.ones(1, np.float32)
        return Spec(VALLEY, Box(-one, one))

    def reset(self, *, key: Key) -> tuple[Float[Array, "2"], Float[Array, "2"], None]:
        return at_the_bottom(key)

    def step(
        self, world: Float[Array, "2"], action: Float[Array, "1"], *, key: Key
    ) -> tuple[Float[Array, "2"], Outcome]:
        state = roll(world, jnp.clip(action[0], -1, 1) * self.power)
        terminated = (state[0] >= self.goal) & (state[1] >= 0)
        reward = 100 * terminated.astype(jnp.float32) - 0.1 * action[0] ** 2
        return state, Outcome(state, reward, terminated, jnp.array(False))


VALLEY = Box(np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32))


def at_the_bottom(key: Key) -> tuple[Float[Array, "2"], Float[Array, "2"], None]:
    state = jnp.stack([jr.uniform(key, minval=-0.6, maxval=-0.4), jnp.array(0.0)])
    return state, state, None


def roll(state: Float[Array, "2"], force: Float[Array, ""]) -> Float[Array, "2"]:
    """One step of the car; the left wall stops it."""
    (left, slowest), (right, fastest) = VALLEY.low, VALLEY.high
    position, velocity = state
    velocity = velocity + force - 0.0025 * jnp.cos(3 * position)
    velocity = jnp.clip(velocity, slowest, fastest)
    position = jnp.clip(position + velocity, left, right)
    velocity = jnp.where((position == left) & (velocity < 0), 0.0, velocity)
    return jnp.stack([position, velocity])


def wrap(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The same angle in `[-π, π)`."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi


CLASSIC: dict[str, TimeLimit] = {
    "CartPole-v1": TimeLimit(CartPole(), 500),
    "Pendulum-v1": TimeLimit(Pendulum(), 200),
    "Acrobot-v1": TimeLimit(Acrobot(), 500),
    "MountainCar-v0": TimeLimit(MountainCar(), 200),
    "MountainCarContinuous-v0": TimeLimit(MountainCarContinuous(), 999),
}
