"""The recipes: everything that decides what a standard set holds.

The kinds are those of D4RL (Fu et al., 2020, https://arxiv.org/abs/2004.07219) and of
BRAC (Wu et al., 2019, https://arxiv.org/abs/1911.11361): uniformly random actions; a
policy partly trained by soft actor-critic; all that it had seen until then; the trained
one; and both of these, one after the other. Learned policies act as they explore.
"""

import dataclasses
import functools as ft
from collections.abc import Mapping
from typing import TypeAlias

from ...core import Env, Policy
from ...envs import MAZES, PointMaze, Rooms, TwoWays
from .behaviours import Driver, Rounder, Walker
from .openbandit import Campaign, Logger
from .training import Level, Training


@dataclasses.dataclass(frozen=True)
class Random:
    """Uniformly random actions."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """A policy of a training."""

    training: Training
    level: Level


@dataclasses.dataclass(frozen=True)
class Replay:
    """All that a training had seen when its policy became medium."""

    training: Training


@dataclasses.dataclass(frozen=True)
class Scripted:
    """An oracle, somewhat disturbed: by noise in a `PointMaze` and in `TwoWays`, by
    random ways in `Rooms`."""

    disturbance: float
    roams: bool = False
    """Whether it drives about instead of to the goal."""


@dataclasses.dataclass(frozen=True)
class Both:
    """Two other sets, one after the other."""

    names: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Logged:
    """What a package has brought."""

    logger: Logger
    campaign: Campaign


Behaviour: TypeAlias = Random | Learned | Replay | Scripted | Both | Logged


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One set."""

    behaviour: Behaviour
    env: str | None
    """None where nothing can be played."""
    depends: tuple[str, ...]
    """Packages whose version may change the numbers."""
    steps: int | None = None
    """How many to collect; None where that is not chosen."""
    seed: int = 0


JAX = ("jax", "jaxlib", "numpy")
MUJOCO = (*JAX, "gymnasium", "mujoco")
PENDULUM = Training("Pendulum-v1", "sac", 10_000, 200, {"warmup": 1_000})
HOPPER = Training("Hopper-v5", "sac", 200_000, 10_000)
HALFCHEETAH = Training("HalfCheetah-v5", "sac", 200_000, 10_000)
WALKER2D = Training("Walker2d-v5", "sac", 300_000, 15_000)
BREAKOUT = Training(
    "gymnax:Breakout-MinAtar", "dqn", 60_000, 3_000, {"double": True}, episodes=20
)


def learned(
    name: str, training: Training, steps: int, *depends: str
) -> dict[str, Recipe]:
    """The five kinds of one environment."""
    make = ft.partial(Recipe, env=training.env, depends=depends)
    return {
        f"{name}-random": make(Random(), steps=steps, seed=1),
        f"{name}-medium": make(Learned(training, "medium"), steps=steps, seed=2),
        f"{name}-medium-replay": make(Replay(training)),
        f"{name}-medium-expert": make(Both((f"{name}-medium", f"{name}-expert"))),
        f"{name}-expert": make(Learned(training, "expert"), steps=steps, seed=3),
    }


def driven(name: str, env: str, steps: int) -> dict[str, Recipe]:
    """The kinds of a maze for points."""
    make = ft.partial(Recipe, env=env, depends=JAX, steps=steps)
    return {
        f"{name}-random": make(Random(), seed=1),
        f"{name}-play": make(Scripted(0.5, roams=True), seed=2),
        f"{name}-noisy": make(Scripted(1.0), seed=3),
        f"{name}-expert": make(Scripted(0.0), seed=4),
    }


def walked(name: str, env: str, steps: int) -> dict[str, Recipe]:
    """The kinds of a maze for walkers."""
    make = ft.partial(Recipe, env=env, depends=JAX)
    return {
        f"{name}-random": make(Random(), steps=steps, seed=1),
        f"{name}-medium": make(Scripted(0.5), steps=steps, seed=2),
        f"{name}-medium-expert": make(Both((f"{name}-medium", f"{name}-expert"))),
        f"{name}-expert": make(Scripted(0.0), steps=steps, seed=3),
    }


def logged() -> dict[str, Recipe]:
    """Both logs of every campaign of the Open Bandit Dataset."""
    loggers: tuple[Logger, ...] = ("random", "bts")
    campaigns: tuple[Campaign, ...] = ("all", "men", "women")
    return {
        f"openbandit-{campaign}-{logger}": Recipe(Logged(logger, campaign), None, ())
        for campaign in campaigns
        for logger in loggers
    }


RECIPES: Mapping[str, Recipe] = {
    **learned("pendulum", PENDULUM, 20_000, *JAX),
    **learned("hopper", HOPPER, 100_000, *MUJOCO),
    **learned("halfcheetah", HALFCHEETAH, 100_000, *MUJOCO),
    **learned("walker2d", WALKER2D, 100_000, *MUJOCO),
    **learned("breakout", BREAKOUT, 50_000, *JAX, "gymnax"),
    **driven("pointmaze-umaze", "PointMaze-umaze", 20_000),
    **driven("pointmaze-medium", "PointMaze-medium", 50_000),
    **walked("fourrooms", "FourRooms", 20_000),
    "keytodoor-random": Recipe(Random(), "KeyToDoor", JAX, steps=20_000, seed=1),
    "twoways-expert": Recipe(Scripted(0.1), "TwoWays", JAX, steps=10_000, seed=1),
    **logged(),
}


def oracle(env: str, how: Scripted) -> Policy:
    """The scripted policy of a maze, or of two ways."""
    if env == "TwoWays":
        return Rounder(TwoWays(), how.disturbance)
    world: Env = MAZES[env].env
    if isinstance(world, PointMaze):
        return Driver(world, how.disturbance, how.roams)
    assert isinstance(world, Rooms)
    return Walker(world, how.disturbance)
