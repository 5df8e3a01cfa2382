"""Problems solved by hand: each tests one thing, and its docstring says the answer.

With γ the discount, values are of the state an episode opens in, under the best policy.
"""

from typing import Literal

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from ..core import Box, Discrete, Env, Key, Outcome, Spec


class Chain(Env[Int[Array, ""]]):
    """`length` steps whose actions mean nothing; reward 1 at each, or at the last only.

    With k steps to go the value is (1 - γᵏ)/(1 - γ), or γᵏ⁻¹ for the last reward only;
    the observation is the share of steps done. An endless chain is truncated after
    `length` steps, which its observation hides: its value is 1/(1 - γ) throughout, for
    a learner that bootstraps where time ran out.
    """

    length: int = 10
    pays: Literal["always", "last"] = "always"
    endless: bool = False

    @property
    def spec(self) -> Spec:
        return Spec(unit_box(), Discrete(2))

    def look(self, world: Int[Array, ""]) -> Float[Array, "1"]:
        done = 0.0 if self.endless else world / self.length
        return jnp.full(1, done, jnp.float32)

    def reset(self, *, key: Key) -> tuple[Int[Array, ""], Float[Array, "1"], None]:
        world = jnp.zeros((), jnp.int32)
        return world, self.look(world), None

    def step(
        self, world: Int[Array, ""], action: Int[Array, ""], *, key: Key
    ) -> tuple[Int[Array, ""], Outcome]:
        world = world + 1
        over = world >= self.length
        reward = jnp.ones(()) if self.pays == "always" else over.astype(jnp.float32)
        return world, Outcome(
            self.look(world), reward, over & (not self.endless), over & self.endless
        )


class Match(Env[Int[Array, ""]]):
    """One step: a coin is shown, and naming its side pays 1, the other side 0.

    The value is 1; of guessing, 1/2. As a number the coin is 0 or 1; as an image its
    left or right half is bright. Masked, there is a third action, never legal, that
    costs 10.
    """

    image: bool = False
    masked: bool = False

    @property
    def spec(self) -> Spec:
        obs = unit_box()
        if self.image:
            dark = np.zeros((12, 12, 1), np.uint8)
            obs = Box(dark, np.full_like(dark, 255))
        return Spec(obs, Discrete(3 if self.masked else 2), self.masked)

    def look(self, world: Int[Array, ""]) -> Shaped[Array, "..."]:
        if not self.image:
            return world.astype(jnp.float32)[None]
        bright = (jnp.arange(12) >= 6) == (world == 1)
        row = jnp.where(bright, 255, 0).astype(jnp.uint8)
        return jnp.broadcast_to(row[None, :, None], (12, 12, 1))

    def legal(self) -> Bool[Array, "3"] | None:
        return jnp.array([True, True, False]) if self.masked else None

    def reset(
        self, *, key: Key
    ) -> tuple[Int[Array, ""], Shaped[Array, "..."], Bool[Array, "3"] | None]:
        world = jr.bernoulli(key).astype(jnp.int32)
        return world, self.look(world), self.legal()

    def step(
        self, world: Int[Array, ""], action: Int[Array, ""], *, key: Key
    ) -> tuple[Int[Array, ""], Outcome]:
        right = (action == world).astype(jnp.float32)
        reward = jnp.where(action == 2, jnp.float32(-10), right)
        yes, no = jnp.array(True), jnp.array(False)
        return world, Outcome(self.look(world), reward, yes, no, self.legal())


class Reach(Env[Float[Array, "1"]]):
    """One step: a target is shown, and the reward is minus the squared distance of the
    action from it.

    The best action is the observation itself and its value 0. Actions lie in [-3, 1],
    which is not centred, and targets are spread evenly over it, both ends included.
    """

    low: float = -3.0
    high: float = 1.0

    @property
    def spec(self) -> Spec:
        low, high = (np.full(1, x, np.float32) for x in (self.low, self.high))
        return Spec(Box(low, high), Box(low, high))

    def reset(self, *, key: Key) -> tuple[Float[Array, "1"], Float[Array, "1"], None]:
        target = jr.uniform(key, (1,), minval=self.low, maxval=self.high)
        return target, target, None

    def step(
        self, world: Float[Array, "1"], action: Float[Array, "1"], *, key: Key
    ) -> tuple[Float[Array, "1"], Outcome]:
        reward = -jnp.square(action - world).sum()
        return world, Outcome(world, reward, jnp.array(True), jnp.array(False))


class Gamble(Env[tuple[()]]):
    """One step: 0 pays 1 for sure; 1 pays 5 or costs 15, each as likely.

    The value is 1, and of who gambles -5: the highest return there is comes to who acts
    worst.
    """

    @property
    def spec(self) -> Spec:
        return Spec(unit_box(), Discrete(2))

    def reset(self, *, key: Key) -> tuple[tuple[()], Float[Array, "1"], None]:
        return (), jnp.zeros(1), None

    def step(
        self, world: tuple[()], action: Int[Array, ""], *, key: Key
    ) -> tuple[tuple[()], Outcome]:
        luck = jnp.where(jr.bernoulli(key), jnp.float32(5), jnp.float32(-15))
        reward = jnp.where(action == 1, luck, jnp.float32(1))
        return (), Outcome(jnp.zeros(1), reward, jnp.array(True), jnp.array(False))


class Accord(Env[tuple[()]]):
    """One step, two entries: 1 if both lie within a quarter of 0.6, 1/2 if both are
    negative, -1 else.

    The value is 1. Who judges each entry by what the other mostly does comes to 1/2
    and stays: from there either entry alone makes it worse.
    """

    @property
    def spec(self) -> Spec:
        one = np.ones(2, np.float32)
        return Spec(unit_box(), Box(-one, one))

    def reset(self, *, key: Key) -> tuple[tuple[()], Float[Array, "1"], None]:
        return (), jnp.zeros(1), None

    def step(
        self, world: tuple[()], action: Float[Array, "2"], *, key: Key
    ) -> tuple[tuple[()], Outcome]:
        best = (jnp.abs(action - 0.6) < 0.25).all()
        fair = jnp.where((action < 0).all(), jnp.float32(0.5), jnp.float32(-1))
        reward = jnp.where(best, jnp.float32(1), fair)
        return (), Outcome(jnp.zeros(1), reward, jnp.array(True), jnp.array(False))


def unit_box() -> Box:
    return Box(np.zeros(1, np.float32), np.ones(1, np.float32))


PROBES: dict[str, Env] = {
    "probe:once": Chain(1),
    "probe:later": Chain(2, "last"),
    "probe:loop": Chain(10, endless=True),
    "probe:death": Chain(10),
    "probe:match": Match(),
    "probe:images": Match(image=True),
    "probe:masked": Match(masked=True),
    "probe:reach": Reach(),
    "probe:gamble": Gamble(),
    "probe:accord": Accord(),
}
