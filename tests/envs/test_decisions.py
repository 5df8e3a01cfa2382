"""The better ways, found again by solving each world; and that every mistake takes the
worse one in its own world, and in no other."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.envs import decisions
from peira.envs.decisions import STATES, tabular


GAMMAS = [0.5, 0.6, 0.85]
WORLDS = {
    "choice": lambda gamma: decisions.choice(),
    "observation": lambda gamma: decisions.observation(),
    "termination": lambda gamma: decisions.termination(),
    "truncation": lambda gamma: decisions.truncation(),
    "auto_reset": lambda gamma: decisions.auto_reset(),
    "delay": lambda gamma: decisions.delay(),
    "patience": decisions.patience,
    "haste": decisions.haste,
    "masks": lambda gamma: decisions.masks(),
}
MISTAKES = {
    "termination": "bootstraps through death",
    "truncation": "takes the clock for a death",
    "auto_reset": "takes the next episode for the successor",
    "patience": "discounts twice",
    "haste": "does not discount",
    "masks": "hopes for what is illegal",
}


def solve(decision, gamma, mistake=""):
    """What each way out of each state is worth, to one with a mistake."""
    discount = {"discounts twice": gamma**2, "does not discount": 1.0}
    gamma = discount.get(mistake, gamma)
    q = {name: np.zeros(2) for name in decision.ways}

    def value(name):
        legal = [way.legal for way in decision.ways[name]]
        if mistake == "hopes for what is illegal" and not all(legal):
            return 3.0  # what the same way pays elsewhere
        return max(x for x, allowed in zip(q[name], legal, strict=True) if allowed)

    def after(way):
        match way.end, mistake:
            case "terminated", "bootstraps through death":
                return value(way.to)
            case ("terminated", _) | ("truncated", "takes the clock for a death"):
                return 0.0
            case "truncated", "takes the next episode for the successor":
                return np.mean([value(name) for name in decision.opens])
        return value(way.to)

    for _ in range(200):
        q = {
            name: np.array([way.pays + gamma * after(way) for way in ways])
            for name, ways in decision.ways.items()
        }
    return q


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("name", WORLDS)
def test_the_better_way_is_worth_more(name, gamma):
    decision = WORLDS[name](gamma)
    q = solve(decision, gamma)
    for state, better in decision.better.items():
        assert q[state][better] > q[state][1 - better] + 0.07


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("own", MISTAKES)
def test_a_mistake_takes_the_worse_way_in_its_own_world_alone(own, name, gamma):
    if own in ("patience", "haste") and name == "delay":
        return  # the nearest reward is worth less as well, or more
    decision = WORLDS[name](gamma)
    q = solve(decision, gamma, MISTAKES[own])
    for state, better in decision.better.items():
        assert (q[state].argmax() == better) == (own != name)


def test_what_the_docstrings_say():
    worth = lambda name, mistake="": solve(WORLDS[name](0.6), 0.6, mistake)["here"]
    through = worth("termination", MISTAKES["termination"])
    assert through[1] == pytest.approx(3 * 0.6 / 0.4 - 0.4)
    assert worth("truncation") == pytest.approx([0, 1.4])
    assert worth("auto_reset") == pytest.approx([0, -0.8])
    leak = worth("auto_reset", MISTAKES["auto_reset"])[1]
    assert leak == pytest.approx(-0.2 + 0.6 * (2 * 3 + leak - 1) / 4)
    assert leak == pytest.approx(0.65, abs=0.005)
    assert worth("delay") == pytest.approx([0.3, 3 * 0.6**3])
    assert worth("patience") == pytest.approx([0.96, 1.2])
    assert worth("haste") == pytest.approx([1.6, 1.2])


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("kind", decisions.SPACES)
def test_the_world_is_the_table(name, kind):
    decision = WORLDS[name](0.6)
    env = tabular(decision, kind, masked=kind == "discrete")
    names, space = list(decision.ways), env.spec.action
    step = jax.jit(lambda s, a: env.step(s, a, key=jr.key(0)))
    for i, state in enumerate(names):
        for j, way in enumerate(decision.ways[state]):
            end = 2 * j - 1 if kind == "box" else j
            action = jnp.full(space.shape, end, space.dtype)
            to, out = step(jnp.int32(i), action)
            assert names[int(to)] == way.to
            assert int(out.obs.argmax()) == int(to)
            assert out.obs.sum() == 1
            assert float(out.reward) == np.float32(way.pays)
            assert bool(out.terminated) == (way.end == "terminated")
            assert bool(out.truncated) == (way.end == "truncated")
            if env.spec.masked:
                legal = [way.legal for way in decision.ways[way.to]]
                assert out.legal.tolist() == legal


def test_a_real_action_is_the_chance_of_the_second_way():
    env = tabular(decisions.choice(), "box")
    pays = lambda a, k: env.step(jnp.int32(0), jnp.array([a]), key=k)[1].reward
    for seed, (action, chance) in enumerate(
        [(-1, 0), (-0.5, 0.25), (0.6, 0.8), (1, 1)]
    ):
        keys = jr.split(jr.key(seed), 2000)
        mean = jax.vmap(lambda k, a=float(action): pays(a, k))(keys).mean()
        assert float(mean) == pytest.approx(chance, abs=0.04)


def test_episodes_open_as_often_as_said():
    env = tabular(decisions.auto_reset())
    state, obs, legal = jax.vmap(lambda k: env.reset(key=k))(jr.split(jr.key(0), 4000))
    share = np.bincount(np.asarray(state), minlength=STATES) / 4000
    np.testing.assert_allclose(share, [0.25, 0.5, 0.25, 0, 0, 0], atol=0.03)
    assert (obs.argmax(axis=1) == state).all()
    assert legal is None
