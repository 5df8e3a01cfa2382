"""One loop with everything that happens around it.

Between chunks of blocks stand logging, evaluation, checkpoints and the stop signal.
Where the chunks end is fixed by the plan alone, so that a run stopped and resumed is
the run that was never stopped.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..core import Algorithm, Env, fold, NumericalFault, root, Spec, Terminated
from ..data import Dataset
from ..envs import Hosted, shut
from . import blackbox, checkpoint, faults, policies
from .arrays import is_key
from .compiled import Compiled
from .devices import deal
from .evaluate import evaluation_seed, Evaluator, evaluator
from .from_data import FromData
from .hosted import HostedLoop
from .loop import Beat
from .parallel import orphaned
from .plan import Plan
from .problem import Problem, World
from .run import Run
from .signals import stop_signal
from .sinks import Sink


ROWS = 100  # lines in the log of a run


class Schedule(NamedTuple):
    """At which blocks something is due."""

    log: int
    evaluate: int
    checkpoint: int

    def due(self, what: int, done: int, last: int) -> bool:
        return done % what == 0 or done == last


def schedule(beat: Beat, plan: Plan) -> Schedule:
    """Everything in whole blocks; evaluations and checkpoints at lines of the log."""
    log = max(1, beat.blocks // ROWS)

    def blocks(steps: int) -> int:
        return max(log, round(steps / beat.stride / log) * log)

    steps = beat.blocks * beat.stride
    evaluate = blocks(plan.evaluate_every or math.ceil(steps / 10))
    return Schedule(log, evaluate, blocks(plan.checkpoint_every or steps // 4))


class Trainer:
    """One loop with everything that happens around it, for one or more seeds."""

    def __init__(
        self,
        problem: Problem,
        world: World,
        beat: Beat,
        run: Run,
        seeds: tuple[int, ...],
        sinks: Sequence[Sink],
        *,
        before: int = 0,
    ):
        """`before`: how many updates a dataset has been learned from already."""
        self.before = before
        self.problem, self.world, self.beat, self.run = problem, world, beat, run
        self.seeds, self.sinks = seeds, sinks
        self.logs = [run.seed(s) for s in seeds]
        self.schedule = schedule(beat, problem.plan)
        self.arena = problem.arena()
        self.loop = loop(world, beat, seeds, problem.plan)
        self.evaluators = evaluators(self.arena, problem.plan)

    @property
    def step(self) -> int:
        """Environment steps so far; from a dataset, updates."""
        return self.before + self.loop.done * self.beat.stride

    def train(self, resume: bool = False, *, more: bool = False) -> None:
        """To the end; `more` says that this is not the end of the run."""
        if resume:
            self._restore()
        elif self.before:
            for log in self.logs:
                log.rewind(self.before)
        last, due = self.beat.blocks, self.schedule.due
        started = time.perf_counter()
        try:
            with stop_signal() as asked_to_stop:
                while self.loop.done < last:
                    self._chunk(started)
                    self._keep_faults()
                    done = self.loop.done
                    if due(self.schedule.evaluate, done, last):
                        self.evaluate()
                    stopping = asked_to_stop() or (orphaned() and Terminated)
                    if stopping or due(self.schedule.checkpoint, done, last):
                        self.save()
                    if stopping and (more or done < last):
                        raise stopping
        finally:
            self._keep_faults()
            self.loop.close()
            shut(self.arena)

    def _chunk(self, started: float) -> None:
        """Go on to the next line of the log."""
        done = self.loop.done
        goal = min(
            self.beat.blocks, done - done % self.schedule.log + self.schedule.log
        )
        rows: list[dict[str, float]] = []
        if done < self.beat.warmup:  # the warm-up is another program: stop at its end
            rows = self.loop.advance(min(goal, self.beat.warmup) - done)
        if self.loop.done < goal:
            more = self.loop.advance(goal - self.loop.done)
            rows = [pool(a, b) for a, b in zip(rows or more, more, strict=True)]
        learned = max(0, self.loop.done - self.beat.warmup) * self.beat.updates
        updates = self.before + learned
        seconds = time.perf_counter() - started
        for i, first in enumerate(self.loop.failed):
            if first >= 0 and self.problem.plan.on_nan == "stop":
                self._fail(i, first)
        for seed, log, values in zip(self.seeds, self.logs, rows, strict=True):
            self._check(seed, values)
            log.log(self.step, updates, values, seconds)
            for sink in self.sinks:
                sink.log(seed, self.step, values)

    def _keep_faults(self) -> None:
        """Write down what went wrong in the worlds."""
        for world in (self.world, self.arena):
            faults.drain(world, self.logs[0].path / "faults")

    def _fail(self, i: int, update: int) -> NoReturn:
        """Write down the update that failed, and raise `NumericalFault`."""
        seed, log, beat = self.seeds[i], self.logs[i], self.beat
        block = beat.warmup + (update - self.before) // beat.updates
        step = self.before + (block + 1) * beat.stride
        key = root(seed)
        batch = beat.store.sample(
            self.loop.stored(i), key=fold(key, "sample", jnp.array(update))
        )
        first = blackbox.record(
            log.path / "faults" / f"update-{update}",
            algorithm=beat.algorithm,
            name=self.problem.name,
            spec=beat.spec,
            envs=beat.envs,
            learner=self.loop.learner(i),
            batch=batch,
            key=fold(key, "update", jnp.array(update)),
            meta={"seed": seed, "update": update, "step": step},
        )
        raise NumericalFault(
            f"seed {seed}: update {update} (step {step}) is not finite, first in "
            f"{first}; the last checkpoint is intact; see it again with: "
            f"peira replay-fault {self.run.path}"
        )

    def _check(self, seed: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise NumericalFault(
                    f"{name} of seed {seed} became {value} by step {self.step}; the "
                    f"last checkpoint in {self.run.path} is intact"
                )

    def evaluate(self) -> None:
        for i, (seed, log) in enumerate(zip(self.seeds, self.logs, strict=True)):
            policy = self.beat.algorithm.policy(self.loop.learner(i))
            best = log.best()
            for mode, evaluate in self.evaluators.items():
                start = evaluation_seed(seed, self.step)
                returns, lengths = evaluate(policy, start)
                log.evaluated(self.step, mode, returns, lengths, start)
                if mode == "greedy":
                    if self.problem.plan.best and returns.mean() > best:
                        self._save_policy(i, "best")
                    for sink in self.sinks:
                        sink.evaluated(seed, self.step, returns)

    def save(self) -> None:
        for i, log in enumerate(self.logs):
            tree, meta = self.loop.save(i)
            log.flush()
            self._save_policy(i, "policy")
            # Last, because a run goes on from its checkpoint: all else is there then.
            checkpoint.save(
                log.path / "checkpoints",
                tree,
                meta={"step": self.step, "updates": self.beat.spec.updates} | meta,
                owner=self.run.owner(self.seeds[i]),
                keep=self.problem.plan.keep,
            )

    def _save_policy(self, i: int, name: str) -> None:
        policies.save_policy(
            self.logs[i].path / name,
            self.beat.algorithm.policy(self.loop.learner(i)),
            algorithm=self.beat.algorithm,
            name=self.problem.name,
            spec=self.beat.spec,
            meta={"seed": self.seeds[i], "step": self.step},
        )

    def _restore(self) -> None:
        """Go back to the newest moment that every seed has saved; to the beginning
        if one of them has never saved."""
        folders = [log.path / "checkpoints" for log in self.logs]
        if not all(checkpoint.steps(folder) for folder in folders):
            return
        like, _ = self.loop.save(0)
        last = self.beat.blocks * self.beat.stride
        newest = [
            functools.partial(checkpoint.latest, folder, like, owner=self.run.owner(s))
            for folder, s in zip(folders, self.seeds, strict=True)
        ]
        saved = [load(by=self.before + last) for load in newest]
        while len({meta["step"] for _, meta in saved}) > 1:
            by = min(meta["step"] for _, meta in saved)
            saved = [load(by=by) for load in newest]
        for log in self.logs:
            log.rewind(saved[0][1]["step"])
        self.loop.restore([self._extended(*one) for one in saved])

    def _extended(self, life: PyTree, meta: dict[str, Any]) -> tuple[PyTree, dict]:
        """A life as it is, but for what the length of the run decides."""
        new = self.beat.spec
        old = dataclasses.replace(new, updates=meta.get("updates", new.updates))
        if old == new:
            return life, meta
        learner = extend(self.beat.algorithm, life.learner, old=old, new=new)
        return dataclasses.replace(life, learner=learner), meta


def loop(
    world: World, beat: Beat, seeds: tuple[int, ...], plan: Plan
) -> HostedLoop | Compiled | FromData:
    """The loop for what is learned from, on one device or on several."""
    beat = beat._replace(where=deal(plan, seeds, world))
    match world:
        case Hosted():
            return HostedLoop(beat, world, seeds)
        case Dataset():
            return FromData(beat, world, seeds, resident=plan.resident * 2**20)
    return Compiled(beat, world, seeds)


def evaluators(arena: Env | Hosted | None, plan: Plan) -> dict[str, Evaluator]:
    """How to evaluate, by the name of the mode; none where there is no environment."""
    if arena is None:
        return {}
    modes = {"greedy": False} | ({"explore": True} if plan.stochastic else {})
    return {
        mode: evaluator(arena, episodes=plan.episodes, explore=explore)
        for mode, explore in modes.items()
    }


def extend(algorithm: Algorithm, learner: PyTree, *, old: Spec, new: Spec) -> PyTree:
    """The learner with the horizon of another plan: what `init` makes of the number of
    updates, and of nothing else, is made anew."""
    before, after = (algorithm.init(spec, key=root(0)) for spec in (old, new))
    differs = lambda x, y: not is_key(x) and not jnp.array_equal(x, y)
    return jax.tree.map(
        lambda x, y, now: y if differs(x, y) else now, before, after, learner
    )


def pool(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """One line of the log from the two parts of a chunk that crossed the warm-up."""
    if a is b:
        return dict(b)
    n, m = a["episodes"], b["episodes"]
    both = {"episodes": n + m}
    for name in ("return", "length"):
        if n + m:
            both[name] = (n * a.get(name, 0.0) + m * b.get(name, 0.0)) / (n + m)
    return dict(a) | dict(b) | both
