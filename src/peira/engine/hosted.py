"""Gymnasium environments: the world steps on the host, learning runs on the device.

One dispatch per step to act and one per block to keep and learn. With `overlap` the
next block is collected while the last one is learned from.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from ..core import actors, fold, Key, Policy, root, TimeStep, Transition
from ..envs import Hosted
from .loop import act, Beat, example, learn, strong, summary


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
        self.beat, self.env, self.key = beat, env, root(self.seed)
        self.done = self.steps = 0

        def choose(policy: Policy, carry: PyTree, t: TimeStep, key: Key, step: Any):
            return act(policy, carry, t, key=fold(key, "act", step), explore=True)

        def improve(learner: PyTree, kept: PyTree, count: Array, key: Key) -> Any:
            learner, kept, metrics = learn(beat, learner, kept, count=count, key=key)
            return learner, kept, count + beat.updates, metrics

        self._act = jax.jit(choose)
        # Two programs: in one, XLA fuses the adding with the first sampling, and to
        # read the store as it was it copies all of it.
        self._add = jax.jit(beat.store.add, donate_argnums=0)
        # The learner is donated unless the policy in the field shares its arrays.
        self._learn = jax.jit(improve, donate_argnums=1 if beat.overlap else (0, 1))
        self._policy = jax.jit(beat.algorithm.policy)

        t = env.reset(self.seed)
        init = lambda k: strong(beat.algorithm.init(beat.spec, key=k))
        learner = jax.jit(init)(fold(self.key, "init"))
        policy = self._policy(learner)
        shape = jax.eval_shape(lambda: example(beat, learner, t))
        blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)
        kept = jax.jit(lambda: strong(beat.store.init(blank, envs=beat.envs)))()
        carry = strong(actors(policy, beat.envs))
        acting = policy if beat.overlap else None
        self.life = Life(learner, acting, kept, carry, t, strong(jnp.array(0)))
        self.returns = np.zeros(beat.envs)
        self.lengths = np.zeros(beat.envs, int)

    def _play(self, policy: Policy, ended: list[tuple[float, int]]) -> Transition:
        """Collect one block; the steps are `(time, env, ...)`."""
        carry, t = self.life.carry, self.life.t
        seen: list[Transition] = []
        for _ in range(self.beat.block):
            action, carry, extras = self._act(
                policy, carry, t, self.key, np.int32(self.steps)
            )
            action = jax.tree.map(np.asarray, action)
            out, after = self.env.step(action)
            seen.append(
                Transition(
                    t.obs,
                    action,
                    out.reward,
                    out.terminated,
                    out.truncated,
                    out.obs,
                    out.legal,
                    t.legal,
                    extras,
                )
            )
            self._count(np.asarray(out.reward), np.asarray(after.first), ended)
            t, self.steps = after, self.steps + 1
        self.life = Life(
            self.life.learner,
            self.life.acting,
            self.life.kept,
            carry,
            t,
            self.life.count,
        )
        return jax.tree.map(lambda *x: np.stack([np.asarray(v) for v in x]), *seen)

    def _count(
        self, reward: np.ndarray, over: np.ndarray, ended: list[tuple[float, int]]
    ) -> None:
        self.returns += reward
        self.lengths += 1
        for i in np.flatnonzero(over):
            ended.append((float(self.returns[i]), int(self.lengths[i])))
            self.returns[i] = self.lengths[i] = 0

    def advance(self, blocks: int) -> list[dict[str, float]]:
        """Go on by some blocks; what there is to log."""
        learning = self.done >= self.beat.warmup
        ended: list[tuple[float, int]] = []
        sums: list[dict[str, Array]] = []
        for _ in range(blocks):
            # With overlap the newest policy is still being computed while `acting`
            # plays: nothing here waits for it.
            newest = self._policy(self.life.learner)
            steps = self._play(self.life.acting or newest, ended)
            life, acting = self.life, newest if self.beat.overlap else None
            learner, count = life.learner, life.count
            kept = self._add(life.kept, steps)
            if learning:
                learner, kept, count, metrics = self._learn(
                    learner, kept, count, self.key
                )
                sums.append(metrics)
            self.life = Life(learner, acting, kept, life.carry, life.t, count)
        self.done += blocks
        names = sums[-1] if sums else {}
        values = {k: float(np.mean([float(m[k]) for m in sums])) for k in names}
        total = (sum(r for r, _ in ended), sum(n for _, n in ended))
        return [summary(len(ended), *total) | values]

    def learner(self, i: int) -> PyTree:
        """What has been learned."""
        return self.life.learner

    def save(self, i: int) -> tuple[PyTree, dict]:
        """All of the run: arrays, and how to bring the world back."""
        meta = {
            "blocks": self.done,
            "steps": self.steps,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
            "world": self.env.snapshot(),
        }
        return self.life, meta

    def restore(self, saved: list[tuple[PyTree, dict]]) -> None:
        """Put back what `save` gave; the world is re-seeded and replayed, and where it
        comes out elsewhere an episode begins."""
        ((life, meta),) = saved
        self.done, self.steps = meta["blocks"], meta["steps"]
        self.returns = np.array(meta["returns"])
        self.lengths = np.array(meta["lengths"], int)
        t = self.env.restore(meta["world"])
        if t is not None:
            life = eqx.tree_at(lambda x: x.t, life, t)
            self.returns[t.first] = self.lengths[t.first] = 0
        self.life = life

    def close(self) -> None:
        self.env.close()
