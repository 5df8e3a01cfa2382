"""A sound world in JAX, and the same with one thing wrong each."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from ill import Ills, marks

from peira.core import Box, Discrete, Env, Outcome, Spec


class Drift(Env[jax.Array]):
    """A boat drifts on a river for 12 hours, which it sees, and may go ashore at the
    banks. There is nothing wrong with it."""

    @property
    def spec(self):
        return Spec(Box(*np.array([[-9, -9], [9, 9]], np.float32)), Discrete(3))

    def reset(self, *, key):
        world = jnp.stack([self.start(key), jnp.zeros(())])
        return world, self.look(world), None

    def start(self, key):
        return jr.uniform(key, minval=-0.5)

    def look(self, world):
        return world

    def step(self, world, action, *, key):
        place = world[0] + 0.3 * (action - 1) + 0.3 * self.wave(key)
        world = self.keep(jnp.stack([place, world[1] + 1 / 12]))
        ends = jnp.abs(place) > 1.5, world[1] > 0.99
        return world, Outcome(self.look(world), self.earn(world), *ends)

    def wave(self, key):
        return jr.normal(key)

    def keep(self, world):
        return world

    def earn(self, world):
        return 1 - jnp.abs(world[0])


class Remembers(Drift):
    """Keeps a key and a count of Python's in its state, which is fine."""

    def reset(self, *, key):
        world, obs, _ = Drift.reset(self, key=key)
        return (world, jr.fold_in(key, 1), 0), obs, None

    def step(self, world, action, *, key):
        inner, own, count = world
        own, wind = jr.split(own)
        inner, out = Drift.step(self, inner, action, key=wind)
        return (inner, own, count + 1), out


ILL: Ills = {}
ill = marks(ILL)


@ill("error", "interface")
class Raises(Drift):
    def start(self, key):
        return 1 / 0


@ill("error", "interface", "step returned (world, tuple)")
class AnswersWithTuples(Drift):
    def step(self, world, action, *, key):
        return world, (world, jnp.ones(()), False, False)


@ill("error", "interface", "reward is int32[], not a float of shape ()")
class EarnsWholeNumbers(Drift):
    def earn(self, world):
        return jnp.array(1)


@ill("error", "interface", "reward is float32[2], not a float of shape ()")
class EarnsTwice(Drift):
    def earn(self, world):
        return world


@ill("error", "mask", "Spec.masked is True, but none was given")
class ForgetsItsMask(Drift):
    @property
    def spec(self):
        return Spec(Box(*np.array([[-9, -9], [9, 9]], np.float32)), Discrete(3), True)


@ill("error", "pure", "world was float32[2] after reset and int32[2] after step 1")
class GrowsWhole(Drift):
    def keep(self, world):
        return world.astype(jnp.int32)


@ill("error", "pure", "step 1, called twice with the same key: [0][0] ")
class DrawsFromNumPy(Drift):
    def wave(self, key):
        return np.random.default_rng().normal()


@ill("error", "pure", "under jit step 1 raised TracerBoolConversionError")
class Branches(Drift):
    def wave(self, key):
        wave = jr.normal(key)
        return wave if wave > 0 else -wave


@ill("error", "pure", "step 1, compiled: [1].reward ")
class KnowsItIsCompiled(Drift):
    def earn(self, world):
        traced = isinstance(world, jax.core.Tracer)
        return 1 - jnp.abs(world[0]) - 0.5 * traced


KEPT = []


@ill("error", "pure", "step 1 keeps a traced value")
class KeepsATrace(Drift):
    def keep(self, world):
        KEPT[:] = [world]
        return world


@ill("error", "pure")
class CallsHome(Drift):
    """A callback that does not say what to do under vmap."""

    def earn(self, world):
        form = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(lambda x: 1 - np.abs(x[0]), form, world)


@ill("error", "pure", "row 0 of 4 under vmap is not the world alone: [1][1].reward ")
class MixesRows(Drift):
    """A callback that takes the rows of a batch for one."""

    def earn(self, world):
        form = jax.ShapeDtypeStruct((), jnp.float32)
        mixed = lambda x: np.full(x.shape[:-1], 1 - np.abs(x[..., 0]).mean(), x.dtype)
        return jax.pure_callback(mixed, form, world, vmap_method="expand_dims")


@ill("warning", "pure", "a key is used twice: ")
class DrawsTwice(Drift):
    def wave(self, key):
        return jr.normal(key) + jr.uniform(key, minval=-0.5, maxval=0.5)


@ill("error", "space")
class SeesMore(Drift):
    def look(self, world):
        return jnp.concatenate([world, world])


@ill("error", "reward")
class EarnsNaN(Drift):
    def earn(self, world):
        return jnp.log(world[1] - 0.5)


@ill("warning", "final")
class ResetsItself(Drift):
    def step(self, world, action, *, key):
        world, out = Drift.step(self, world, action, key=key)
        first, obs, _ = self.reset(key=jr.fold_in(key, 1))
        over = out.terminated | out.truncated
        new, seen = (jnp.where(over, x, y) for x, y in [(first, world), (obs, out.obs)])
        return new, Outcome(seen, out.reward, out.terminated, out.truncated)


@ill("warning", "action")
class IsDeaf(Drift):
    def step(self, world, action, *, key):
        return Drift.step(self, world, jnp.ones_like(action), key=key)


@ill("error", "interface")
class HasNoSpec(Drift):
    @property
    def spec(self):
        raise NotImplementedError("later")
