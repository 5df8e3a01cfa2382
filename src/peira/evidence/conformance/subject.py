"""An algorithm under examination: made small, and its programs compiled once."""

import dataclasses
import functools as ft
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import jax
import jax.random as jr

from ...core import Algorithm, BadConfig, Spec, Store
from .made_up import birth, keys_of, Life, PROBLEMS, show, turn
from .settings import QUICK, sized, SMALL, TEMPERED


Found = TypeVar("Found")
More = ParamSpec("More")


class DoesNotApply(Exception):
    """A check has nothing to look at; the message says why."""


class Traced(NamedTuple):
    """What lasts before and after a round, as shapes; what JAX says of a random key
    used twice, and what was raised instead of working at all."""

    before: Life | None = None
    after: Life | None = None
    reuse: str = ""
    refusal: Exception | None = None


class Subject:
    """An algorithm with some fields given; those others that have a usual name are made
    small, unless it cannot work so.

    `updates` is how many a decision may take to learn at most. Raises `BadConfig` for
    an algorithm that serves no space there is a problem for.
    """

    def __init__(
        self,
        cls: type[Algorithm],
        given: Mapping[str, Any] | None = None,
        *,
        updates: int = 4_800,
    ):
        self.cls, self.given = cls, dict(given or {})
        self.updates = updates
        self.problems = serving(cls)
        self.main = next(iter(self.problems))
        self.trace = ft.cache(self._trace)
        self.programs = ft.cache(self._programs)
        self.history = ft.cache(self.live)
        self.memory: dict[Any, Any] = {}
        tempered = TEMPERED.keys() <= {f.name for f in dataclasses.fields(cls)}
        quick = {**QUICK, **TEMPERED} if tempered else QUICK
        self.small, self.quick = self.sized(SMALL), self.sized(quick)
        if self.trace(self.main).refusal:
            self.trace.cache_clear()
            self.programs.cache_clear()
            self.small = self.quick = self.sized({})

    def sized(self, values: Mapping[str, Any]) -> Algorithm:
        """The algorithm with these values where nothing else was given."""
        return sized(self.cls, values, self.given)

    @property
    def strict(self) -> Any:
        """A context in which a key used twice is an error, unless that is known."""
        return jax.debug_key_reuse(not self.trace(self.main).reuse)

    @property
    def working(self) -> dict[str, Spec]:
        """The problems that it does not refuse."""
        return {k: v for k, v in self.problems.items() if not self.trace(k).refusal}

    @property
    def keeps(self) -> bool:
        """Whether it keeps fresh experience, and so can learn by trying."""
        store = self.small.store(self.problems[self.main])
        return isinstance(store, Store)

    def must_keep(self) -> None:
        """Raise `DoesNotApply` for who never tries anything."""
        if not self.keeps:
            raise DoesNotApply("it learns from a dataset only")

    def _programs(self, problem: str) -> tuple[Callable, Callable]:
        """`birth` and `turn`, compiled."""
        algorithm, spec = self.small, self.problems[problem]
        return (
            jax.jit(lambda key: birth(algorithm, spec, key=key)),
            jax.jit(lambda life, key: turn(algorithm, spec, life, key=key)),
        )

    def _trace(self, problem: str) -> Traced:
        try:
            try:
                return Traced(*self._shapes(problem, strict=True))
            except jax.errors.KeyReuseError as error:
                reuse = str(error).splitlines()[0]
            return Traced(*self._shapes(problem, strict=False), reuse=reuse)
        except Exception as error:  # whatever a user's code may raise
            return Traced(refusal=error)

    def _shapes(self, problem: str, *, strict: bool) -> tuple[Life, Life]:
        begin, advance = self.programs(problem)
        look = jax.jit(ft.partial(show, self.small, self.problems[problem]))
        with jax.debug_key_reuse(strict):
            before = jax.eval_shape(begin, jr.key(0))
            jax.eval_shape(look, before.state, key=jr.key(0))
            return before, jax.eval_shape(advance, before, jr.key(0))[0]

    def live(self, seed: int) -> Any:
        """Some rounds of the main problem: the life after the last, and what was dealt
        and reported in it."""
        begin, advance = self.programs(self.main)
        first, *rest = keys_of(seed)
        with self.strict:
            life, seen = begin(first), ()
            for key in rest:
                life, seen = advance(life, key)
            return life, seen


def remembered(
    find: Callable[Concatenate[Subject, More], Found],
) -> Callable[Concatenate[Subject, More], Found]:
    """What is found of a subject is found once, and forgotten with it."""

    @ft.wraps(find)
    def found(subject: Subject, *args: More.args, **kwargs: More.kwargs) -> Found:
        asked = find, args, tuple(kwargs.items())
        if asked not in subject.memory:
            subject.memory[asked] = find(subject, *args, **kwargs)
        return subject.memory[asked]

    return found


def serving(cls: type[Algorithm]) -> dict[str, Spec]:
    """The problems whose actions an algorithm serves, the plainest first."""
    found = {
        name: spec
        for name, spec in PROBLEMS.items()
        if isinstance(spec.action, tuple(getattr(cls, "serves", ())))
    }
    if not found:
        raise BadConfig(
            f"{cls.__name__}.serves: must name spaces that a problem exists for "
            "(Discrete, MultiDiscrete, MultiBinary, Box)"
        )
    return found
