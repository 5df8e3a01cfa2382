"""Opening Gymnasium environments: by id, by function, or by example."""

import copy
import functools as ft
import importlib
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from ..core import BadConfig, Env, EnvironmentFault, PeiraError, unknown
from ..core.names import home, part
from .bodies import Bodies
from .hosted import Care, Hosted
from .vectorised import Vectorised


EXTRAS = {
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.box2d": "box2d",
    "ale_py": "atari",
}


class Registered(NamedTuple):
    """Opens the environment of an id, here or in another process."""

    name: str
    kwargs: Mapping[str, Any]

    def __call__(self) -> gymnasium.Env:
        return open_id(self.name, dict(self.kwargs))


class Made(NamedTuple):
    """Opens an environment by calling a function of the user's."""

    function: Callable[..., Any]
    kwargs: Mapping[str, Any]

    def __call__(self) -> Any:
        return self.function(**self.kwargs)

    def example(self, name: str) -> Any:
        """One of what it makes: an `Env`, a `gymnasium.Env` or a `VectorEnv`."""
        try:
            first = self()
        except PeiraError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())
            if isinstance(error, TypeError) and self.kwargs:
                given = ", ".join(self.kwargs)
                raise BadConfig(f"{name}: {said}; given were {given}") from None
            kind = type(error).__name__
            raise EnvironmentFault(
                f"{name}: making it raised {kind}: {said}"
            ) from error
        if not isinstance(first, Env | gymnasium.Env | gymnasium.vector.VectorEnv):
            kind = type(first).__name__
            raise BadConfig(f"{name} returned {kind}, not a gymnasium.Env")
        return first


class Copied(NamedTuple):
    """Opens a copy of an environment, so that no two users share one."""

    example: Any

    def __call__(self) -> Any:
        try:
            return copy.deepcopy(self.example)
        except Exception as error:
            raise BadConfig(
                f"{type(self.example).__name__} cannot be copied ({error}); give a "
                "function that returns it"
            ) from None


def host(
    env: Any, *, envs: int, processes: bool, care: Care, kwargs: Mapping[str, Any]
) -> Env | Hosted:
    """Environments for the engine from an id, `module:function`, a function, an
    environment or a vector environment (which brings its own number). What is made
    already is copied."""
    open_env, name = opening(env, kwargs)
    if isinstance(env, gymnasium.vector.VectorEnv):
        return vectorised(open_env(), care)
    if isinstance(open_env, Made):
        first = open_env.example(name)
        if isinstance(first, Env):
            return first
        if isinstance(first, gymnasium.vector.VectorEnv):
            return vectorised(first, care)
        first.close()
    return Bodies(open_env, name, envs=envs, processes=processes, care=care)


def opening(env: Any, kwargs: Mapping[str, Any]) -> tuple[Callable[[], Any], str]:
    """How to open what was given, and what to call it; nothing is opened yet."""
    if isinstance(env, str):
        function = named_function(env)
        if function is None:
            return Registered(env, kwargs), env
        return opening(function, kwargs)
    if isinstance(env, gymnasium.vector.VectorEnv | gymnasium.Env):
        if kwargs:
            raise BadConfig(
                f"{type(env).__name__}: keywords ({', '.join(kwargs)}) come too late "
                "for an environment that is made already"
            )
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        return Copied(env), name
    if not callable(env):
        raise BadConfig(
            f"{env!r} is no environment: give an id, a function that returns a "
            "gymnasium.Env, or a gymnasium.Env"
        )
    return Made(env, kwargs), getattr(env, "__qualname__", type(env).__name__)


def vectorised(env: gymnasium.vector.VectorEnv, care: Care) -> Vectorised:
    """A vector environment, whose single ones cannot be begun anew."""
    if care.restart:
        raise BadConfig(
            f"{type(env).__name__}: a vector environment cannot be restarted; leave "
            "on_fault at 'stop', or give a function that returns one environment"
        )
    return Vectorised(env)


def named_function(name: str) -> Callable[..., Any] | None:
    """The function that `module:function` names; nothing for `module:Env-v0`, whose
    module registers an id when imported."""
    _, colon, attribute = name.partition(":")
    if not colon:
        return None
    module = home("environment", name)
    if attribute in gymnasium.registry:
        return None
    function = part("environment or function", name, module, callable)
    if not makes_an_environment(function):
        raise BadConfig(
            f"environment '{name}': {attribute} does not say that it makes one; let it "
            "be a class of environments, or a function that ends in '-> gymnasium.Env'"
        )
    return function


def makes_an_environment(function: Any) -> bool:
    """Whether it says so itself. Names are also read from the files of a run, and those
    must not be able to call whatever they like (`os:system`)."""
    made = function
    if not isinstance(function, type):
        try:
            made = typing.get_type_hints(function).get("return")
        except (NameError, TypeError):
            return False
    kind = typing.get_origin(made) or made
    kinds = (Env, gymnasium.Env, gymnasium.vector.VectorEnv)
    return isinstance(kind, type) and issubclass(kind, kinds)


def open_id(name: str, kwargs: dict[str, Any]) -> gymnasium.Env:
    """A registered environment, ready to be drawn if it can be."""
    spec = find(name)
    entry = spec.entry_point
    try:
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        if mujoco := sys.modules.get("mujoco"):
            mujoco.set_mju_user_warning(pass_on)
        if str(entry).startswith("ale_py"):
            from .atari import open_atari

            return open_atari(spec.id, **kwargs)
        modes = getattr(creator, "metadata", {}).get("render_modes", [])
        if "rgb_array" in modes:
            kwargs = {"render_mode": "rgb_array"} | kwargs
        return gymnasium.make(spec.id, disable_env_checker=True, **kwargs)
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        raise missing(name, str(entry), error) from None
    except TypeError as error:
        if not kwargs:
            raise
        reason = str(error).split(" was raised from")[0]
        raise BadConfig(f"{name}: {reason}; given were {', '.join(kwargs)}") from None


@ft.cache
def pass_on(warning: str) -> None:
    """Say what MuJoCo warns of, once, instead of writing it into a file where the user
    stands; but not that the models in Gymnasium are of an older style."""
    if "deprecated" not in warning:
        print(f"MuJoCo: {warning}", file=sys.stderr)


def find(name: str) -> EnvSpec:
    """What is registered under an id; Atari's are registered when first asked for."""
    module, colon, bare = name.rpartition(":")
    if colon:
        importlib.import_module(module)
    if bare not in gymnasium.registry and (
        bare.startswith("ALE/") or "NoFrameskip-v" in bare
    ):
        try:
            importlib.import_module("ale_py")
        except ImportError as error:
            raise missing(name, "ale_py", error) from None
    try:
        return gymnasium.spec(bare)
    except gymnasium.error.Error:
        raise unknown("environment", name, gymnasium.registry) from None


def missing(name: str, entry: str, error: Exception) -> BadConfig:
    """The error for a simulator that is not installed."""
    for start, extra in EXTRAS.items():
        if entry.startswith(start):
            return BadConfig(f"{name} needs: pip install 'peira[{extra}]' ({error})")
    return BadConfig(f"{name}: {str(error).splitlines()[0]}")
