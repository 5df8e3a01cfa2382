"""What is to be learned, from what, and how often: a training before any of it has
run."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
from jaxtyping import PyTree

from ..core import Algorithm, BadConfig, Box, Env, is_space, keeper, Spec, Store
from ..core.checks import describe
from ..data import Dataset, dealt, Mixture, Replay
from ..envs import Care, Hosted, make, shut
from .from_data import beat_from, size
from .loop import Beat, beat
from .plan import Plan


MakeEnv: TypeAlias = Any  # an id, a callable, an environment
World: TypeAlias = Env | Hosted | Dataset


class Problem(NamedTuple):
    """Everything that makes one training, before any of it has run."""

    algorithm: Algorithm
    env: MakeEnv | None
    """None: nothing is played, and nothing evaluated."""
    plan: Plan
    name: str
    kwargs: Mapping[str, Any]
    data: Dataset | None = None
    """Learn from this, and play in the environment to evaluate only."""

    def make(self, envs: int) -> Env | Hosted:
        plan = self.plan
        return make(
            self.env,
            envs=envs,
            backend=plan.backend,
            processes=plan.processes,
            care=Care(plan.on_fault == "restart", plan.patience, plan.memory),
            **self.kwargs,
        )

    def open(self) -> tuple[World, Beat]:
        """What to learn from, and the run counted out."""
        if self.data is not None:
            return self.data, beat_from(self.algorithm, self.data, self.plan)
        envs = self.plan.envs or getattr(type(self.algorithm), "actors", 1)
        world = self.make(envs)
        try:
            if isinstance(world, Hosted) and world.envs != envs:
                envs = own_number(world, self.plan)
            return world, beat(self.algorithm, world.spec, self.plan, envs=envs)
        except BaseException:
            shut(world)
            raise

    def open_online(self) -> tuple[Env | Hosted, Beat]:
        """What to go on in once the dataset has been learned from, and that counted
        out. Raises `BadConfig`."""
        assert self.data is not None
        if self.env is None:
            raise BadConfig(
                f"Plan.online = {self.plan.online}: name the environment to go on in"
            )
        old = beat_from(self.algorithm, self.data, self.plan)
        store = mixture(keeper(self.algorithm, old.spec), self.data, self.plan)
        envs = self.plan.envs or getattr(type(self.algorithm), "actors", 1)
        world = self.make(envs)
        try:
            same_form(self.data, world.spec)
            if isinstance(world, Hosted) and world.envs != envs:
                envs = own_number(world, self.plan)
            steps = self.plan.online
            new = beat(
                self.algorithm, old.spec, self.plan, envs=envs, steps=steps, store=store
            )
        except BaseException:
            shut(world)
            raise
        return world, new._replace(spec=old.spec)  # the horizon is the dataset's

    def arena(self) -> Env | Hosted | None:
        """Where to evaluate, where there is an environment; raises `BadConfig` for one
        in which the data cannot have been collected."""
        if self.env is None:
            return None
        world = self.make(min(self.plan.episodes, 10))
        try:
            if self.data is not None:
                same_form(self.data, world.spec)
        except BaseException:
            shut(world)
            raise
        return world


def mixture(store: Store, data: Dataset, plan: Plan) -> Mixture:
    """Fresh steps beside the dataset; raises `BadConfig` where that cannot be."""
    if not isinstance(store, Replay):
        raise BadConfig("only an algorithm with a uniform replay can go on online")
    deal = dealt(store)
    shelves = deal.shelve(data)
    if size(shelves) > plan.resident * 2**20:
        raise BadConfig(
            f"Plan.resident = {plan.resident}: to go on online the dataset must lie on "
            f"the device, {size(shelves) / 2**20:.0f} MiB"
        )
    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
    return Mixture(deal, store, jax.tree.map(shape, shelves), plan.share)


def same_form(data: Dataset, spec: Spec) -> None:
    """Raise `BadConfig` for a problem in which the data cannot have been collected."""
    if form(spec) != form(data.spec):
        raise BadConfig(
            f"the dataset has {in_words(data.spec)}, but the environment has "
            f"{in_words(spec)}"
        )


def own_number(world: Hosted, plan: Plan) -> int:
    """How many environments a vector environment brings; raises `BadConfig` where the
    plan asks for another number."""
    if plan.envs:
        raise BadConfig(
            f"Plan.envs = {plan.envs}: {world.name} brings {world.envs} environments; "
            "leave it out"
        )
    return world.envs


def form(spec: Spec) -> tuple[PyTree, bool]:
    """What has to be the same where a policy is to act; bounds may differ."""
    plain = lambda s: (s.shape, s.dtype) if isinstance(s, Box) else s
    spaces = jax.tree.map(plain, (spec.obs, spec.action), is_leaf=is_space)
    return spaces, spec.masked


def in_words(spec: Spec) -> str:
    masked = ", masked" if spec.masked else ""
    return f"{describe(spec.obs)} and actions {describe(spec.action)}{masked}"
