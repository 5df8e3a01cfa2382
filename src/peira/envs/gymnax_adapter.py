"""gymnax environments, of both signatures of `step_env`.

1.x answers `(obs, state, reward, terminated, truncated, info)`. 0.0.9 answers
`(obs, state, reward, done, info)`, where `done` also means that time ran out. Where the
parameters have `max_steps_in_episode`, the same step is computed once more without that
limit: done in both is terminated, done only with the limit is truncated (XLA shares the
work of the two). Where they have not, `done` is taken for terminated.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from ..core import (
    Action,
    BadConfig,
    Box,
    Discrete,
    Env,
    is_space,
    Key,
    Obs,
    Outcome,
    Space,
    Spec,
    unknown,
)


NEVER = 2**30  # steps


class Gymnax(Env[Any]):
    """A gymnax environment with its parameters."""

    env: Any
    params: Any
    known: Spec

    def __init__(self, env: Any, params: Any):
        self.env, self.params = env, params
        self.known = Spec(
            translate(env.observation_space(params), "observation"),
            translate(env.action_space(params), "action"),
        )

    @property
    def spec(self) -> Spec:
        return self.known

    def _cast(self, obs: Any) -> Obs:
        spaces = self.spec.obs
        as_said = lambda s, x: jnp.asarray(x).astype(s.dtype).reshape(s.shape)
        return jax.tree.map(as_said, spaces, obs, is_leaf=is_space)

    def reset(self, *, key: Key) -> tuple[Any, Obs, None]:
        obs, state = self.env.reset_env(key, self.params)
        return strong(state), self._cast(obs), None

    def step(self, world: Any, action: Action, *, key: Key) -> tuple[Any, Outcome]:
        answer = self.env.step_env(key, world, action, self.params)
        if len(answer) == 6:
            obs, state, reward, terminated, truncated, _ = answer
        else:
            obs, state, reward, done, _ = answer
            terminated = self._ends_anyway(world, action, key, done)
            truncated = jnp.asarray(done, bool) & ~terminated
        state = jax.tree.map(
            lambda new, old: new.astype(old.dtype), strong(state), world
        )
        return state, Outcome(
            self._cast(obs),
            jnp.asarray(reward, jnp.float32).reshape(()),
            jnp.asarray(terminated, bool).reshape(()),
            jnp.asarray(truncated, bool).reshape(()),
        )

    def _ends_anyway(self, world: Any, action: Action, key: Key, done: Any) -> Any:
        """Whether the episode would be over if there were no time limit."""
        names = {f.name for f in dataclasses.fields(self.params)}
        if "max_steps_in_episode" not in names:
            return jnp.asarray(done, bool)
        endless = dataclasses.replace(self.params, max_steps_in_episode=NEVER)
        return jnp.asarray(
            self.env.step_env(jr.clone(key), world, action, endless)[3], bool
        )


def open_gymnax(name: str, **kwargs: Any) -> Gymnax:
    """A registered gymnax environment with its default parameters."""
    try:
        import gymnax
    except ImportError as error:
        raise BadConfig(
            f"gymnax:{name} needs: pip install 'peira[gymnax]' ({error})"
        ) from None
    if name not in gymnax.registered_envs:
        raise unknown("gymnax environment", name, gymnax.registered_envs)
    return Gymnax(*gymnax.make(name, **kwargs))


def strong(tree: PyTree) -> PyTree:
    """Python numbers and weakly typed arrays as arrays of the same type."""
    return jax.tree.map(
        lambda x: jax.lax.convert_element_type(x, jnp.result_type(x)), tree
    )


def translate(space: Any, name: str) -> PyTree[Space]:
    """Our space for one of gymnax's; raises `BadConfig` for any other."""
    if hasattr(space, "spaces"):
        parts = space.spaces
        if isinstance(parts, dict):
            return {k: translate(s, f"{name}[{k!r}]") for k, s in parts.items()}
        return tuple(translate(s, f"{name}[{i}]") for i, s in enumerate(parts))
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    if not hasattr(space, "low"):
        raise BadConfig(f"gymnax: its {name} is a {type(space).__name__} space")
    kind = np.dtype(space.dtype).kind
    dtype = {"f": np.float32, "b": np.uint8}.get(kind, np.int32)
    side = lambda x: np.broadcast_to(np.asarray(x, dtype), tuple(space.shape))
    box = Box(side(space.low), side(space.high))
    if name == "action" and not box.bounded:
        raise BadConfig("gymnax: its action has infinite bounds")
    return box
