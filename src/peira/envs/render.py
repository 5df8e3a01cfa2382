"""Pictures of an environment on a machine that may have no display."""

import os
import sys
from typing import Any

import numpy as np

from ..core import EnvironmentFault


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
