"""Checks by what is learned: the engine trains on worlds with two ways, in which each
mistake takes the worse one (`envs/decisions.py` has the arithmetic).

All the worlds, and some seeds of each, learn side by side in one program.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from ...core import Algorithm, keeper, Key, Policy, root, TimeStep
from ...engine.compiled import advance, begin, Life
from ...engine.loop import Beat, beat, strong
from ...engine.plan import Plan
from ...envs import decisions
from ...envs.decisions import (
    Decision,
    Kind,
    second_way,
    SPACES,
    STATES,
    Tabular,
    tabular,
)
from .acting import illegal
from .subject import DoesNotApply, remembered, Subject


SEEDS = 3
FIRST = 16  # of all updates, the part after which answers are first asked for
PACE = 20  # steps of experience per update, where it takes more
ASKED = 64  # times that an exploring actor is asked in each state
LEAST = 0.5  # discount from which on the answers hold
ALWAYS = (
    decisions.choice,
    decisions.observation,
    decisions.termination,
    decisions.truncation,
    decisions.auto_reset,
    decisions.delay,
)
USUAL = {"discrete", "box"}
ROOM = 0.1  # that a discount must leave between γ and γ²


class Lesson(NamedTuple):
    """What was learned in each world: the chance of the second way where it is shown
    what to do, and how often an exploring actor took what is illegal."""

    worlds: dict[str, Decision]
    second: dict[str, Float[np.ndarray, "seed state"]]
    illegal: dict[str, Int[np.ndarray, "seed state"]]
    updates: int

    def worse(self, name: str) -> dict[str, np.ndarray]:
        """For each state that matters, the seeds in which the worse way is taken."""
        ways, better = self.worlds[name].ways, self.worlds[name].better
        second = dict(zip(ways, self.second[name].T, strict=False))
        return {
            s: ~(second[s] > 0.5 if b else second[s] < 0.5) for s, b in better.items()
        }

    def learned(self, name: str) -> bool:
        """Whether the better way is taken in two thirds of the seeds at least."""
        return bool(np.mean([*self.worse(name).values()]) <= 1 / 3)


def posed(gamma: float | None, *, masked: bool) -> dict[str, Decision]:
    """The decisions that can be posed; how much is discounted, only where it is known
    and leaves room for the answer."""
    found = {f.__name__: f() for f in ALWAYS}
    if gamma is not None and gamma - gamma**2 >= ROOM:
        found |= {f.__name__: f(gamma) for f in (decisions.patience, decisions.haste)}
    return found | ({"masks": decisions.masks()} if masked else {})


def kinds_served(cls: type[Algorithm]) -> list[Kind]:
    """The kinds of actions to pose decisions in: choices and numbers if it serves them,
    or else what it does."""
    serves = lambda kind: isinstance(SPACES[kind], tuple(cls.serves))
    served: list[Kind] = [kind for kind in SPACES if serves(kind)]
    return [k for k in served if k in USUAL] or served[:1]


def counted(algorithm: Algorithm, world: Tabular, updates: int) -> Beat:
    """A run of so many updates; of fewer where each takes much experience."""
    envs = getattr(type(algorithm), "actors", 1)
    rhythm = keeper(algorithm, world.spec).rhythm(envs=envs)
    each = -(-rhythm.every // rhythm.updates)
    updates = int(np.clip(PACE * updates // each, updates // FIRST, updates))
    plan = Plan(steps=rhythm.warmup + each * updates, on_nan="skip")
    return beat(algorithm, world.spec, plan, envs=envs)


@remembered
def lesson(subject: Subject, kind: Kind) -> Lesson:
    """Learn all the decisions that can be posed in actions of a kind."""
    algorithm = subject.quick
    masked = kind == "discrete" and not subject.trace("masked").refusal
    known = posed(getattr(algorithm, "gamma", None), masked=masked)
    made = [tabular(d, kind, masked=masked) for d in known.values()]
    run = counted(algorithm, made[0], subject.updates)
    start, go_on, ask = programs(run)
    lanes = [(world, root(seed)) for world in made for seed in range(SEEDS)]
    with jax.debug_key_reuse(False):  # worlds share their keys on purpose
        worlds, keys = jax.tree.map(lambda *x: jnp.stack(x), *lanes)
        lives, found = start(worlds, keys), Lesson(known, {}, {}, 0)
        for done, more in rounds(run.blocks - run.warmup):
            lives = go_on(worlds, lives, jnp.array(more))
            answers = [
                np.asarray(x).reshape(len(made), SEEDS, STATES)
                for x in ask(worlds, lives)
            ]
            second, wrong = (dict(zip(known, x, strict=True)) for x in answers)
            found = Lesson(known, second, wrong, done * run.updates)
            if all(found.learned(name) for name in known):
                break
    return found


def rounds(blocks: int) -> Iterator[tuple[int, int]]:
    """After how many blocks answers are asked for, and how many blocks that adds."""
    done = 0
    while done < blocks:
        goal = min(blocks, max(2 * done, -(-blocks // FIRST)))
        yield goal, goal - done
        done = goal


def programs(run: Beat) -> tuple[Any, Any, Any]:
    """To begin and warm up, to learn some blocks, and to ask what was learned, for many
    worlds at once."""

    def start(world: Tabular, key: Key) -> Life:
        life = strong(begin(run, world, key))
        if not run.warmup:
            return life
        return advance(run, world, life, jnp.array(run.warmup), learning=False)[0]

    def go_on(world: Tabular, life: Life, blocks: Int[Array, ""]) -> Life:
        return advance(run, world, life, blocks, learning=True)[0]

    def ask(world: Tabular, life: Life) -> tuple[Array, Array]:
        policy = run.algorithm.policy(life.learner)
        return jax.vmap(lambda s: asked(policy, world, s))(jnp.arange(STATES))

    return (
        jax.jit(jax.vmap(start)),
        jax.jit(jax.vmap(go_on, in_axes=(0, 0, None))),
        jax.jit(jax.vmap(ask)),
    )


def asked(
    policy: Policy, world: Tabular, state: Int[Array, ""]
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """The chance of the second way where the policy shows what to do in a state, and
    how often it explored what is illegal there."""
    zero, yes = jnp.zeros(()), jnp.array(True)
    t = TimeStep(world.look(state), zero, yes, world.allowed(state))

    def second(key: Key, explore: bool) -> Float[Array, ""]:
        action, _, _ = policy(policy.begin(), t, key=key, explore=explore)
        return second_way(action, world.kind)

    shown = second(jr.key(0), False)
    tried = jax.vmap(lambda k: second(k, True))(jr.split(jr.key(1), ASKED))
    if not world.masked:
        return shown, jnp.array(0)
    ways = jnp.append(tried, shown).astype(jnp.int32)
    return shown, (~world.legal[state, ways]).sum()


def decide(subject: Subject, *, names: tuple[str, ...]) -> Iterator[str]:
    """The decisions that were learned wrong, in every kind of action."""
    subject.must_keep()
    gamma = getattr(subject.quick, "gamma", None)
    if gamma is not None and gamma < LEAST:
        raise DoesNotApply(f"gamma = {gamma}: the answers hold from {LEAST} on")
    for kind in kinds_served(subject.cls):
        found = lesson(subject, kind)
        if missing := [name for name in names if name not in found.worlds]:
            raise DoesNotApply(why_not(missing[0], gamma))
        for name in names:
            if not found.learned(name):
                yield f"{kind}: {mistaken(found, name)}"


def mistaken(found: Lesson, name: str) -> str:
    """How often the worse way was taken, and what it is worse than."""
    wrong = np.concatenate([*found.worse(name).values()])
    about = " ".join((getattr(decisions, name).__doc__ or "").split())
    return (
        f"{wrong.sum()} of {wrong.size} times the worse way, after {found.updates} "
        f"updates (a slow learner may need more). {about}"
    )


def why_not(name: str, gamma: float | None) -> str:
    if name == "masks":
        return "there are no masks for its actions"
    if gamma is None:
        return "it has no field gamma"
    return f"gamma = {gamma} is too close to its square to tell them apart"


def masks(subject: Subject) -> Iterator[str]:
    """Illegal actions, on made-up observations and after learning; and whether they
    count in what a state is worth."""
    if wrong := list(illegal(subject)):
        yield from wrong
        return
    if not subject.keeps:
        return
    found = lesson(subject, "discrete")
    if times := sum(int(x.sum()) for x in found.illegal.values()):
        yield f"after learning {times} actions are illegal"
    if not found.learned("masks"):
        yield mistaken(found, "masks")
