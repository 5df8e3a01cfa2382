"""Decisions between two ways, each made so that one mistake in learning takes the
worse one.

An algorithm need not say what it thinks a state is worth: what it does tells. The
question is what is done `here`, and the answer is worked out by hand. γ is the
discount, values are under the best policy, and a death shows the state it happened in,
so that whoever bootstraps through one sees its pay again and again: p / (1 - γ).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import (
    Action,
    Box,
    Discrete,
    Env,
    Key,
    MultiBinary,
    MultiDiscrete,
    Outcome,
    Space,
    Spec,
)


STATES = 6
"""Of every world, needed or not: then all are one program."""
Kind: TypeAlias = Literal["discrete", "multi", "binary", "box"]
SPACES: dict[Kind, Space] = {
    "discrete": Discrete(2),
    "multi": MultiDiscrete((2,)),
    "binary": MultiBinary((1,)),
    "box": Box(np.full(1, -1, np.float32), np.full(1, 1, np.float32)),
}


class Way(NamedTuple):
    """What one way out of a state pays, where it leads, how it ends the episode (if it
    does), and whether it may be taken."""

    pays: float
    to: str
    end: Literal["", "terminated", "truncated"] = ""
    legal: bool = True


def dies(pays: float, showing: str) -> Way:
    """The last step of an episode."""
    return Way(pays, showing, "terminated")


class Decision(NamedTuple):
    """The two ways out of each state, the states in which episodes open (equally
    often), and the better way where it matters."""

    ways: dict[str, tuple[Way, Way]]
    opens: tuple[str, ...]
    better: dict[str, int]


def choice() -> Decision:
    """0 against 1."""
    ways = {"here": (dies(0, "here"), dies(1, "here"))}
    return Decision(ways, ("here",), {"here": 1})


def observation() -> Decision:
    """In one state 1 against 0, in the other 0 against 1."""
    ways = {
        "left": (dies(1, "left"), dies(0, "left")),
        "right": (dies(0, "right"), dies(1, "right")),
    }
    return Decision(ways, ("left", "right"), {"left": 0, "right": 1})


def termination() -> Decision:
    """0 against -0.4, and both die. The second death shows a state worth 3: whoever
    bootstraps there takes it for 3 γ / (1 - γ) - 0.4 (4.1 if γ = 0.6)."""
    ways = {
        "here": (dies(0, "here"), dies(-0.4, "gold")),
        "gold": (dies(3, "gold"), dies(3, "gold")),
    }
    return Decision(ways, ("here", "gold"), {"here": 0})


def truncation() -> Decision:
    """0 against -0.4, after which time runs out in a state worth 3: 3 γ - 0.4 in all
    (1.4 if γ = 0.6). Whoever takes the clock for a death takes it for -0.4."""
    ways = {
        "here": (dies(0, "here"), Way(-0.4, "gold", "truncated")),
        "gold": (dies(3, "gold"), dies(3, "gold")),
    }
    return Decision(ways, ("here", "gold"), {"here": 1})


def auto_reset() -> Decision:
    """0 against -0.2, after which time runs out in a state worth -1: -0.2 - γ in all
    (-0.8 if γ = 0.6). The next episode opens in a state worth 3 half of the time, and
    here or in the one worth -1 a quarter each: whoever takes its first observation for
    the successor takes it for x = -0.2 + γ (2 * 3 + x - 1) / 4 (0.65)."""
    ways = {
        "here": (dies(0, "here"), Way(-0.2, "pit", "truncated")),
        "gold": (dies(3, "gold"), dies(3, "gold")),
        "pit": (dies(-1, "pit"), dies(-1, "pit")),
    }
    return Decision(ways, ("here", "gold", "gold", "pit"), {"here": 0})


def delay() -> Decision:
    """0.3 now against 3 after three more steps: 3 γ³ (0.65 if γ = 0.6)."""
    ways = {
        "here": (dies(0.3, "here"), Way(0, "first")),
        "first": (Way(0, "second"), Way(0, "second")),
        "second": (Way(0, "third"), Way(0, "third")),
        "third": (dies(3, "third"), dies(3, "third")),
    }
    return Decision(ways, ("here",), {"here": 1})


def patience(gamma: float) -> Decision:
    """γ + γ² now against 2 one step later, worth 2 γ: more by γ - γ². Whoever discounts
    the step twice takes it for 2 γ²."""
    return wait(gamma + gamma**2, better=1)


def haste(gamma: float) -> Decision:
    """1 + γ now against 2 one step later, worth 2 γ: less by 1 - γ. Whoever does not
    discount takes it for 2."""
    return wait(1 + gamma, better=0)


def wait(now: float, *, better: int) -> Decision:
    """Some pay now against 2 one step later."""
    ways = {
        "here": (dies(now, "here"), Way(0, "next")),
        "next": (dies(2, "next"), dies(2, "next")),
    }
    return Decision(ways, ("here",), {"here": better})


def masks() -> Decision:
    """0.5 against 0 and a state in which only what pays 0 may be done. The way that is
    forbidden there pays 3 wherever it is allowed: whoever asks for its value takes the
    second way for up to 3 γ."""
    lure = {name: (dies(0, name), dies(3, name)) for name in ("a", "b", "c")}
    ways = {
        "here": (dies(0.5, "here"), Way(0, "there")),
        "there": (dies(0, "there"), Way(-10, "there", "terminated", legal=False)),
    }
    return Decision(ways | lure, ("here", *lure), {"here": 0})


class Tabular(Env[Int[Array, ""]]):
    """A world of a few states, seen as one-hot vectors, with two ways out of each.

    A discrete action is the way's number. A real one in [-1, 1] is a lottery that takes
    the second way with chance (1 + a) / 2: what it is worth is linear in the action, so
    that gradients point to the better end.
    """

    pays: Float[Array, "state 2"]
    to: Int[Array, "state 2"]
    terminated: Bool[Array, "state 2"]
    truncated: Bool[Array, "state 2"]
    legal: Bool[Array, "state 2"]
    opens: Float[Array, " state"]
    kind: Kind = eqx.field(static=True, default="discrete")
    masked: bool = eqx.field(static=True, default=False)

    @property
    def spec(self) -> Spec:
        low = np.zeros(STATES, np.float32)
        return Spec(Box(low, low + 1), SPACES[self.kind], self.masked)

    def look(self, state: Int[Array, ""]) -> Float[Array, " state"]:
        return jax.nn.one_hot(state, STATES)

    def allowed(self, state: Int[Array, ""]) -> Bool[Array, "2"] | None:
        return self.legal[state] if self.masked else None

    def reset(
        self, *, key: Key
    ) -> tuple[Int[Array, ""], Float[Array, " state"], Bool[Array, "2"] | None]:
        state = jr.categorical(key, jnp.log(self.opens)).astype(jnp.int32)
        return state, self.look(state), self.allowed(state)

    def step(
        self, world: Int[Array, ""], action: Action, *, key: Key
    ) -> tuple[Int[Array, ""], Outcome]:
        second = second_way(action, self.kind)
        way = jr.bernoulli(key, second).astype(jnp.int32)
        state = self.to[world, way]
        return state, Outcome(
            self.look(state),
            self.pays[world, way],
            self.terminated[world, way],
            self.truncated[world, way],
            self.allowed(state),
        )


def second_way(action: Action, kind: Kind) -> Float[Array, ""]:
    """The chance with which an action takes the second way."""
    one = jnp.asarray(action).reshape(()).astype(jnp.float32)
    return jnp.clip((1 + one) / 2, 0, 1) if kind == "box" else one


def tabular(
    decision: Decision, kind: Kind = "discrete", *, masked: bool = False
) -> Tabular:
    """The world of a decision, for actions of a kind."""
    names = list(decision.ways)
    unused = [Way(0, names[0])] * 2
    ways = [*decision.ways.values()] + [unused] * (STATES - len(names))

    def each(entry: Callable[[Way], Any], dtype: type) -> Array:
        return jnp.array([[entry(way) for way in pair] for pair in ways], dtype)

    opens = np.zeros(STATES, np.float32)
    for name in decision.opens:
        opens[names.index(name)] += 1 / len(decision.opens)
    return Tabular(
        each(lambda way: way.pays, np.float32),
        each(lambda way: names.index(way.to), np.int32),
        each(lambda way: way.end == "terminated", np.bool_),
        each(lambda way: way.end == "truncated", np.bool_),
        each(lambda way: way.legal, np.bool_),
        jnp.asarray(opens),
        kind,
        masked,
    )
