"""From the name of an environment to something the engine can run."""

from collections.abc import Mapping
from typing import Any, Literal

from ..core import BadConfig, Env, unknown
from .classic import CLASSIC
from .hosted import Care, Hosted
from .mazes import MAZES
from .noisy import noisy, PREFIX
from .probes import PROBES
from .riddles import RIDDLES


JAX: Mapping[str, Env] = {**CLASSIC, **MAZES, **RIDDLES, **PROBES}


def make(
    env: Any,
    *,
    envs: int = 1,
    backend: Literal["auto", "jax", "gymnasium"] = "auto",
    processes: bool = False,
    care: Care = Care(),
    **kwargs: Any,
) -> Env | Hosted:
    """An environment from an id, a function that returns one, or one itself.

    `envs` and `processes` are for Gymnasium's environments: how many side by side, and
    whether in a process each; `care` says what follows when one misbehaves. An id that
    we have in JAX gives ours, unless keywords or processes are asked for; `backend`
    forces one or the other. `gymnax:NAME` and `probe:NAME` are JAX environments, and
    `noisy:DEVIATION:NAME` is one of ours with noise on its rewards; a `core.Env` comes
    back as it is.

    Raises `BadConfig` for names, keywords and spaces that cannot be served.
    """
    ours = backend == "jax" or not (kwargs or processes)
    world = native(env, backend=backend, ours=ours, kwargs=kwargs)
    if world is not None:
        return world
    from .gymnasium_env import host

    return host(env, envs=envs, processes=processes, care=care, kwargs=kwargs)


def native(
    env: Any, *, backend: str, ours: bool, kwargs: Mapping[str, Any]
) -> Env | None:
    """The JAX environment that was given or is named, if it is one; `ours` says
    whether an id that Gymnasium has too means ours."""
    if isinstance(env, Env):
        return env
    if isinstance(env, str) and backend != "gymnasium":
        if env.startswith(PREFIX):
            behind = lambda name: native(name, backend="auto", ours=ours, kwargs=kwargs)
            return noisy(env, behind)
        if env.startswith("gymnax:"):
            from .gymnax_adapter import open_gymnax

            return open_gymnax(env.removeprefix("gymnax:"), **kwargs)
        if env.startswith("probe:") and env not in PROBES:
            raise unknown("environment", env, PROBES)
        if ours and env in JAX:
            if kwargs:
                raise BadConfig(
                    f"{env} in JAX takes no keywords ({', '.join(kwargs)}); leave "
                    "them out, or choose backend='gymnasium'"
                )
            return JAX[env]
    if backend == "jax":
        raise unknown("JAX environment", str(env), JAX)
    return None


def as_gymnasium(env: Env) -> Any:
    """A JAX environment as a `gymnasium.Env`."""
    from .export import AsGymnasium

    return AsGymnasium(env)
