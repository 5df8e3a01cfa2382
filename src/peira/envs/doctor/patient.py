"""A raw Gymnasium environment under examination: every answer is looked at before it
is believed."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from ...core import Box, EnvironmentFault
from ...core.findings import Severity
from ..bodies import from_gymnasium
from ..masks import choices, mask
from ..spaces import Leaf, Port
from .findings import Broken, Finding, in_words


RAISES = "run the environment by hand from that seed, and mend what raises"
ANSWERS = "step returns (observation, reward, terminated, truncated, info)"
OPENS = "reset(*, seed=None, options=None) returns (observation, info)"
FINITE = "find what divides by zero or overflows; nothing can be learned from it"
PROMISE = "return what observation_space promises, or promise what is returned"


class Moment(NamedTuple):
    """What came of one action, or of a reset."""

    obs: tuple[np.ndarray, ...]
    """Copies of the observation's leaves, as the environment gave them."""
    reward: float
    terminated: bool
    truncated: bool
    legal: np.ndarray | None

    @property
    def over(self) -> bool:
        return self.terminated or self.truncated


class Lent(NamedTuple):
    """An array that was handed out, and what it held then."""

    name: str
    array: np.ndarray
    held: bytes


class Patient:
    """One environment. What is wrong is filed, each kind of fault once; what it cannot
    go on from raises `Broken`."""

    def __init__(self, env: gymnasium.Env, name: str):
        self.env, self.where = env, "before the first reset"
        self.how = ""  # the actions taken, unless they are random
        self.filed: dict[tuple[str, ...], Finding] = {}
        self.obs = Port(env.observation_space, "observation", name)
        self.act = Port(env.action_space, "action", name)
        for leaf in self.obs.leaves:
            leaf.loosen(entirely=False)
        self.own = from_gymnasium(env.spec)
        self.choices = choices(env.action_space)
        self.masked: bool | None = None
        self.lent: list[Lent] = []

    def file(self, finding: Finding) -> None:
        """Keep the first finding of each kind."""
        self.filed.setdefault((finding.check, finding.mend), finding)

    def _note(self, severity: Severity, check: str, seen: str, mend: str) -> None:
        self.file(Finding(severity, check, f"{seen} ({self.where})", mend))

    def _broken(self, check: str, seen: str, mend: str) -> Broken:
        return Broken(Finding("error", check, f"{seen} ({self.where})", mend))

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            mend = OPENS if what == "reset" and isinstance(error, TypeError) else RAISES
            said = f"{what} raised {in_words(error)}"
            raise self._broken("interface", said, mend) from error

    def reset(self, seed: int | None) -> Moment:
        """Open an episode."""
        self.seed, self.count = seed, 0
        self.where = f"seed {seed}, reset"
        answer = self._call("reset", lambda: self.env.reset(seed=seed))
        match answer:
            case (obs, dict(info)):
                pass
            case _:
                raise self._broken("interface", f"reset returned {kind(answer)}", OPENS)
        self._written_over()
        seen = self._look(obs)
        return Moment(seen, 0.0, False, False, self._legal(info, over=False))

    def step(self, action: Any) -> Moment:
        """Act."""
        self.count += 1
        self.where = f"seed {self.seed}, step {self.count}{self.how}"
        given = copy.deepcopy(action)
        answer = self._call("step", lambda: self.env.step(given))
        match answer:
            case (obs, reward, terminated, truncated, dict(info)):
                pass
            case _:
                raise self._broken(
                    "interface", f"step returned {kind(answer)}", ANSWERS
                )
        self._written_over()
        if self._bytes(given) != self._bytes(action):
            self._note(
                "warning",
                "array",
                "step wrote into the action that it was given",
                "copy the action before changing it",
            )
        earned = self._reward(reward)
        ends = self._flag("terminated", terminated), self._flag("truncated", truncated)
        seen = self._look(obs)
        return Moment(seen, earned, *ends, self._legal(info, over=any(ends)))

    def _bytes(self, action: Any) -> list[bytes]:
        return [leaf.pick(action).tobytes() for leaf in self.act.leaves]

    def _written_over(self) -> None:
        """Whether what was handed out last has changed since."""
        for name, array, held in self.lent:
            if array.tobytes() != held:
                self._note(
                    "warning",
                    "array",
                    f"{name} of the step before was written over",
                    "return a copy of the array (obs.copy())",
                )

    def _look(self, obs: Any) -> tuple[np.ndarray, ...]:
        self.lent = []
        try:
            return tuple(self._leaf(leaf, obs) for leaf in self.obs.leaves)
        except EnvironmentFault as fault:
            raise self._broken("space", str(fault), PROMISE) from fault

    def _leaf(self, leaf: Leaf, obs: Any) -> np.ndarray:
        given, taken = leaf.pick(obs), leaf.take(obs)
        if given.dtype != leaf.dtype and isinstance(leaf.ours, Box):
            self._note(
                "warning",
                "space",
                f"{leaf.name} is {given.dtype}, its space says {leaf.dtype}",
                f"return {leaf.dtype}, or say dtype={given.dtype} in the space",
            )
        if wrong := leaf.check(taken[None]):
            finite = np.isfinite(taken).all()
            # Some of Gymnasium's own are known to leave their bounds.
            severity: Severity = "note" if self.own and finite else "error"
            self._note(severity, "space", wrong[1], PROMISE if finite else FINITE)
        self.lent.append(Lent(leaf.name, given, given.tobytes()))
        return taken.copy()

    def _reward(self, reward: Any) -> float:
        number = one_number(reward)
        if number is None:
            raise self._broken("interface", f"reward is {kind(reward)}", ANSWERS)
        if number.ndim:
            self._note(
                "warning",
                "interface",
                f"reward is {kind(reward)}",
                "return a number: float(reward)",
            )
        value = float(number.reshape(()))
        if not np.isfinite(value):
            self._note("error", "reward", f"reward = {value} is not finite", FINITE)
        return value

    def _flag(self, name: str, flag: Any) -> bool:
        value = one_number(flag)
        if value is None:
            raise self._broken("interface", f"{name} is {kind(flag)}", ANSWERS)
        if value.ndim or value.dtype.kind != "b":
            self._note(
                "warning",
                "interface",
                f"{name} is {kind(flag)}",
                f"return bool({name})",
            )
        return bool(value.reshape(()))

    def _legal(self, info: dict, *, over: bool) -> np.ndarray | None:
        """The mask, where there is one; `None` also where an episode is over and none
        was given."""
        if self.choices is None:
            return None
        told, asked = info.get("action_mask"), None
        if self.env.has_wrapper_attr("action_masks"):
            asked = self._call(
                "action_masks", self.env.get_wrapper_attr("action_masks")
            )
        if self.masked is None:
            self.masked = told is not None or asked is not None
        given = told if asked is None else asked
        if not self.masked or (given is None and over):
            return None
        if given is None:
            raise self._broken(
                "mask", "there is no mask", "give a mask with every reset and step"
            )
        legal = self._mask(given)
        if not (legal.any() or over):
            raise self._broken(
                "mask",
                "no action is legal",
                "leave at least one action legal, or end the episode",
            )
        both = told is not None and asked is not None
        if both and not np.array_equal(legal, self._mask(told)):
            self._note(
                "warning",
                "mask",
                "action_masks() and info['action_mask'] disagree",
                "give one mask, about the state just reached",
            )
        return legal

    def _mask(self, given: Any) -> np.ndarray:
        try:
            size = self.choices or 0
            legal = mask(given, size)
            numbers = np.concatenate([np.ravel(x) for x in parts(given)])
        except (EnvironmentFault, ValueError) as fault:
            raise self._broken(
                "mask", str(fault), "give one entry for each action"
            ) from fault
        if not np.isin(numbers, (0, 1)).all():
            self._note(
                "warning",
                "mask",
                f"a mask holds {numbers[~np.isin(numbers, (0, 1))][0]}",
                "give zeros and ones",
            )
        return legal


def parts(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


def one_number(x: Any) -> np.ndarray | None:
    """Whatever can pass for a single number, in its own dtype and shape."""
    try:
        number = np.asarray(x)
    except ValueError:
        return None
    return number if number.size == 1 and number.dtype.kind in "fiub" else None


def kind(x: Any) -> str:
    """What sort of thing was given, in a few words."""
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    if isinstance(x, tuple | list):
        shown = ", ".join(type(part).__name__ for part in x[:8])
        return f"{len(x)} things ({shown})"
    return type(x).__name__
