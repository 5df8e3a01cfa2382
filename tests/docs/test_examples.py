"""The examples are short and do what their pages promise."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import peira
from peira.core import Sample, Transition


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def test_a_new_algorithm_takes_less_than_80_lines():
    assert len((EXAMPLES / "own_algorithm.py").read_text().splitlines()) < 80


def test_the_new_algorithm_is_what_its_paper_says():
    """One update against the target written out by hand, action by action."""
    from own_algorithm import MunchausenDQN
    from own_environment import Catch

    hp = MunchausenDQN(tau=0.5, alpha=0.8, gamma=0.9)
    state = hp.init(Catch().spec, key=jax.random.key(0))
    rng = np.random.default_rng(0)
    n = 6
    obs, after = jnp.asarray(rng.random((2, n, 10, 5), dtype=np.float32))
    action, over = np.arange(n, dtype=np.int32) % 3, np.arange(n) % 2 == 0
    reward = rng.normal(size=n).astype(np.float32)
    steps = Transition(obs, action, reward, over, ~over, after)
    batch = Sample(jax.tree.map(jnp.asarray, steps), jnp.ones(n), jnp.arange(n))
    _, report = jax.jit(hp.update)(state, batch, key=jax.random.key(1))
    q_bar = jax.jit(jax.vmap(state.target))
    now, after = np.asarray(q_bar(obs)), np.asarray(q_bar(after))

    errors = []
    for i in range(n):
        q, later = now[i], after[i]
        pi, pi_later = (np.exp(x / 0.5) / np.exp(x / 0.5).sum() for x in (q, later))
        sure = np.clip(0.5 * np.log(pi[action[i]]), -1, 0)
        value = (pi_later * (later - 0.5 * np.log(pi_later))).sum()
        y = reward[i] + 0.8 * sure + (0 if over[i] else 0.9 * value)
        errors.append(abs(q[action[i]] - y))
    assert report.surprise == pytest.approx(np.array(errors), rel=1e-4)


def test_the_ball_is_caught_by_whoever_stands_below():
    from own_environment import Catch, COLUMNS, ROWS

    env = Catch()
    step = jax.jit(lambda w, a: env.step(w, a, key=jax.random.key(0)))
    for seed in range(5):
        world, obs, _ = env.reset(key=jax.random.key(seed))
        assert obs.shape == (ROWS, COLUMNS)
        while True:
            world, out = step(world, 1 + jnp.sign(world.ball - world.paddle))
            if out.terminated:
                break
            assert out.reward == 0
        assert out.reward == 1
        assert world.row == ROWS - 1


def test_the_till_never_takes_more_than_is_owed():
    from own_gymnasium import Till

    env = peira.make(Till, envs=3)
    assert env.spec.masked
    t = env.reset(0)
    for _ in range(60):
        out, t = env.step(np.argmax(t.legal, axis=1).astype(np.int32))
        assert (out.obs["owed"] >= 0).all()
        assert out.terminated.tolist() == (out.obs["owed"] == 0).tolist()
    env.close()
