"""Opening Gymnasium environments: by id, by function, or ready-made."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium

from .bodies import Bodies
from .hosted import Hosted


EXTRAS = {"mujoco": "mujoco", "Box2D": "box2d", "box2d": "box2d", "ale_py": "atari"}


class Opening(NamedTuple):
    """How to open an environment, here or in another process."""

    source: Any
    kwargs: Mapping[str, Any]

    def __call__(self) -> gymnasium.Env:
        if isinstance(self.source, str):
            return open_id(self.source, self.kwargs)
        return self.source(**self.kwargs)


def host(env: Any, *, envs: int, processes: bool, kwargs: Mapping[str, Any]) -> Hosted:
    """Gymnasium environments for the engine."""
    opening = Opening(env, kwargs)
    name = env if isinstance(env, str) else getattr(env, "__qualname__", str(env))
    return Bodies(opening, name, envs=envs, processes=processes)


def open_id(name: str, kwargs: Mapping[str, Any]) -> gymnasium.Env:
    """A registered environment, ready to be drawn if it can be."""
    spec = gymnasium.spec(name)
    creator = spec.entry_point
    if isinstance(creator, str):
        creator = gymnasium.envs.registration.load_env_creator(creator)
    modes = getattr(creator, "metadata", {}).get("render_modes", [])
    drawn = {"render_mode": "rgb_array"} if "rgb_array" in modes else {}
    return gymnasium.make(name, disable_env_checker=True, **(drawn | dict(kwargs)))
