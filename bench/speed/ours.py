"""Peira's side."""

import dataclasses
from typing import Any

import jax
from turns import serve

from peira import algos
from peira.data import read
from peira.engine.evaluate import evaluator
from peira.engine.plan import Plan
from peira.engine.problem import Problem
from peira.engine.trainer import loop


LONG = 10**7  # more steps than are ever taken


class Peira:
    def __init__(self, algorithm: str, env: str | None = None, **settings: Any):
        for name, value in settings.items():
            settings[name] = tuple(value) if isinstance(value, list) else value
        data = settings.pop("data", None)
        fields = {f.name for f in dataclasses.fields(algos.get(algorithm))}
        own = algos.get(algorithm)(**{k: settings.pop(k) for k in {*settings} & fields})
        plan = Plan(steps=LONG, **settings)
        self.problem = Problem(own, env, plan, algorithm, {}, data and read(data))
        world, beat = self.problem.open()
        self.loop = loop(world, beat, plan.seeds, plan)
        if beat.warmup:
            self.loop.advance(beat.warmup)

    def go(self, n: int) -> None:
        self.loop.advance(n // self.loop.beat.stride)
        jax.block_until_ready(self.learner())

    def learner(self) -> Any:
        return jax.tree.leaves(self.loop.learner(0))

    def score(self) -> float:
        """The mean return of ten episodes of the greedy policy."""
        arena = self.problem.arena()
        assert arena is not None
        policy = self.loop.beat.algorithm.policy(self.loop.learner(0))
        returns, _ = evaluator(arena, episodes=10, explore=False)(policy, 0)
        return returns.mean()


if __name__ == "__main__":
    serve(Peira)
