"""The verbs that show what was learned, in Python: evaluate and watch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..algos import get
from ..core import Algorithm, BadConfig, Env, Policy, RunFault
from ..engine import faults, policies
from ..engine.evaluate import Episodes, evaluation_seed, evaluator, play
from ..engine.faults import Again
from ..engine.policies import LoadedPolicy
from ..engine.problem import form, in_words
from ..engine.record import write_video
from ..engine.run import Run
from ..envs import Care, Hosted, make, shut
from ..evidence.curves import Curve, curve, describe, draw


class Shelf(NamedTuple):
    """The policies at a path, one for each seed, and the run they are of."""

    policies: list[LoadedPolicy]
    folders: list[Path]
    """Where each policy lies."""
    run: Run | None

    def make(self, env: Any, envs: int) -> Env | Hosted:
        """The environment given, or the run's; raises `BadConfig` for one that the
        policies cannot see or act in."""
        world = self._open(env, envs)
        needs, has = self.policies[0].spec, world.spec
        if form(needs) != form(has):
            shut(world)
            raise BadConfig(
                f"the policy is for {in_words(needs)}, but the environment has "
                f"{in_words(has)}"
            )
        return world

    def _open(self, env: Any, envs: int) -> Env | Hosted:
        if env is not None:
            return make(env, envs=envs)
        config = {} if self.run is None else self.run.config
        if config.get("env") is None:
            of = "of no run" if self.run is None else "of a run without an environment"
            raise BadConfig(f"this policy is {of}: name one (--env)")
        backend = config["plan"].get("backend", "auto")
        kwargs = config.get("env_kwargs", {})
        return make(config["env"], envs=envs, backend=backend, **kwargs)


def shelf(path: Run | str | Path, algorithm: type[Algorithm] | None = None) -> Shelf:
    """What was learned at a path: a run, one seed of a run, or a policy's folder.
    `algorithm` is the class where it is not catalogued."""
    find: Callable[[str], type[Algorithm]] = lambda name: algorithm or get(name)
    if isinstance(path, Run) or (Path(path) / "config.toml").exists():
        run = path if isinstance(path, Run) else Run.open(path)
        folders = [run.seed(s).path / "policy" for s in run.seeds]
        return Shelf([policies.load_policy(f, find) for f in folders], folders, run)
    path = Path(path)
    folder = path / "policy" if (path / "policy").is_dir() else path
    if not (folder / "policy.json").exists():
        what = "is neither a run nor a policy" if path.exists() else "does not exist"
        raise RunFault(f"{path} {what}")
    home = folder.resolve().parent.parent
    run = Run.open(home) if (home / "config.toml").exists() else None
    return Shelf([policies.load_policy(folder, find)], [folder], run)


def load_policy(
    path: Run | str | Path, *, algorithm: type[Algorithm] | None = None
) -> Policy:
    """The policy at a path; of a run with several seeds, the first one's."""
    return shelf(path, algorithm).policies[0].policy


def evaluate(
    path: Run | str | Path,
    *,
    episodes: int = 100,
    stochastic: bool = False,
    seed: int = 0,
    env: Any = None,
    algorithm: type[Algorithm] | None = None,
) -> dict[int, Episodes]:
    """Play whole episodes with each seed's policy, in fresh environments that no
    training and no earlier evaluation has seen; what each seed's policy earned."""
    found = shelf(path, algorithm)
    world = found.make(env, min(episodes, 10))
    run = evaluator(world, episodes=episodes, explore=stochastic)
    try:
        return {
            one.meta["seed"]: run(one.policy, evaluation_seed(seed, -1))
            for one in found.policies
        }
    finally:
        shut(world)


def replay_fault(
    path: Run | str | Path,
    *,
    env: Any = None,
    algorithm: type[Algorithm] | None = None,
) -> list[Again]:
    """Make every fault that a run (or a seed of one) has recorded happen again."""
    place = path.path if isinstance(path, Run) else Path(path)
    whole = place if (place / "config.toml").exists() else place.parent
    run = Run.open(whole if (whole / "config.toml").exists() else place)
    plan = run.config["plan"]

    def open_world() -> Env | Hosted:
        return make(
            run.config["env"] if env is None else env,
            backend=plan.get("backend", "auto"),
            processes=plan.get("processes", False),
            care=Care(patience=plan.get("patience", Care().patience)),
            **run.config.get("env_kwargs", {}),
        )

    return list(faults.replay(place, open_world, lambda n: algorithm or get(n)))


class Film(NamedTuple):
    path: Path
    earned: float
    """Return of the episode."""


def watch(
    path: Run | str | Path,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    env: Any = None,
    algorithm: type[Algorithm] | None = None,
) -> Film:
    """Film one greedy episode (of a run: its first seed's policy) as mp4, or as gif
    where that fails. `out` is `episode.mp4` in the run when not given."""
    found = shelf(path, algorithm)
    world = found.make(env, 1)
    try:
        frames, earned = play(found.policies[0].policy, world, seed=seed)
    finally:
        shut(world)
    home = found.run.path if found.run else Path()
    return Film(write_video(Path(out or home / "episode.mp4"), frames), earned)


def evaluated_curve(run: Run) -> Curve:
    """The learning curve; raises `RunFault` where there is none yet."""
    table = run.evaluations()
    if set(table["seed"].to_pylist()) < set(run.seeds):
        raise RunFault(f"{run.path}: not every seed has been evaluated yet")
    return curve(table)


def curve_of(run: Run) -> Path:
    """Draw the learning curve into the run."""
    one = evaluated_curve(run)
    config = run.config
    title = f"{config['algorithm']} on {config['env']}: {describe(one)}"
    draw({config["algorithm"]: one}, run.path / "curve.png", title=title)
    return run.path / "curve.png"
