"""Measure how long forecasts stay right, of a Trajectory Transformer and of an ensemble
of one-step models, keep what came out, and write `docs/forecasts.md`.

    python bench/forecasts.py            everything that is missing, then write
    python bench/forecasts.py --write    only write the page

Both learn from nine of ten episodes of a standard dataset. From steps of the others
they foresee what the actions that were taken there lead to. The datasets lie under
`datasets` (built if they are not there), the runs under `runs/forecasts`. What the page
is made of is kept in `bench/results/forecasts.jsonl`: a line per model and seed, with
the error at every step ahead.

The ensemble is that of Chua et al., 2018, https://arxiv.org/abs/1805.12114: networks
that tell a normal distribution of the next change, each from a bootstrap of its own; a
forecast stays with one member to its end (TS∞).
"""

import functools as ft
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from learn import peira, ROOT, show
from lines import keep, kept

import peira as library
from peira.algos.offline.beams import appended
from peira.algos.offline.sentences import Model
from peira.algos.offline.tt import Planner
from peira.core import Key
from peira.data import Dataset, read
from peira.evidence import difference
from peira.nets import Ensemble, MLP
from peira.ops import Bins, descend, Gaussian, Trainable, trainable


RUNS = ROOT / "runs" / "forecasts"
SETS = ROOT / "datasets"
KEPT = ROOT / "bench" / "results" / "forecasts.jsonl"
PAGE = ROOT / "docs" / "forecasts.md"

DATASETS = ("pendulum-medium-expert", "pointmaze-umaze-play")
SEEDS, STARTS, DRAWS, AHEAD = range(5), 50, 8, 50
SHOWN = (1, 5, 10, 25, 50)
"""Steps ahead, of those in the rows."""
UPDATES = 2_000
HELD = 10
"""Every so many-th episode is not learned from."""
TT, ONE_STEP, ORACLE = "Trajectory Transformer", "Ensemble", "Bins alone"
SIZES = {
    "context": 8,
    "history": 5,
    "width": 64,
    "layers": 2,
    "batch": 64,
    "warmup": 200,
    "falling": UPDATES,
}
HASTY = {"beam": 1, "planned": 1, "episodes": 1, "evaluate_every": UPDATES}
"""Nobody is to act by these."""
MEMBERS, WIDE, BATCH, RATE = 5, (200, 200, 200), 128, 1e-3
BOUNDS = 0.01
"""Weight of how far apart the bounds of the variance are, as in the authors' code."""


class Stretches(NamedTuple):
    """Parts of episodes: what led up to a step, what was done until its forecast ends,
    and what came of it."""

    obs: Float[np.ndarray, "start past obs"]
    action: Float[np.ndarray, "start step act"]
    reward: Float[np.ndarray, "start past"]
    truth: Float[np.ndarray, "start ahead obs"]


def stretches(data: Dataset) -> Stretches:
    """As many as are asked for, at places that a seed decides."""
    places, past = np.random.default_rng(0), SIZES["history"]
    length = past + AHEAD
    episode = places.choice(np.flatnonzero(data.lengths > length), STARTS)
    offset = places.integers(data.lengths[episode] - length)
    got = data.gather((data.starts[episode] + offset)[:, None] + np.arange(length))
    flat = lambda x: np.asarray(x, np.float32).reshape(STARTS, length, -1)
    obs, action, reward = map(flat, (got.obs, got.action, got.reward))
    return Stretches(obs[:, :past], action[:, :-1], reward[:, :past, 0], obs[:, past:])


class Member(eqx.Module):
    """What changes in one step, as a normal distribution."""

    body: MLP
    low: Float[Array, " obs"]
    high: Float[Array, " obs"]
    """Bounds of the logarithms of deviations, which are learned too."""

    @staticmethod
    def new(obs: int, action: int, *, key: Key) -> "Member":
        body = MLP((obs + action, *WIDE, 2 * obs), activation=jax.nn.silu, key=key)
        return Member(body, jnp.full(obs, -5.0), jnp.full(obs, 0.25))

    def __call__(self, x: Float[Array, " in"]) -> Gaussian:
        centre, spread = jnp.split(self.body(x), 2)
        spread = self.high - jax.nn.softplus(self.high - spread)
        return Gaussian(centre, self.low + jax.nn.softplus(spread - self.low))


class Scaled(NamedTuple):
    """An ensemble, and the units that it reckons in."""

    members: Ensemble[Member]
    mean: Float[Array, " in"]
    std: Float[Array, " in"]
    change: Float[Array, " obs"]

    def forecast(
        self,
        obs: Float[Array, "past obs"],
        action: Float[Array, "step act"],
        reward: Float[Array, " past"],
        key: Key,
    ) -> Float[Array, "ahead obs"]:
        """One draw, from the last of what was seen."""
        k_who, k_noise = jr.split(key)
        who = jr.randint(k_who, (), 0, MEMBERS)
        one = jax.tree.map(lambda x: x[who], self.members.members)

        def step(now: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            action, noise = given
            x = jnp.concatenate([now, action])
            said = one((x - self.mean) / self.std)
            now = now + self.change * (said.mean + jnp.exp(said.log_std) * noise)
            return now, now

        ahead = action[len(obs) - 1 :]
        noise = jr.normal(k_noise, (len(ahead), obs.shape[1]))
        return jax.lax.scan(step, obs[-1], (ahead, noise))[1]


def ensemble(data: Dataset, seed: int) -> Scaled:
    """Learned from all steps but those that ended in a death."""
    got = data.gather(np.flatnonzero(~data.terminated))
    flat = lambda x: np.asarray(x, np.float32).reshape(len(x), -1)
    obs, action, then = map(flat, (got.obs, got.action, got.next_obs))
    x, y = np.concatenate([obs, action], axis=1), then - obs
    units = x.mean(axis=0), x.std(axis=0) + 1e-6, y.std(axis=0) + 1e-6
    x, y = jnp.asarray((x - units[0]) / units[1]), jnp.asarray(y / units[2])
    k_net, k_boot, k_run = jr.split(jr.key(seed), 3)
    boot = jr.randint(k_boot, (MEMBERS, len(x)), 0, len(x))
    make = lambda k: Member.new(obs.shape[1], action.shape[1], key=k)
    tx = optax.scale_by_adam()

    def error(net: Ensemble[Member], rows: Int[Array, "member batch"]) -> Array:
        def one(member: Member, rows: Array) -> Array:
            said = jax.vmap(member)(x[rows])
            likely = jax.vmap(Gaussian.log_prob)(said, y[rows]).mean()
            return BOUNDS * (member.high - member.low).sum() - likely

        return jax.vmap(one)(net.members, rows).sum()

    def turn(net: Trainable[Ensemble[Member]], key: Key) -> tuple[Any, None]:
        at = jr.randint(key, (MEMBERS, BATCH), 0, len(x))
        rows = jnp.take_along_axis(boot, at, axis=1)
        both = lambda n: (error(n, rows), None)
        return descend(tx, net, both, rate=RATE)

    net = trainable(Ensemble(make, MEMBERS, key=k_net), tx)
    net, _ = jax.jit(ft.partial(jax.lax.scan, turn))(net, jr.split(k_run, UPDATES))
    return Scaled(net.net, *map(jnp.asarray, units))


def continued(
    model: Model,
    bins: Bins,
    obs: Float[Array, "past obs"],
    action: Float[Array, "step act"],
    reward: Float[Array, " past"],
    key: Key,
) -> Float[Array, "step obs"]:
    """One draw of the sentence that goes on, where the actions are given; the first of
    them were done before the last of what was seen."""
    layout = model.layout
    goal = jnp.zeros(layout.obs, jnp.int32)
    see = bins.of(slice(layout.obs))
    acts = jax.vmap(bins.of(layout.acts).encode)(action)
    k = len(obs) - 1
    paid = jnp.stack([reward[:k], jnp.full(k, jnp.inf)], axis=1)
    paid = jax.vmap(bins.of(layout.pays).encode)(paid)
    past = jnp.concatenate([jax.vmap(see.encode)(obs[:k]), acts[:k], paid], axis=1)

    def one(thought: tuple, it: tuple[Array, Key]) -> tuple[tuple, Array]:
        column, key = it
        token = jr.categorical(key, (thought[0] @ model.heads[column])[:-1])
        return model.extend(token[None], thought[1]), token.astype(jnp.int32)

    def drawn(thought: tuple, columns: slice, key: Key) -> Array:
        these = jnp.arange(columns.start, columns.stop)
        return jax.lax.scan(one, thought, (these, jr.split(key, len(these))))[1]

    def step(carry: tuple[Array, Array], given: tuple[Array, Key]):
        past, now = carry
        k_pays, k_obs = jr.split(given[1])
        said = jnp.concatenate([now, given[0]])
        _, cache = model.read(past, jnp.array(k), goal)
        pays = drawn(model.extend(said, cache), layout.pays, k_pays)
        past, _ = appended(past, jnp.array(k), jnp.concatenate([said, pays]))
        thought = model.read(past, jnp.array(k), goal)
        now = drawn(thought, slice(0, layout.obs), k_obs)
        return (past, now), see.decode(now)

    many = len(acts) - k
    begin = past, see.encode(obs[-1])
    return jax.lax.scan(step, begin, (acts[k:], jr.split(key, many)))[1]


def errors(
    forecast: Float[np.ndarray, "start draw step obs"],
    truth: Float[np.ndarray, "start step obs"],
    std: Float[np.ndarray, " obs"],
) -> list[float]:
    """Root of the mean square of the mean draw's error at each step, in deviations of
    the dataset."""
    apart = (forecast.mean(axis=1) - truth) / std
    found = np.sqrt(np.square(apart).mean(axis=(0, 2)))
    return found.astype(float).round(5).tolist()


Forecast = Callable[[Array, Array, Array, Key], Float[Array, "ahead obs"]]


def learn_sentences(name: str, data: Dataset) -> Iterator[tuple[Forecast, Bins]]:
    """What each seed's Trajectory Transformer foresees."""
    run = RUNS / name
    if run.exists():
        library.resume(run, data=data, film=False)
    else:
        how = {"steps": UPDATES, "seeds": tuple(SEEDS), **SIZES, **HASTY}
        library.train("tt", data=data, name=name, runs=RUNS, film=False, **how)
    for seed in SEEDS:
        planner = library.load_policy(run / f"seed-{seed}")
        assert isinstance(planner, Planner)
        bins = planner.search.bins
        yield ft.partial(continued, planner.net, bins), bins


def rounded(
    obs: Float[np.ndarray, "start ahead obs"], bins: Bins
) -> Float[Array, "start ahead obs"]:
    """What is left of numbers that were put into bins."""
    own = bins.of(slice(obs.shape[2]))
    return jax.vmap(jax.vmap(lambda x: own.decode(own.encode(x))))(obs)


def measure(name: str) -> Iterator[dict]:
    """The rows of one dataset."""
    if not (SETS / name).exists():
        peira("data", "build", name, "--out", SETS)
    data = read(SETS / name)
    held = np.arange(data.episodes) % HELD == 0
    learned = data.subset(np.flatnonzero(~held))
    parts = stretches(data.subset(np.flatnonzero(held)))
    std = parts.truth.std(axis=(0, 1))

    def line(model: str, seed: int, found: Array) -> dict:
        error = errors(np.asarray(found), parts.truth, std)
        return {"dataset": name, "model": model, "seed": seed, "error": error}

    def drawn(forecast: Forecast, seed: int) -> Array:
        keys = jr.split(jr.key(1_000 + seed), (STARTS, DRAWS))
        draws = jax.vmap(jax.vmap(forecast, (None, None, None, 0)))
        return jax.jit(draws)(*parts[:3], keys)

    for seed in SEEDS:
        yield line(ONE_STEP, seed, drawn(ensemble(learned, seed).forecast, seed))
    for seed, (told, bins) in enumerate(learn_sentences(name, learned)):
        yield line(TT, seed, drawn(told, seed))
        if not seed:
            yield line(ORACLE, seed, rounded(parts.truth, bins)[:, None])


def page() -> str:
    """The whole of the page."""
    lines = kept(KEPT)
    parts = [INTRODUCTION]
    for name in DATASETS:
        own = [line for line in lines if line["dataset"] == name]
        parts += [f"## {name}\n", *table(own), ""]
    return "\n".join(parts)


INTRODUCTION = f"""# How long forecasts stay right

Written by `bench/forecasts.py` from `bench/results/forecasts.jsonl`. The claim of the
[Trajectory Transformer](algorithms/tt.md)'s paper: what it foresees stays right for
longer than what an ensemble of one-step models does (there: Humanoid, a hundred steps).
Here: two standard datasets of few numbers a step, {AHEAD} steps, and small models.

Both learn for {UPDATES:,} updates from nine of ten episodes. From {STARTS} steps of the
others each draws {DRAWS} forecasts of what the actions taken there lead to. The error
is that of their mean, as the root of its mean square over numbers and starts, in
standard deviations of what there was to foresee. The transformer reads
{SIZES["history"]} steps and has {SIZES["layers"]} blocks of width {SIZES["width"]}; the
ensemble is that of [PETS](https://arxiv.org/abs/1805.12114), {MEMBERS} networks of
{"-".join(map(str, WIDE))}, each forecast by one of them. No size was chosen by these
errors. `{ORACLE}` is what is lost where every number is put into one of the
transformer's 100 bins. Errors are means over {len(SEEDS)} seeds; differences are the
transformer's minus the ensemble's with Welch's interval at 95 %, each by itself.
"""


def table(lines: list[dict]) -> Iterator[str]:
    if not lines:
        yield "Not run yet."
        return
    yield f"| Steps ahead | {ORACLE} | {TT} | {ONE_STEP} | Difference |"
    yield "|---|---|---|---|---|"
    for ahead in SHOWN:
        by = {model: of_seeds(lines, model, ahead) for model in (ORACLE, TT, ONE_STEP)}
        centres = (f"{found.mean():.3f}" for found in by.values())
        gap = show(difference(by[TT], by[ONE_STEP]), digits=3)
        yield f"| {ahead} | {' | '.join(centres)} | {gap} |"


def of_seeds(lines: list[dict], model: str, ahead: int) -> Float[np.ndarray, " seed"]:
    """A model's errors so many steps ahead."""
    return np.array([x["error"][ahead - 1] for x in lines if x["model"] == model])


def main(words: list[str]) -> None:
    if words != ["--write"]:
        known = {line["dataset"] for line in kept(KEPT)}
        for name in DATASETS:
            if name not in known:
                keep(KEPT, *measure(name))
                PAGE.write_text(page())
    PAGE.write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
