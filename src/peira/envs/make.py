"""From the name of an environment to something the engine can run."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ..core import Env, EnvironmentFault, unknown
from .classic import (
    Acrobot,
    CartPole,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
    TimeLimit,
)
from .hosted import Hosted


OURS: Mapping[str, Env] = {
    "CartPole-v1": TimeLimit(CartPole(), 500),
    "Pendulum-v1": TimeLimit(Pendulum(), 200),
    "Acrobot-v1": TimeLimit(Acrobot(), 500),
    "MountainCar-v0": TimeLimit(MountainCar(), 200),
    "MountainCarContinuous-v0": TimeLimit(MountainCarContinuous(), 999),
}


def make(
    env: Any,
    *,
    envs: int = 1,
    backend: Literal["auto", "jax", "gymnasium"] = "auto",
    processes: bool = False,
    **kwargs: Any,
) -> Env | Hosted:
    """An environment from an id, a function that returns one, or one itself.

    An id of ours gives the JAX environment unless keywords or processes are asked for;
    `backend` forces one or the other.
    """
    if isinstance(env, Env):
        return env
    if backend != "gymnasium" and isinstance(env, str):
        if env in OURS and (backend == "jax" or not (kwargs or processes)):
            return OURS[env]
        if backend == "jax":
            raise unknown("JAX environment", env, OURS)
    from .gymnasium_env import host

    return host(env, envs=envs, processes=processes, kwargs=kwargs)


def frame(env: Env, world: Any) -> np.ndarray:
    """A JAX world as a picture `(height, width, 3)`, uint8, drawn by its Gymnasium twin.

    Raises `EnvironmentFault` for worlds that have none.
    """
    if isinstance(env, TimeLimit):
        return frame(env.env, world[0])
    for name, ours in OURS.items():
        if isinstance(ours, TimeLimit) and type(ours.env) is type(env):
            return twin(name, np.asarray(world))
    raise EnvironmentFault(f"{type(env).__name__} has no picture")


def twin(name: str, state: np.ndarray) -> np.ndarray:
    import gymnasium

    from .render import picture

    env = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True)
    env.reset(seed=0)
    env.unwrapped.state = state
    try:
        return picture(env)
    finally:
        env.close()
