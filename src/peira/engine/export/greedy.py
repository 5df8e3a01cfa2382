"""The greedy policy of many actors as a function of named arrays: what is exported.

Inputs are the leaves of the observation (`obs`, or `obs.<path>`), the mask of legal
actions where there is one (`legal`), `reward` and `first` where the policy looks at
them, and what it carries (`carry`). Outputs are the leaves of the action and of the
next carry. Every array has the batch as its first axis.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...core import (
    Box,
    Discrete,
    ExportFault,
    is_space,
    Key,
    MultiDiscrete,
    Policy,
    root,
    Space,
    Spec,
    TimeStep,
)
from ..arrays import is_key, named
from .program import Constant, Input, trace, uses, Value


KEY = "key"


class Port(NamedTuple):
    """One array that goes in or out, for one actor."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, name: str, x: Any) -> "Port":
        """The port for a space, or for an array of one actor."""
        return cls(name, tuple(x.shape), jax.dtypes.canonicalize_dtype(x.dtype).name)

    def batched(self, n: Any) -> jax.ShapeDtypeStruct:
        """Shape and dtype for `n` actors."""
        return jax.ShapeDtypeStruct((n, *self.shape), np.dtype(self.dtype))

    def __str__(self) -> str:
        return (
            f"{self.name} {self.dtype}[{', '.join(['batch', *map(str, self.shape)])}]"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Greedy:
    """A policy that shows what it has learned."""

    policy: Policy
    spec: Spec
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    begin: dict[str, np.ndarray]
    """What an actor carries before its first step."""

    def __call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs for the inputs."""
        return respond(self.policy, self.spec, given, root(0))

    def feed(self, t: TimeStep) -> dict[str, np.ndarray]:
        """A batch of time steps as inputs; the carry is not among them."""
        seen = split("obs", t.obs) | split("legal", t.legal)
        seen |= {"reward": t.reward, "first": t.first}
        ports = (p for p in self.inputs if p.name in seen)
        return {p.name: np.asarray(seen[p.name], p.dtype) for p in ports}

    def start(self, n: int) -> dict[str, np.ndarray]:
        """What `n` actors carry before their first step."""
        return {k: np.repeat(x[None], n, axis=0) for k, x in self.begin.items()}


def greedy(policy: Policy, spec: Spec) -> Greedy:
    """The function to export. Raises `ExportFault` for a policy that draws at random
    even when it shows what it has learned."""
    carry = split("carry", jax.tree.map(jnp.asarray, policy.begin()))
    if keys := [name for name, x in carry.items() if is_key(x)]:
        raise ExportFault(f"the policy carries a random key ({keys[0]})")
    spaces = split("obs", spec.obs) | split("legal", mask(spec))
    every = (
        *(Port.of(name, space) for name, space in spaces.items()),
        Port("reward", (), "float32"),
        Port("first", (), "bool"),
        *(Port.of(name, x) for name, x in carry.items()),
    )
    (n,) = jax.export.symbolic_shape("batch")
    used = uses(graph(policy, spec, every, n))
    if KEY in used:
        raise ExportFault(
            "the policy draws at random even when it does not explore: it has no "
            "greedy action to export"
        )
    inputs = tuple(
        p for p in every if p.name not in ("reward", "first") or p.name in used
    )
    given = {p.name: p.batched(1) for p in inputs}
    made = jax.eval_shape(lambda x: respond(policy, spec, x, root(0)), given)
    outputs = tuple(
        Port.of(name, jax.ShapeDtypeStruct(x.shape[1:], x.dtype))
        for name, x in made.items()
    )
    begin = {name: np.asarray(x) for name, x in carry.items()}
    return Greedy(policy, spec, inputs, outputs, begin)


def respond(
    policy: Policy, spec: Spec, given: Mapping[str, Any], key: Key
) -> dict[str, Any]:
    """Action and next carry of a batch of actors, leaf by leaf, in the order of their
    names, which is that of a dict that has passed through JAX."""
    obs = together("obs", spec.obs, given)
    n = jax.tree.leaves(obs)[0].shape[0]
    t = TimeStep(
        obs,
        given["reward"] if "reward" in given else jnp.zeros(n),
        given["first"] if "first" in given else jnp.zeros(n, bool),
        together("legal", mask(spec), given),
    )
    one = lambda carry, t: policy(carry, t, key=key, explore=False)[:2]
    carry = together("carry", policy.begin(), given)
    action, following = jax.vmap(one)(carry, t)
    made = split("action", action) | split("next_carry", following)
    return dict(sorted(made.items()))


def graph(policy: Policy, spec: Spec, ports: Sequence[Port], n: Any) -> list[Value]:
    """The outputs for `n` actors as values of a graph whose constants are the arrays
    of the policy, by name; `n` may be symbolic."""
    arrays, rest = eqx.partition(policy, eqx.is_array)
    leaves, form = jax.tree.flatten(arrays)
    names = [p.name for p in ports]

    def call(*x: Any) -> list[Any]:
        weights, given, key = x[: len(leaves)], x[len(leaves) : -1], x[-1]
        whole = eqx.combine(jax.tree.unflatten(form, weights), rest)
        pairs = dict(zip(names, given, strict=True))
        return [*respond(whole, spec, pairs, key).values()]

    weights = [Constant(x, name) for name, x in named(arrays).items()]
    shapes = [*leaves, *(p.batched(n) for p in ports), root(0)]
    return trace(call, shapes, [*weights, *map(Input, names), Input(KEY)])


def mask(spec: Spec) -> PyTree[Space] | None:
    """The space of the mask of legal actions; `None` where there is none."""
    if not spec.masked:
        return None

    def one(space: Discrete | MultiDiscrete) -> Box:
        n = space.n if isinstance(space, Discrete) else sum(space.nvec)
        return Box(np.zeros(n, bool), np.ones(n, bool))

    return jax.tree.map(one, spec.action, is_leaf=is_space)


def split(name: str, tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree, each by its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_space)
    paths = [jax.tree_util.keystr(p, simple=True, separator=".") for p, _ in leaves]
    found = {
        f"{name}.{path}" if path else name: leaf
        for path, (_, leaf) in zip(paths, leaves, strict=True)
    }
    if len(found) < len(leaves):
        raise ExportFault(f"two parts of {name} have the same path")
    return found


def together(name: str, like: PyTree, given: Mapping[str, Any]) -> PyTree:
    """The inverse of `split`, in the form of another tree."""
    form = jax.tree.structure(like, is_leaf=is_space)
    return jax.tree.unflatten(form, [given[k] for k in split(name, like)])
