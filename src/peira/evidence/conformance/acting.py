"""Checks of what every policy promises: where its actions lie, what they hang on."""

import dataclasses
import functools as ft
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PyTree

from ...core import actors, is_space, Key, PeiraError, TimeStep
from ...engine.loop import act
from .made_up import apart, instant, same
from .subject import DoesNotApply, remembered, Subject


ACTORS, ONE, STEPS = 32, 7, 3
CLOSE = 1e-5


class Played(NamedTuple):
    """What some actors were handed, and what they did: showing, showing with other
    keys, one of them alone, exploring, and exploring before the first update."""

    t: TimeStep
    shown: PyTree
    again: PyTree
    alone: PyTree
    explored: PyTree
    roamed: PyTree


def grown(state: Any) -> Any:
    """The same state, as if one update had been made of it: counters at one."""
    count = lambda x: jnp.issubdtype(x.dtype, jnp.integer) and x.ndim == 0
    return jax.tree.map(lambda x: jnp.ones_like(x) if count(x) else x, state)


@remembered
def play(subject: Subject, problem: str) -> tuple[Played, Played]:
    """Act on made-up observations, and then again with other keys."""
    algorithm, spec = subject.small, subject.problems[problem]

    def choose(state: Any, t: TimeStep, keys: Array, explore: bool) -> PyTree:
        policy = algorithm.policy(state)
        one = lambda c, x, k: policy(c, x, key=k, explore=explore)
        return jax.vmap(one)(actors(policy, len(keys)), t, keys)[0]

    @jax.jit
    def run(key: Key, other: Key) -> Played:
        k_init, k_t, k_show = jr.split(key, 3)
        newborn = algorithm.init(spec, key=k_init)
        older, t = grown(newborn), instant(spec, ACTORS, key=k_t)
        one, row = (lambda x: jax.tree.map(lambda x: x[row], x)), slice(ONE, ONE + 1)
        # What differs in keys or numbers only is one program twice.
        keys = jr.split(k_show, (2, ACTORS))
        alone = choose(older, one(t), jr.clone(keys)[0, row], False)
        shown = jax.vmap(lambda ks: choose(older, t, ks, False))(keys)
        both = jax.tree.map(lambda x, y: jnp.stack([x, y]), older, newborn)
        keys = jr.split(other, (2, ACTORS))
        tried = jax.vmap(lambda state, ks: choose(state, t, ks, True))(both, keys)
        lane = lambda i, tree: jax.tree.map(lambda x: x[i], tree)
        first, second = ft.partial(lane, 0), ft.partial(lane, 1)
        return Played(
            t, first(shown), second(shown), alone, first(tried), second(tried)
        )

    with subject.strict:
        return run(jr.key(0), jr.key(1)), run(jr.key(0), jr.key(2))


def spaces(subject: Subject) -> Iterator[str]:
    for problem, spec in subject.working.items():
        played, _ = play(subject, problem)
        wanted = jax.tree.leaves(spec.action, is_leaf=is_space)
        for how in ("shown", "explored", "roamed"):
            for space, x in zip(wanted, numbers_of(played, how), strict=True):
                kind, should = (x.dtype, x.shape), (space.dtype, (ACTORS, *space.shape))
                if kind != should:
                    yield f"{problem}, {how}: actions are {kind}, not {should}"
                elif outside := int((~space.contains(x)).sum()):
                    yield f"{problem}, {how}: {outside} of {ACTORS} lie outside"


def numbers_of(played: Played, how: str) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(getattr(played, how))]


def shows(subject: Subject) -> Iterator[str]:
    for problem in subject.working:
        played, _ = play(subject, problem)
        if not same(played.shown, played.again):
            far = apart(played.shown, played.again)
            yield f"{problem}: other keys moved what is shown by {far:.3g}"


def explores(subject: Subject) -> Iterator[str]:
    subject.must_keep()
    for problem in subject.working:
        played, other = play(subject, problem)
        if same(played.roamed, other.roamed):
            yield f"{problem}: with other keys {ACTORS} actors explored alike"


def alone(subject: Subject) -> Iterator[str]:
    for problem in subject.working:
        played, _ = play(subject, problem)
        row = jax.tree.map(lambda x: x[ONE : ONE + 1], played.shown)
        if not (far := apart(played.alone, row)) <= CLOSE:
            yield f"{problem}: one actor alone acts {far:.3g} apart from it in company"


def illegal(subject: Subject) -> Iterator[str]:
    """Illegal actions on made-up observations; raises `DoesNotApply` where there are no
    masks."""
    if "masked" not in subject.problems:
        raise DoesNotApply("no masks for its actions")
    if refusal := subject.trace("masked").refusal:
        if isinstance(refusal, PeiraError):
            raise DoesNotApply(f"refused: {refusal}")
        raise refusal
    played, _ = play(subject, "masked")
    legal = np.asarray(played.t.legal)
    for how in ("shown", "explored", "roamed"):
        (action,) = numbers_of(played, how)
        if wrong := int((~legal[np.arange(ACTORS), action]).sum()):
            yield f"{how}: {wrong} of {ACTORS} actions are illegal"


def memory(subject: Subject) -> Iterator[str]:
    """What was carried must not show where an episode opens."""
    algorithm, spec = subject.small, subject.problems[subject.main]

    @jax.jit
    def run(key: Key) -> Any:
        k_init, k_open, k_act, *ks = jr.split(key, 3 + STEPS)
        policy = algorithm.policy(grown(algorithm.init(spec, key=k_init)))
        blank = worn = actors(policy, ACTORS)
        for k in ks:
            t = instant(spec, ACTORS, key=k)
            worn = act(policy, worn, t, key=k, explore=True)[1]
        t = instant(spec, ACTORS, key=k_open)
        t = dataclasses.replace(t, first=jnp.ones(ACTORS, bool))
        return [
            [act(policy, c, t, key=k_act, explore=explore) for c in (blank, worn)]
            for explore in (False, True)
        ]

    with jax.debug_key_reuse(False):  # the two are given one key on purpose
        if not jax.tree.leaves(jax.eval_shape(run, jr.key(0))[0][0][1]):
            raise DoesNotApply("nothing is carried")
        shown, explored = run(jr.key(0))
    for how, (fresh, worn) in {"shown": shown, "explored": explored}.items():
        for what, a, b in zip(("action", "carry", "extras"), fresh, worn, strict=True):
            if not (far := apart(b, a)) <= CLOSE:
                yield f"{how}: the first {what} of an episode differs by {far:.3g}"
