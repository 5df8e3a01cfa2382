"""Pictures of an environment on a machine that may have no display."""

import os
import sys
from typing import Any

import numpy as np

from ..core import Env, EnvironmentFault
from .classic import CLASSIC, TimeLimit


def picture(env: Any) -> np.ndarray:
    """A Gymnasium environment as `(height, width, 3)` uint8."""
    if env.render_mode != "rgb_array":
        raise EnvironmentFault("it has no picture: no render_mode 'rgb_array'")
    image = np.asarray(draw(env))
    if image.ndim != 3 or image.shape[-1] != 3:
        raise EnvironmentFault(f"its picture has shape {image.shape}")
    return image.astype(np.uint8, copy=False)


def draw(env: Any) -> Any:
    """What `render` gives; without a display pygame draws in memory, and MuJoCo with
    whichever of its backends works."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform != "linux" or display:
        return env.render()
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if "MUJOCO_GL" in os.environ:
        return env.render()
    reason = ""
    for backend in ("egl", "osmesa"):
        os.environ["MUJOCO_GL"] = backend
        try:
            return env.render()
        except Exception as error:
            reason = str(error).partition("\n")[0]
        finally:
            del os.environ["MUJOCO_GL"]
    raise EnvironmentFault(f"it cannot be drawn on this machine: {reason}")


def frame(env: Env, world: Any) -> np.ndarray:
    """A JAX world as a picture `(height, width, 3)`, uint8, drawn by its twin in
    Gymnasium; raises `EnvironmentFault` for worlds that have none."""
    if isinstance(env, TimeLimit):
        return frame(env.env, world[0])
    for name, limited in CLASSIC.items():
        if type(limited.env) is type(env):
            return draw_twin(name, np.asarray(world))
    raise EnvironmentFault(f"{type(env).__name__} has no picture")


def draw_twin(name: str, state: np.ndarray) -> np.ndarray:
    import gymnasium

    twin = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True)
    twin.reset(seed=0)
    twin.unwrapped.state = state  # type: ignore[attr-defined]
    try:
        return picture(twin)
    finally:
        twin.close()
