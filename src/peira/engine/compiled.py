"""Worlds written in JAX: acting, keeping and learning are one compiled program.

Seeds are a batch axis over the whole run.
"""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, PyTree

from ..core import (
    actors,
    Env,
    fold,
    Key,
    Policy,
    root,
    TimeStep,
    Transition,
)
from ..ops import choose
from .devices import Places
from .loop import (
    Account,
    act_by,
    anywhere,
    Beat,
    example,
    learn,
    nothing,
    strong,
    Tally,
    together,
    words_of,
)


class Life(eqx.Module):
    """The whole of a run under way. Save it and the run resumes, bit for bit."""

    learner: PyTree
    acting: Policy | None
    """The policy of the next block, where that lags behind the learner."""
    kept: PyTree
    world: PyTree
    carry: PyTree
    t: TimeStep
    tally: Tally
    step: Int[Array, ""]
    """Steps of each environment so far."""
    count: Int[Array, ""]
    """Updates so far."""
    key: Key


def begin(beat: Beat, env: Env, key: Key) -> Life:
    """A run before its first step."""
    learner = beat.algorithm.init(beat.spec, key=fold(key, "init"))
    resets = jr.split(fold(key, "reset", 0), beat.envs)
    world, obs, legal = jax.vmap(lambda k: env.reset(key=k))(resets)
    zero = jnp.zeros(beat.envs)
    t = TimeStep(obs, zero, jnp.ones(beat.envs, bool), legal)
    policy = beat.algorithm.policy(learner)
    return Life(
        learner,
        policy if beat.overlap else None,
        beat.store.init(example(beat.algorithm, learner, t), envs=beat.envs),
        world,
        actors(policy, beat.envs),
        t,
        Tally.zero(beat.envs),
        jnp.array(0),
        jnp.array(0),
        key,
    )


def play(beat: Beat, env: Env, policy: Policy, life: Life) -> tuple[Life, Transition]:
    """Collect one block; the steps are `(time, env, ...)`."""

    def one(now: tuple, words: tuple[Array, ...]) -> tuple[tuple, Transition]:
        world, carry, t, tally = now
        action, carry, extras = act_by(policy, carry, t, words[0], explore=True)
        to_step, to_reset = map(jr.wrap_key_data, words[1:])
        world, out = jax.vmap(lambda w, a, k: env.step(w, a, key=k))(
            world, action, to_step
        )
        seen = Transition.of(t, action, out, extras)
        fresh = jax.vmap(lambda k: env.reset(key=k))(to_reset)
        world, obs, legal = choose(
            jnp.asarray(seen.over), fresh, (world, out.obs, out.legal)
        )
        t = TimeStep(obs, seen.reward, seen.over, legal)
        return (world, carry, t, tally.step(seen.reward, seen.over)), seen

    number = life.step + jnp.arange(beat.block)
    words = tuple(
        words_of(life.key, name, at, beat.envs)
        for name, at in (("act", number), ("world", number), ("reset", number + 1))
    )
    now = (life.world, life.carry, life.t, life.tally)
    (world, carry, t, tally), steps = jax.lax.scan(one, now, words)
    life = dataclasses.replace(
        life,
        kept=beat.store.add(life.kept, steps),
        world=world,
        carry=carry,
        t=t,
        tally=tally,
        step=life.step + beat.block,
    )
    return life, steps


def turn(
    beat: Beat, env: Env, life: Life, *, learning: bool, seeds: str | None
) -> tuple[Life, Account]:
    """One block: play, keep, learn."""
    newest = beat.algorithm.policy(life.learner)
    life, _ = play(beat, env, life.acting or newest, life)
    acting = newest if beat.overlap else None
    learner, kept, count = life.learner, life.kept, life.count
    account = nothing(())
    if learning:
        learner, kept, account = learn(
            beat, learner, kept, count=count, key=life.key, seeds=seeds
        )
        count = count + beat.updates
    life = dataclasses.replace(
        life, learner=learner, acting=acting, kept=kept, count=count
    )
    return life, account


def advance(
    beat: Beat,
    env: Env,
    life: Life,
    blocks: Int[Array, ""],
    *,
    learning: bool,
    seeds: str | None = None,
) -> tuple[Life, Account]:
    """Some blocks, all of them on the same side of the warm-up."""
    block = lambda x: turn(beat, env, x, learning=learning, seeds=seeds)

    def go_on(now: tuple) -> Array:
        return (now[0] < blocks) & ~now[1]

    def one(now: tuple) -> tuple:
        k, halted, life, account = now
        life, new = block(life)
        if beat.on_nan == "stop":
            halted = anywhere(new.failed > 0, seeds)
        return k + 1, halted, life, account.add(new)

    names = jax.eval_shape(block, life)[1].sums
    now = (jnp.array(0), jnp.array(False), life, nothing(names))
    return jax.lax.while_loop(go_on, one, now)[2:]


class Compiled:
    """The loop for JAX-native worlds; one seed, or several side by side."""

    def __init__(self, beat: Beat, env: Env, seeds: tuple[int, ...]):
        self.beat, self.env, self.seeds = beat, env, seeds
        self.done = 0  # blocks
        self.failed = [-1] * len(seeds)
        self.places = places = Places(len(seeds), beat.where)

        def start(key: Key) -> Life:
            return strong(begin(beat, env, key))

        def chunk(life: Life, blocks: Array, learning: bool) -> tuple[Life, Account]:
            go_on = functools.partial(
                advance, beat, env, learning=learning, seeds=places.axis
            )
            return places.wide(go_on, (0, None))(life, blocks)

        self._start = jax.jit(places.wide(start))
        self._chunk = jax.jit(chunk, donate_argnums=0, static_argnums=2)
        keys = places.join([root(s) for s in seeds])
        self.life = places.put(self._start(keys))

    def advance(self, blocks: int) -> list[dict[str, float]]:
        """Go on by some blocks, all of them on the same side of the warm-up; what
        there is to log, for each seed."""
        learning = self.done >= self.beat.warmup
        life, account = self._chunk(self.life, jnp.array(blocks), learning)
        self.done += blocks
        self.life = eqx.tree_at(
            lambda x: x.tally, life, jax.tree.map(jnp.copy, life.tally.forget())
        )
        said = self.places.apart(jax.device_get((life.tally, account)))
        self.failed = [int(own.first) for _, own in said]
        return [tally.read() | together([own]) for tally, own in said]

    def learner(self, i: int) -> PyTree:
        """What the i-th seed has learned."""
        return self.places.of(self.life.learner, i)

    def stored(self, i: int) -> PyTree:
        """What the i-th seed's store holds."""
        return self.places.of(self.life.kept, i)

    def save(self, i: int) -> tuple[PyTree, dict]:
        """All of the i-th seed's run, as arrays and plain JSON."""
        return self.places.of(self.life, i), {"blocks": self.done}

    def restore(self, saved: list[tuple[PyTree, dict]]) -> None:
        """Put back what `save` gave for each seed."""
        self.done = saved[0][1]["blocks"]
        self.life = self.places.join([tree for tree, _ in saved])

    def endow(self, learners: list[PyTree], old: PyTree, updates: int) -> None:
        """Begin with what was learned in so many updates from a dataset, which is put
        into the mixture."""
        old = self.places.put(old, shared=True)
        learner = jax.tree.map(jnp.copy, self.places.join(learners))
        shelves = jax.tree.map(
            lambda x, like: jnp.broadcast_to(x, like.shape), old, self.life.kept.old
        )
        count = jnp.full_like(self.life.count, updates)
        self.life = eqx.tree_at(
            lambda x: (x.learner, x.kept.old, x.count),
            self.life,
            (learner, shelves, count),
        )
        if self.beat.overlap:
            acting = self.places.wide(self.beat.algorithm.policy)(learner)
            self.life = eqx.tree_at(lambda x: x.acting, self.life, acting)
        self.life = self.places.put(self.life)

    def close(self) -> None:
        """Nothing to close: the world is data."""
