"""Worlds that step on the host, as the engine sees them: n of them side by side, over
NumPy, reset as soon as an episode is over.

Gymnasium is not imported here, so that the engine may know these without it.
"""

import abc
from typing import Any, NamedTuple

import numpy as np

from ..core import Action, Outcome, Spec, TimeStep


class Care(NamedTuple):
    """What is done about environments that misbehave."""

    restart: bool = False
    """Begin a new episode in place of a faulty one; otherwise the fault is raised."""
    patience: float = 600.0
    """Seconds after which one in a process of its own is given up."""
    memory: int | None = None
    """MiB that the process of one may hold."""


class Hosted(abc.ABC):
    """Environments side by side on the host.

    Arrays are NumPy's, with the environments as first axis. Anything the environments
    do wrong raises `EnvironmentFault`, or begins a new episode where they are
    restarted.
    """

    name: str
    envs: int
    spec: Spec
    max_steps: int | None
    """The time limit, where the environment has one."""
    lost: np.ndarray
    """Environments whose last step failed: a new episode begins there instead."""
    faults: list[dict[str, Any]]
    """What went wrong, as plain JSON: what to say, and how to see it again."""

    @abc.abstractmethod
    def reset(self, seed: int, first: int = 0) -> TimeStep:
        """Begin anew. Episode k of environment i under seed s is reset with a seed of
        its own, drawn from (s, first + i, k)."""

    @abc.abstractmethod
    def step(
        self, action: Action, only: np.ndarray | None = None
    ) -> tuple[Outcome, TimeStep]:
        """One step of each (of `only` some): what came of it, with the true successor,
        and what each actor sees next, which is a first frame where an episode is over.
        Nothing came of it where it is `lost`."""

    @abc.abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """How to come back here, as plain JSON."""

    @abc.abstractmethod
    def restore(self, snapshot: dict[str, Any]) -> TimeStep | None:
        """Come back: `None` where every environment stands where it stood, else the
        time step to go on from, some of whose environments begin a new episode."""

    @abc.abstractmethod
    def frame(self) -> np.ndarray:
        """The first environment as a picture `(height, width, 3)`, uint8."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the environments; more than once is fine."""


def episode_seed(seed: int, env: int, episode: int) -> int:
    """The seed of one episode, shared with no other."""
    return int(np.random.SeedSequence((seed, env, episode)).generate_state(1)[0])


def shut(env: object) -> None:
    """Close what has to be closed."""
    if isinstance(env, Hosted):
        env.close()
