"""How right off-policy evaluation is where the truth is known, for `docs/ope.md`.

    python bench/ope.py               everything that is missing (an hour on two cores)
    python bench/ope.py NAME ...      only these: tabular, fitted, pendulum, bandit

`bandit` reads its logs from the installed package `obp`.

What comes out is kept in `bench/results/ope.jsonl`, a line per result, and printed.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from peira.core import Action, Key, Policy, TimeStep
from peira.data import check, Dataset
from peira.envs import make
from peira.evidence import Estimate, mean
from peira.evidence.ope import Effort, judge, logged, Question
from peira.evidence.ope.intervals import interval
from peira.evidence.ope.judge import by_bound, LOG_ALONE
from peira.evidence.ope.tabular import acting, Tabular
from peira.evidence.packs import openbandit


KEPT = Path(__file__).parent / "results" / "ope.jsonl"


def world(seed: int) -> tuple[Tabular, np.ndarray, np.ndarray]:
    """Six states and three actions; every step ends the episode with 0.1."""
    rng = np.random.default_rng(seed)
    opening, move = np.eye(6)[0], rng.dirichlet(np.ones(6), size=(6, 3)) * 0.9
    behaviour, policy = rng.dirichlet(np.full(3, 5.0), size=(2, 6))
    return Tabular(opening, move, rng.normal(size=(6, 3)), 0.5), behaviour, policy


def tabular(*, logs: int = 1_000, gamma: float = 0.9) -> Iterator[dict[str, Any]]:
    """Bias, spread and coverage where only the log is weighted."""
    mdp, behaviour, policy = world(0)
    truth, rng = mdp.worth(policy, gamma), np.random.default_rng(1)
    for episodes in (50, 200):
        said: dict[tuple[str, str], list[Estimate]] = {}
        for _ in range(logs):
            data = mdp.play(behaviour, episodes, 500, rng)
            seen = np.asarray(data.obs)[np.arange(data.steps) + data.episode]
            log = logged(data, policy[seen, data.action] / data.propensity)
            for name, estimate in LOG_ALONE.items():
                parts = estimate(log, gamma).parts
                for how in ("t", "bootstrap"):
                    e = interval(parts, how)
                    said.setdefault((name, how), []).append(e)
            bound = by_bound(log, data, Question(gamma=gamma)).estimate
            said.setdefault(("bound", "bernstein"), []).append(bound)
        for (name, how), found in said.items():
            kind = {"episodes": episodes, "interval": how, "method": name}
            yield kind | summary(found, truth)


def fitted(*, logs: int = 40, gamma: float = 0.9) -> Iterator[dict[str, Any]]:
    """The same with a fitted model, which knows no other tables."""
    mdp, behaviour, policy = world(0)
    truth, rng = mdp.worth(policy, gamma), np.random.default_rng(2)
    effort = Effort(updates=3_000, tau=0.05, hidden=(), learning_rate=0.01)
    question = Question(gamma=gamma, explore=True, effort=effort)
    methods = ("fqe", "dr", "wdr")
    told = []
    for k in range(logs):
        data = mdp.play(behaviour, 200, 500, rng)
        asked = question._replace(seed=100 * k)
        told.append(judge(acting(policy), data, methods=methods, question=asked))
    for i, method in enumerate(methods):
        good = [t[i].estimate for t in told if t[i].estimate is not None]
        found = summary(good, truth) | {"refused": len(told) - len(good)}
        yield {"episodes": 200, "interval": "t", "method": method, **found}


def summary(said: list[Estimate], truth: float) -> dict[str, Any]:
    bound = math.isnan(said[0].high)
    value = np.array([e.low if bound else e.value for e in said])
    held = [e.low <= truth and not truth > e.high for e in said]
    return {
        "truth": truth,
        "logs": len(said),
        "bias": float(value.mean() - truth),
        "spread": float(value.std()),
        "covered": float(np.mean(held)),
    }


class Swing(Policy[tuple[()]]):
    """Pumps a pendulum up and holds it there, more or less well; noisy when
    exploring."""

    pump: Float[Array, ""]
    hold: Float[Array, ""]
    noise: float = eqx.field(static=True, default=0.0)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        cos, sin, speed = t.obs
        angle = jnp.arctan2(sin, cos)
        near = -self.hold * (10 * angle + 2 * speed)
        lack = jnp.sign(15.0 * (1 - cos) - speed**2 / 2)  # of energy, to stand upright
        torque = jnp.where(cos > 0.8, near, self.pump * jnp.sign(speed) * lack)
        if explore:
            k_noise, k_any, k_which = jr.split(key, 3)
            noisy = torque + self.noise * jr.normal(k_noise)
            anything = jr.uniform(k_any, minval=-2.0, maxval=2.0)
            torque = jnp.where(jr.uniform(k_which) < 0.2, anything, noisy)
        return jnp.clip(torque, -2.0, 2.0)[None], (), ()


def swung(policy: Policy, episodes: int, steps: int, key: Key, *, explore: bool) -> Any:
    """Observations `(steps + 1, episode, 3)`, actions and rewards of a pendulum."""
    env = make("Pendulum-v1").env  # without its time limit
    k_reset, k_play = jr.split(key)
    world, first, _ = jax.vmap(lambda k: env.reset(key=k))(jr.split(k_reset, episodes))

    def step(now: Any, k: Key) -> Any:
        world, obs = now

        def one(world: Any, obs: Any, k: Key) -> Any:
            t = TimeStep(obs, jnp.array(0.0), jnp.array(False))
            action, _, _ = policy((), t, key=k, explore=explore)
            world, out = env.step(world, action, key=k)
            return world, out.obs, action, out.reward

        world, obs, action, reward = jax.vmap(one)(world, obs, jr.split(k, episodes))
        return (world, obs), (obs, action, reward)

    play = lambda: jax.lax.scan(step, (world, first), jr.split(k_play, steps))[1]
    obs, action, reward = jax.jit(play)()
    rows = np.concatenate([np.asarray(first)[None], np.asarray(obs)])
    return rows, np.asarray(action), np.asarray(reward)


def pendulum_log(episodes: int, *, seed: int) -> Dataset:
    """200 steps each of a fair controller with much noise."""
    fair = Swing(jnp.array(1.5), jnp.array(0.5), 0.5)
    obs, action, reward = swung(fair, episodes, 200, jr.key(seed), explore=True)
    last = np.tile(np.arange(200) == 199, episodes)
    flat = lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
    return check(
        Dataset(
            make("Pendulum-v1").spec,
            flat(obs),
            flat(action),
            flat(reward),
            np.zeros_like(last),
            last,
            200 * np.arange(episodes + 1),
        )
    )


POLICIES = {
    "still": (0.0, 0.0),
    "weak": (0.7, 0.3),
    "fair": (1.5, 0.5),
    "good": (2.0, 1.0),
}


def pendulum(*, gamma: float = 0.98) -> Iterator[dict[str, Any]]:
    """Fitted Q evaluation against play that no clock cuts."""
    data = pendulum_log(100, seed=0)
    effort = Effort(updates=8_000, hidden=(128, 128))
    question = Question(gamma=gamma, effort=effort)
    for name, gains in POLICIES.items():
        policy = Swing(*map(jnp.array, gains))
        _, _, reward = swung(policy, 2_000, 600, jr.key(1), explore=False)
        truth = gamma ** np.arange(600) @ reward
        said = judge(policy, data, methods=["fqe"], question=question)[0]
        yield {
            "policy": name,
            "truth": float(truth.mean()),
            "truth_error": float(truth.std() / np.sqrt(2_000)),
            "estimate": said.estimate,
            "notes": said.notes,
        }


class Shop(Policy[tuple[()]]):
    """Recommends by the position on the page alone."""

    logits: Float[Array, "position item"]

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        logits = self.logits[position(t)]
        action = jr.categorical(key, logits) if explore else logits.argmax()
        return action.astype(jnp.int32), (), ()

    def log_prob(self, t: TimeStep, action: Action) -> Float[Array, ""]:
        return jax.nn.log_softmax(self.logits[position(t)])[action]


def position(t: TimeStep) -> Array:
    return jnp.asarray(t.obs)[: openbandit.POSITIONS].argmax()


def bandit() -> Iterator[dict[str, Any]]:
    """The click rate of each logger of the Open Bandit Dataset by the other's log,
    against its own log. Thompson sampling is known by how often it showed what."""
    folder = openbandit.installed().folder
    question = Question(gamma=1.0, explore=True, floor=0.0)
    for campaign in ("all", "men", "women"):
        logs = {
            who: openbandit.read(who, campaign, folder) for who in ("random", "bts")
        }
        bts = logs["bts"]
        at = np.asarray(bts.obs)[::2, : openbandit.POSITIONS].argmax(axis=1)
        times = np.full((openbandit.POSITIONS, bts.spec.action.n), 0.5)
        np.add.at(times, (at, np.asarray(bts.action)), 1)
        shops = {"bts": np.log(times), "random": np.zeros_like(times)}
        for who, log in (("bts", "random"), ("random", "bts")):
            shop = Shop(jnp.asarray(shops[who], jnp.float32))
            methods = ("is", "wis", "bound")
            said = judge(shop, logs[log], methods=methods, question=question)
            yield {
                "campaign": campaign,
                "policy": who,
                "log": log,
                "on policy": mean(np.asarray(logs[who].reward, np.float64)),
                "wis": said[1].estimate or "refused",
                "effective": said[1].effective,
                "at least": said[2].estimate and said[2].estimate.low,
            }


SECTIONS = {
    "tabular": tabular,
    "fitted": fitted,
    "pendulum": pendulum,
    "bandit": bandit,
}


def main(names: list[str]) -> None:
    there = KEPT.read_text().splitlines() if KEPT.exists() else []
    done = {json.loads(line)["section"] for line in there}
    for name in names or [n for n in SECTIONS if n not in done]:
        rows = []
        for row in SECTIONS[name]():
            rows.append(json.dumps({"section": name} | row))
            print(rows[-1], flush=True)
        kept = [line for line in there if json.loads(line)["section"] != name]
        there = kept + rows
        KEPT.write_text("\n".join(there) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
