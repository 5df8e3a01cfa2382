"""Is a world in JAX a function of its arguments alone: the same twice, under jit and
under vmap, in a form that a loop can carry?"""

import gc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from ...core import Env, Key, Outcome, root, Spec
from ..export import translate
from .findings import Finding, in_words
from .play import room


STEPS = 3  # steps of one episode that are looked at
ROWS = 4  # worlds side by side
ROUNDING = 1e-4  # of a number, or absolute below 1: compiled sums are ordered anew


class Purity(NamedTuple):
    """What was found, and whether the world can be played at all, whether compiled,
    and whether twice alike."""

    findings: list[Finding]
    plays: bool
    compiles: bool
    repeats: bool


def purity(world: Env, *, seed: int) -> Purity:
    """Examine a world from its first steps. The same call is made again on purpose:
    JAX must not check for keys used twice meanwhile."""
    try:
        calls = list(first_calls(world, root(seed)))
    except Exception as error:
        said = f"played by hand it raised {in_words(error)} (seed {seed})"
        mend = "run reset and step by hand with that key, and mend what raises"
        return Purity([Finding("error", "interface", said, mend)], False, False, False)
    if wrong := list(form(world, calls)):
        return Purity(wrong, False, False, False)
    twice = list(repeated(calls))
    compiled = list(compiled_alike(calls))
    broken = any(f.seen.startswith(NOT_COMPILED) for f in compiled)
    rows = [] if broken or twice else list(rows_alike(world, calls, root(seed)))
    # What is drawn from elsewhere also differs when compiled: that is said once.
    shown = [f for f in compiled if not twice or f.seen.startswith(NOT_COMPILED)]
    found = [*twice, *shown, *rows, *keys_used_twice(world, seed)]
    return Purity(found, True, not broken, not twice)


NOT_COMPILED = "under jit"


class Call(NamedTuple):
    """One call of a world's function and what it answered, eagerly."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    answer: Any


def first_calls(world: Env, key: Key) -> Iterator[Call]:
    """Reset and the first steps of one episode."""
    actions = translate(world.spec.action)
    actions.seed(0)
    take = lambda state, action, k: world.step(state, action, key=k)
    k_reset, *k_steps = jr.split(key, STEPS + 1)
    answer = world.reset(key=k_reset)
    yield Call("reset", lambda k: world.reset(key=k), (k_reset,), answer)
    state, _, legal = answer
    for i, k_step in enumerate(k_steps):
        mask = None if legal is None else np.asarray(legal)
        action = jax.tree.map(jnp.asarray, actions.sample(room(actions, mask)))
        args = (state, action, k_step)
        state, out = take(*args)
        yield Call(f"step {i + 1}", take, args, (state, out))
        if not isinstance(out, Outcome):
            return
        if np.any(out.terminated) or np.any(out.truncated):
            return
        legal = out.legal


def form(world: Env, calls: list[Call]) -> Iterator[Finding]:
    """Whether every answer is one that a compiled loop can carry on from."""
    (state, obs, legal), *steps = [c.answer for c in calls]
    first = (outline(state), outline(obs))
    if wrong := mask_form(world.spec, legal):
        yield wrong
        return
    for n, (after, out) in enumerate(steps, 1):
        if not isinstance(out, Outcome):
            yield Finding(
                "error",
                "interface",
                f"step returned (world, {type(out).__name__})",
                "return (world, Outcome(obs, reward, terminated, truncated))",
            )
            return
        for what, before, now in zip(
            ("world", "obs"), first, (outline(after), outline(out.obs)), strict=True
        ):
            if before != now:
                a, b = unlike(before, now)
                yield Finding(
                    "error",
                    "pure",
                    f"{what} was {a} after reset and {b} after step {n}",
                    "keep structure, shapes and dtypes from reset on; say the dtype "
                    "where an array is made",
                )
                return
        if wrong := parts_form(out) or mask_form(world.spec, out.legal):
            yield wrong
            return


def parts_form(out: Outcome) -> Finding | None:
    """A fault in the shape or kind of reward and ends."""
    for name, kinds, wanted in (
        ("reward", "f", "a float"),
        ("terminated", "b", "a bool"),
        ("truncated", "b", "a bool"),
    ):
        x = getattr(out, name)
        if jnp.shape(x) != () or np.dtype(jnp.result_type(x)).kind not in kinds:
            return Finding(
                "error",
                "interface",
                f"{name} is {outline(x)[0][1]}, not {wanted} of shape ()",
                f"let {name} be {wanted} of shape () in every Outcome",
            )
    return None


def mask_form(spec: Spec, legal: Any) -> Finding | None:
    if spec.masked == (legal is not None):
        return None
    given = "but none was given" if spec.masked else "but one was given"
    return Finding(
        "error",
        "mask",
        f"Spec.masked is {spec.masked}, {given}",
        "give a mask from reset and in every Outcome if and only if Spec.masked",
    )


def outline(tree: PyTree) -> tuple[tuple[str, str], ...]:
    """Where each array of a tree is, and what it is."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return tuple(
        (
            jax.tree_util.keystr(path),
            f"{jnp.result_type(x)}{list(jnp.shape(x))}",
        )
        for path, x in leaves
    )


def unlike(before: tuple, now: tuple) -> tuple[str, str]:
    """The first parts of two outlines that differ."""
    if len(before) != len(now):
        return f"{len(before)} arrays", f"{len(now)}"
    a, b = next((a, b) for a, b in zip(before, now, strict=True) if a != b)
    return " ".join(a).strip(), " ".join(b).strip()


def repeated(calls: list[Call]) -> Iterator[Finding]:
    """The same call again."""
    for call in calls:
        if what := apart(call.answer, call.function(*call.args), rounding=0.0):
            yield Finding(
                "error",
                "pure",
                f"{call.name}, called twice with the same key: {what}",
                "draw every random number from key, and keep nothing outside the "
                "world's state",
            )
            return


def keys_used_twice(world: Env, seed: int) -> Iterator[Finding]:
    """Whether two draws come from one key, by JAX's own account."""
    try:
        with jax.debug_key_reuse(True):
            list(first_calls(world, root(seed)))
    except jax.errors.KeyReuseError as error:
        yield Finding(
            "warning",
            "pure",
            f"a key is used twice: {in_words(error)}",
            "split the key, and draw from each part once",
        )
    except Exception:
        return  # its account does not know every function, and then raises


def compiled_alike(calls: list[Call]) -> Iterator[Finding]:
    """The same call under jit."""
    for call in [calls[0], *calls[1:2]]:
        try:
            answer = jax.jit(call.function)(*call.args)
        except Exception as error:
            yield Finding(
                "error",
                "pure",
                f"{NOT_COMPILED} {call.name} raised {in_words(error)}",
                "use jnp.where or jax.lax.cond in place of if, and jax.numpy in place "
                "of NumPy and of Python's numbers",
            )
            return
        if what := apart(call.answer, answer, rounding=ROUNDING):
            yield Finding(
                "error",
                "pure",
                f"{call.name}, compiled: {what}",
                "let nothing depend on whether a value is traced",
            )
            return
        if leak := leaked(call):
            yield leak
            return


def leaked(call: Call) -> Finding | None:
    """Whether a traced value outlives the call."""
    gc.freeze()  # JAX looks through the whole heap for who keeps it: seconds
    try:
        with jax.checking_leaks():
            jax.jit(lambda *a: call.function(*a)).lower(*call.args)
    except Exception as error:
        return Finding(
            "error",
            "pure",
            f"{call.name} keeps a traced value: {in_words(error)}",
            "keep nothing outside the world's state",
        )
    finally:
        gc.unfreeze()
    return None


def rows_alike(world: Env, calls: list[Call], key: Key) -> Iterator[Finding]:
    """Worlds side by side against the same worlds one by one."""
    keys = jr.split(jr.fold_in(key, 1), ROWS)
    one = jax.jit(lambda k: opened(world, calls, k))
    try:
        rows = jax.jit(jax.vmap(lambda k: opened(world, calls, k)))(keys)
    except Exception as error:
        yield Finding(
            "error",
            "pure",
            f"under vmap it raised {in_words(error)}",
            "write reset and step for one actor, without host callbacks",
        )
        return
    for i, k in enumerate(keys):
        row = jax.tree.map(lambda x, i=i: x[i], rows)
        if what := apart(one(k), row, rounding=ROUNDING):
            yield Finding(
                "error",
                "pure",
                f"row {i} of {ROWS} under vmap is not the world alone: {what}",
                "write reset and step for one actor; no axis is theirs to reduce",
            )
            return


def opened(world: Env, calls: list[Call], key: Key) -> Any:
    """Reset and one step, with the action of the first episode's."""
    k_reset, k_step = jr.split(key)
    first = world.reset(key=k_reset)
    if len(calls) < 2:
        return first
    return first, world.step(first[0], calls[1].args[1], key=k_step)


def apart(a: PyTree, b: PyTree, *, rounding: float) -> str | None:
    """What two answers differ in by more than rounding, if they do."""
    form_a, form_b = outline(a), outline(b)
    if form_a != form_b:
        return "{} and {}".format(*unlike(form_a, form_b))
    for (path, _), x, y in zip(form_a, plain(a), plain(b), strict=True):
        if x.dtype.kind in "fc":
            near = np.isclose(x, y, rtol=rounding, atol=rounding, equal_nan=True)
        else:
            near = x == y
        if not np.all(near):
            at = tuple(int(i) for i in np.argwhere(~np.atleast_1d(near))[0])
            at = at[: x.ndim]
            return f"{path}{list(at) if at else ''} {x[at]} and {y[at]}"
    return None


def plain(tree: PyTree) -> list[np.ndarray]:
    """Leaves as NumPy arrays, random keys as their bits."""

    def bits(x: Any) -> np.ndarray:
        if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key):
            x = jr.key_data(x)
        return np.asarray(x)

    return [bits(x) for x in jax.tree.leaves(tree)]
