"""Peira's side."""

import dataclasses
from typing import Any

import jax
from turns import serve

from peira import algos
from peira.data import read
from peira.engine.devices import spread
from peira.engine.evaluate import evaluation_seed, evaluator
from peira.engine.plan import Plan
from peira.engine.problem import Problem
from peira.engine.trainer import loop


LONG = 10**7  # more steps than are ever taken


class Peira:
    def __init__(self, algorithm: str, env: str | None = None, **settings: Any):
        for name, value in settings.items():
            settings[name] = tuple(value) if isinstance(value, list) else value
        data = settings.pop("data", None)
        self.seed = settings.pop("seed", 0)
        fields = {f.name for f in dataclasses.fields(algos.get(algorithm))}
        own = algos.get(algorithm)(**{k: settings.pop(k) for k in {*settings} & fields})
        plan = Plan(steps=LONG, **{"seeds": (self.seed,)} | settings)
        spread(plan)
        self.problem = Problem(own, env, plan, algorithm, {}, data and read(data))
        world, beat = self.problem.open()
        self.stride = beat.stride
        self.loop = loop(world, beat, plan.seeds, plan)
        self.judge: Any = None
        if beat.warmup:
            self.loop.advance(beat.warmup)

    def go(self, n: int) -> None:
        self.loop.advance(n // self.stride)
        jax.block_until_ready(jax.tree.leaves(self.loop.learner(0)))

    def look(self, n: int) -> float:
        if self.judge is None:
            self.judge = evaluator(self.problem.make(n), episodes=n)
        policy = self.problem.algorithm.policy(self.loop.learner(0))
        start = evaluation_seed(self.seed, self.loop.done * self.stride)
        return float(self.judge(policy, start).returns.mean())


if __name__ == "__main__":
    serve(Peira)
