"""Gymnasium environments: the world steps on the host, learning runs on the device.

One dispatch per step to act and two per block, to keep and to learn; the keys that
actors draw with are made for many steps at once. With `overlap` the next block is
collected while the last one is learned from.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree, UInt

from ..core import actors, fold, Key, Policy, root, TimeStep, Transition
from ..envs import Hosted
from .loop import act_by, Beat, example, learn, strong, summary, together, words_of
from .packed import pack, Packed, packing


DRAWN = 256  # steps whose keys are made together


class Life(eqx.Module):
    """The whole of a run under way but for the world, which is restored by its seeds
    and actions."""

    learner: PyTree
    acting: Policy | None
    kept: PyTree
    carry: PyTree
    t: TimeStep
    count: Int[Array, ""]


class HostedLoop:
    """The loop for worlds outside JAX; one seed."""

    def __init__(self, beat: Beat, env: Hosted, seeds: tuple[int, ...]):
        (self.seed,) = self.seeds = seeds
        self.beat, self.env, self.key = beat, env, pack(root(self.seed))
        self.done = self.steps = 0
        self.turn = -1  # of the keys that are at hand
        self.failed = [-1]
        self.lost = 0  # steps in which an environment failed

        def begin(t: TimeStep, key: Key) -> tuple:
            learner = beat.algorithm.init(beat.spec, key=fold(key, "init"))
            kept = beat.store.init(example(beat.algorithm, learner, t), envs=beat.envs)
            carry = actors(beat.algorithm.policy(learner), beat.envs)
            return strong((learner, kept, carry, jnp.array(0)))

        def draw(key: Key, first: Int[Array, ""]) -> tuple:
            steps = first + jnp.arange(DRAWN)
            return (words_of(key, "act", steps, beat.envs),)

        def choose(
            policy: Policy, carry: PyTree, t: TimeStep, words: UInt[Array, "env word"]
        ) -> tuple:
            return act_by(policy, carry, t, words, explore=True)

        def add(kept: PyTree, steps: Transition) -> tuple:
            return (beat.store.add(kept, steps),)

        def end(kept: PyTree, lost: Array) -> tuple:
            return (beat.store.cut(kept, lost),)

        def improve(learner: PyTree, kept: PyTree, count: Array, key: Key) -> tuple:
            learner, kept, account = learn(beat, learner, kept, count=count, key=key)
            policy = beat.algorithm.policy(learner)
            return learner, policy, kept, count + beat.updates, account

        def own(learner: PyTree) -> tuple:
            """A policy that outlives its learner, which is donated."""
            return (jax.tree.map(jnp.copy, beat.algorithm.policy(learner)),)

        self._draw = packing(draw)
        self._act = packing(choose)
        self._add = packing(add, donate_argnums=0)
        self._end = packing(end, donate_argnums=0)
        self._learn = packing(improve, donate_argnums=(0, 1))
        self._policy = packing(own)

        self.t = env.reset(self.seed)
        start = packing(begin)(pack(self.t), self.key)
        self.learned, self.kept, self.carry, self.count = start
        (self.newest,) = self._policy(self.learned)
        self.acting = self.newest
        self.returns = np.zeros(beat.envs)
        self.lengths = np.zeros(beat.envs, int)

    def _play(self, policy: Packed, ended: list[tuple[float, int]]) -> Transition:
        """Collect one block; the steps are `(time, env, ...)`."""
        block: list[Transition] = []
        for _ in range(self.beat.block):
            seen, after = self._step(policy, block)
            block.append(seen)
            self._count(np.asarray(seen.reward), np.asarray(after.first), ended)
            self.t, self.steps = after, self.steps + 1
        return jax.tree.map(lambda *x: np.stack([np.asarray(v) for v in x]), *block)

    def _step(
        self, policy: Packed, block: list[Transition]
    ) -> tuple[Transition, TimeStep]:
        """One step of every environment. Where it fails, the first of the episode that
        begins instead; the step before it, in the block or the store, is cut off."""
        action, self.carry, extras = self._choose(policy)
        out, after = self.env.step(action)
        while (lost := self.env.lost).any():
            self._cut(block, lost)
            self.t = mix(lost, after, self.t)
            action, self.carry, extras = mix(
                lost, self._choose(policy), (action, self.carry, extras)
            )
            out, after = mix(lost, self.env.step(action, only=lost), (out, after))
        seen = Transition.of(self.t, action, out, extras)
        return seen, after

    def _choose(self, policy: Packed) -> tuple[PyTree, Packed, PyTree]:
        """Action, carry and extras of every actor."""
        action, carry, extras = self._act(
            policy, self.carry, pack(self.t), pack(self._words())
        )
        return jax.tree.map(np.asarray, action.tree), carry, extras.tree

    def _words(self) -> UInt[np.ndarray, "env word"]:
        """What this step is drawn with: a function of its number."""
        turn, row = divmod(self.steps, DRAWN)
        if self.turn != turn:
            (words,) = self._draw(self.key, pack(np.int32(turn * DRAWN)))
            self.turn, self.words = turn, np.asarray(words.tree)
        return self.words[row]

    def _cut(self, block: list[Transition], lost: np.ndarray) -> None:
        """Forget the episodes of these environments, and end them where they stood."""
        self.lost += int(lost.sum())
        self.returns[lost] = self.lengths[lost] = 0
        if not block:
            (self.kept,) = self._end(self.kept, pack(lost))
            return
        last = block[-1]
        truncated = last.truncated | (lost & ~np.asarray(last.terminated))
        block[-1] = dataclasses.replace(last, truncated=truncated)

    def _count(
        self, reward: np.ndarray, over: np.ndarray, ended: list[tuple[float, int]]
    ) -> None:
        self.returns += reward
        self.lengths += 1
        for i in np.flatnonzero(over):
            ended.append((float(self.returns[i]), int(self.lengths[i])))
            self.returns[i] = self.lengths[i] = 0

    def advance(self, blocks: int) -> list[dict[str, float]]:
        """Go on by some blocks, or until an update fails; what there is to log."""
        learning = self.done >= self.beat.warmup
        ended: list[tuple[float, int]] = []
        accounts: list[Packed] = []
        for _ in range(blocks):
            # With overlap the newest policy is still being computed while `acting`
            # plays: nothing here waits for it.
            policy = self.acting if self.beat.overlap else self.newest
            self.acting = self.newest
            steps = self._play(policy, ended)
            if self._halted(accounts):
                break  # with the store as the failed update saw it
            (self.kept,) = self._add(self.kept, pack(steps))
            if learning:
                self.learned, self.newest, self.kept, self.count, account = self._learn(
                    self.learned, self.kept, self.count, self.key
                )
                accounts.append(account)
        self._halted(accounts)
        self.done += blocks
        total = (sum(r for r, _ in ended), sum(n for _, n in ended))
        learned = together([account.tree for account in accounts])
        lost, self.lost = {"faults": float(self.lost)} if self.lost else {}, 0
        return [summary(len(ended), *total) | learned | lost]

    def _halted(self, accounts: list[Packed]) -> bool:
        """Whether the newest of the learning was the last."""
        if accounts and self.failed == [-1]:
            self.failed = [int(accounts[-1].tree.first)]
        return self.failed != [-1] and self.beat.on_nan == "stop"

    def learner(self, i: int) -> PyTree:
        """What has been learned."""
        return self.learned.tree

    def stored(self, i: int) -> PyTree:
        """What the store holds."""
        return self.kept.tree

    def save(self, i: int) -> tuple[PyTree, dict]:
        """All of the run: arrays, and how to bring the world back."""
        life = Life(
            self.learned.tree,
            self.acting.tree if self.beat.overlap else None,
            self.kept.tree,
            self.carry.tree,
            self.t,
            self.count.tree,
        )
        meta = {
            "blocks": self.done,
            "steps": self.steps,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
            "world": self.env.snapshot(),
        }
        return life, meta

    def restore(self, saved: list[tuple[PyTree, dict]]) -> None:
        """Put back what `save` gave; the world is re-seeded and replayed. Where it
        cannot be brought back, an episode begins and its return is counted anew."""
        ((life, meta),) = saved
        t = self.env.restore(meta["world"])
        self.learned, self.kept = pack(life.learner), pack(life.kept)
        self.carry, self.count = pack(life.carry), pack(life.count)
        (self.newest,) = self._policy(self.learned)
        self.acting = pack(life.acting) if self.beat.overlap else self.newest
        self.t = life.t if t is None else t
        self.done, self.steps = meta["blocks"], meta["steps"]
        again = np.zeros(self.beat.envs, bool) if t is None else np.asarray(t.first)
        self.returns = np.where(again, 0.0, meta["returns"])
        self.lengths = np.where(again, 0, meta["lengths"])

    def endow(self, learners: list[PyTree], old: PyTree, updates: int) -> None:
        """Begin with what was learned in so many updates from a dataset, which is put
        into the mixture."""
        (learner,) = learners
        self.learned = pack(jax.tree.map(jnp.copy, learner))
        self.kept = pack(dataclasses.replace(self.kept.tree, old=jax.device_put(old)))
        self.count = pack(jnp.full_like(self.count.tree, updates))
        (self.newest,) = self._policy(self.learned)
        self.acting = self.newest

    def close(self) -> None:
        self.env.close()


def mix(rows: np.ndarray, yes: PyTree, no: PyTree) -> PyTree:
    """Row by row, `yes` where asked for and `no` elsewhere, on the host."""

    def pick(x: Any, y: Any) -> np.ndarray:
        return np.where(rows.reshape(-1, *[1] * (np.ndim(x) - 1)), x, y)

    return jax.tree.map(pick, yes, no)
