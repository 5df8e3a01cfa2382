"""Worlds in which a habit of learning fails, small enough to see why: credit that comes
long after, past a stretch that does not show it; and two right answers whose mean is
wrong.
"""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import Box, Discrete, Env, Key, Outcome, Spec
from .classic import TimeLimit
from .mazes import WAYS


class Rooms3(NamedTuple):
    """Where one is in `KeyToDoor`, and what one has."""

    time: Int[Array, ""]
    here: Int[Array, "2"]
    key: Int[Array, "2"]
    door: Int[Array, "2"]
    has: Bool[Array, ""]


class KeyToDoor(Env[Rooms3]):
    """Three rooms, one after the other, of `side` x `side` cells. In the first lies
    a key, the second is empty, and in the third a door pays 1 to who has the key.

    The clock leads from room to room: after `seek` steps, after `wait` more, and `seek`
    steps later it is over, as it is at the door. What is seen is the room, where one
    stands, and where the key or the door is; not whether one has the key. So nothing
    that is seen in the third room is worth more for the key, and who learns values of
    what is seen has no reason to fetch it. The value is 1.

    The task of Chen et al., 2021, section 5.4 (after Mesnard et al., 2021), with rooms
    of our own. https://arxiv.org/abs/2106.01345
    """

    side: int = 3
    seek: int = 4
    wait: int = 6

    @property
    def spec(self) -> Spec:
        return Spec(
            Box(np.zeros(8, np.float32), np.ones(8, np.float32)), Discrete(len(WAYS))
        )

    def room(self, time: Int[Array, ""]) -> Int[Array, ""]:
        return (time >= self.seek).astype(int) + (time >= self.seek + self.wait)

    def look(self, world: Rooms3) -> Float[Array, "8"]:
        room = self.room(world.time)
        marked = (room == 2) | ((room == 0) & ~world.has)
        mark = jnp.where(room == 2, world.door, world.key) * marked
        cells = jnp.concatenate([world.here, mark]) / (self.side - 1)
        rooms = (jnp.arange(3) == room).astype(jnp.float32)
        return jnp.concatenate([rooms, marked.astype(jnp.float32)[None], cells])

    def apart(self, key: Key) -> tuple[Int[Array, "2"], Int[Array, "2"]]:
        """Two cells that are not the same."""
        k_one, k_other = jr.split(key)
        cells = self.side**2
        one = jr.randint(k_one, (), 0, cells)
        other = (one + jr.randint(k_other, (), 1, cells)) % cells
        place = lambda cell: jnp.stack([cell // self.side, cell % self.side])
        return place(one), place(other)

    def reset(self, *, key: Key) -> tuple[Rooms3, Float[Array, "8"], None]:
        here, there = self.apart(key)
        zero = jnp.zeros(())
        world = Rooms3(zero.astype(int), here, there, there, zero.astype(bool))
        return world, self.look(world), None

    def step(
        self, world: Rooms3, action: Int[Array, ""], *, key: Key
    ) -> tuple[Rooms3, Outcome]:
        room, time = self.room(world.time), world.time + 1
        here = jnp.clip(world.here + jnp.asarray(WAYS)[action], 0, self.side - 1)
        at = lambda cell: (here == cell).all()
        has = world.has | ((room == 0) & at(world.key))
        opened = (room == 2) & at(world.door)
        start, door = self.apart(key)
        enters = self.room(time) > room
        here = jnp.where(enters, start, here)
        door = jnp.where(enters, door, world.door)
        world = Rooms3(time, here, world.key, door, has)
        over = opened | (time >= 2 * self.seek + self.wait)
        reward = (opened & has).astype(jnp.float32)
        return world, Outcome(self.look(world), reward, over, jnp.array(False))


class TwoWays(Env[Float[Array, "2"]]):
    """Go round a disc, on either side: from (-1, 0) to x = 1, a tenth of the action a
    step. Arriving pays 1, the disc ends it and pays nothing.

    Both ways are as good, and at the beginning they are opposite: the mean of good
    actions leads into the disc. The value is 1.
    """

    radius: float = 0.4
    jitter: float = 0.05

    @property
    def spec(self) -> Spec:
        far, one = np.full(2, 1.5, np.float32), np.ones(2, np.float32)
        return Spec(Box(-far, far), Box(-one, one))

    def reset(self, *, key: Key) -> tuple[Float[Array, "2"], Float[Array, "2"], None]:
        y = jr.uniform(key, minval=-self.jitter, maxval=self.jitter)
        world = jnp.stack([-jnp.ones(()), y])
        return world, world, None

    def step(
        self, world: Float[Array, "2"], action: Float[Array, "2"], *, key: Key
    ) -> tuple[Float[Array, "2"], Outcome]:
        world = jnp.clip(world + 0.1 * jnp.clip(action, -1, 1), -1.5, 1.5)
        hit, there = jnp.linalg.norm(world) < self.radius, world[0] >= 1
        reward = there.astype(jnp.float32)
        return world, Outcome(world, reward, hit | there, jnp.array(False))


RIDDLES: dict[str, Env] = {
    "KeyToDoor": KeyToDoor(),
    "TwoWays": TimeLimit(TwoWays(), 60),
}
