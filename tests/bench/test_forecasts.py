"""Forecasts are what the models say, and the page follows from their errors."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.algos.offline.sentences import Layout, model
from peira.core import Box, Spec
from peira.data import Dataset
from peira.ops import Bins


SHARP = 1e5
"""By this the logits are multiplied: who draws takes the likeliest."""


def box(end: float) -> Box:
    return Box(np.full(1, -end, "f4"), np.full(1, end, "f4"))


@pytest.fixture
def forecasts(paged):
    return paged("forecasts")


def test_the_error_is_that_of_the_mean_draw(forecasts):
    """Draws of 1 and 3 for truths of 0 and 2 are wrong by 2 and 0: by √2, in deviations
    of 2 half as much; the other number is right."""
    draws = np.zeros((2, 2, 1, 2))
    draws[:, 0, 0, 0], draws[:, 1, 0, 0] = 1.0, 3.0
    truth = np.zeros((2, 1, 2))
    truth[1, 0, 0] = 2.0
    found = forecasts.errors(draws, truth, np.array([2.0, 1.0]))
    np.testing.assert_allclose(found, [0.5 * np.sqrt(2) / np.sqrt(2)], atol=1e-5)


def test_a_sentence_goes_on_as_it_does_word_by_word(forecasts):
    layout, size, past, ahead = Layout(2, 1, True), 9, 2, 8
    net = model(
        layout,
        box(1.0),
        size,
        past,
        goals=False,
        width=8,
        layers=1,
        heads=1,
        key=jr.key(0),
    )
    like = lambda x, k: jr.normal(jr.key(k), x.shape)
    parts = {"places": like(net.places, 1), "words": 3 * like(net.words, 2)}
    net = dataclasses.replace(net, heads=net.heads * SHARP, **parts)
    bins = Bins(jnp.tile(jnp.linspace(-1.0, 1.0, size + 1), (layout.size, 1)))
    draw = np.random.default_rng(0)
    obs, action, reward = (
        draw.uniform(-1, 1, shape).astype(np.float32)
        for shape in ((past, 2), (past + ahead - 1, 1), past)
    )
    draw = jax.jit(functools.partial(forecasts.continued, net, bins))
    found = draw(obs, action, reward, jr.key(2))

    goal = jnp.zeros(2, jnp.int32)
    words = lambda columns, x: bins.of(columns).encode(jnp.asarray(x)).tolist()
    pays = slice(3, 5)
    rows = [
        words(slice(2), o) + words(layout.acts, a) + words(pays, [r, np.inf])
        for o, a, r in zip(obs[:-1], action, reward, strict=False)
    ]
    likeliest = lambda text: int(net(jnp.array(text), goal)[-1, :-1].argmax())
    now = words(slice(2), obs[-1])
    for n in range(ahead):
        now += words(layout.acts, action[past - 1 + n])
        for _ in range(2):
            now.append(likeliest([*itertools.chain(*rows), *now]))
        rows, now = [*rows[1:], now], []
        for _ in range(2):
            now.append(likeliest([*itertools.chain(*rows), *now]))
        expected = bins.of(slice(2)).decode(jnp.array(now))
        np.testing.assert_allclose(found[n], expected, atol=1e-6)


def test_an_ensemble_foresees_what_is_a_sum(forecasts, monkeypatch):
    """Where every action is added to what is seen, errors stay small."""
    monkeypatch.setattr(forecasts, "UPDATES", 600)
    monkeypatch.setattr(forecasts, "WIDE", (32,))
    draw, episodes, steps = np.random.default_rng(0), 40, 20
    action = draw.uniform(-0.3, 0.3, (episodes, steps, 1)).astype(np.float32)
    obs = np.concatenate([np.zeros((episodes, 1, 1)), action.cumsum(axis=1)], axis=1)
    end = np.tile(np.arange(steps) == steps - 1, episodes)
    data = Dataset(
        Spec(box(10.0), box(0.3)),
        obs.reshape(-1, 1).astype(np.float32),
        action.reshape(-1, 1),
        np.zeros(len(end), np.float32),
        np.zeros_like(end),
        end,
        steps * np.arange(episodes + 1),
    )
    net = forecasts.ensemble(data, 0)
    told = jax.jit(jax.vmap(net.forecast, (None, None, None, 0)))
    draws = told(obs[0, :1], action[0], np.zeros(1), jr.split(jr.key(1), 8))
    assert draws.shape == (8, steps, 1)
    assert np.abs(draws.mean(axis=0) - obs[0, 1:]).max() < 0.1 * obs.std()


def test_the_page_shows_each_step_ahead(forecasts):
    """Welch for 2, 3, 4 less 0, 1, 2: 2 by four degrees of freedom, and an error of
    √(2/3), times 2.776 to each side."""
    rows = [
        {"dataset": "x", "model": name, "seed": seed, "error": [base + seed] * 50}
        for name, base in ((forecasts.TT, 2.0), (forecasts.ONE_STEP, 0.0))
        for seed in range(3)
    ]
    rows.append(
        {"dataset": "x", "model": forecasts.ORACLE, "seed": 0, "error": [0.5] * 50}
    )
    _, _, *lines = forecasts.table(rows)
    assert lines[0] == "| 1 | 0.500 | 3.000 | 1.000 | 2.000 [-0.267, 4.267] |"
    assert len(lines) == len(forecasts.SHOWN)
    forecasts.main(["--write"])
    assert forecasts.PAGE.read_text().count("Not run yet.") == len(forecasts.DATASETS)
