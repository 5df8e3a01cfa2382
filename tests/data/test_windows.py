"""Windows within an episode: every step as likely to begin one, padded in front where
the episode ends early, with what was to come and how late it was."""

import dataclasses

import jax
import jax.random as jr
import numpy as np
import pytest
from episodes import IMAGE, made, VECTOR
from scipy.stats import chisquare

from peira.core import BadConfig, Discrete
from peira.data import Deal, sketch


LENGTHS = (3, 1, 5, 2)


def dealt_by_hand(data, first, window):
    """One window, step by step: the steps in it, and which of them are real."""
    last = data.starts[data.starts > first].min()
    real = list(range(first, min(first + window, last)))
    missing = window - len(real)
    return [first] * missing + real, [0] * missing + [1] * len(real)


@pytest.mark.parametrize("window", [1, 2, 4, 8])
def test_windows_end_with_their_episode(window):
    data = made({"a": VECTOR, "b": IMAGE}, Discrete(4), LENGTHS, masked=True)
    deal = Deal(400, window, hindsight="return", within=True)
    kept = deal.shelve(data)
    batch = deal.lookup(kept, jax.device_get(deal.draw(kept.steps, key=jr.key(0))))
    pairs = [dealt_by_hand(data, first, window) for first in batch.index[:, 0]]
    step, weight = (np.array(x) for x in zip(*pairs, strict=True))
    np.testing.assert_array_equal(batch.weight, weight)
    np.testing.assert_array_equal(batch.index, step)
    plain = dataclasses.replace(batch.steps, extras=())
    for x, y in zip(*map(jax.tree.leaves, (plain, data.gather(step))), strict=True):
        np.testing.assert_array_equal(x, y)
    for e in range(data.episodes):
        span = slice(data.starts[e], data.starts[e + 1])
        for i, t in enumerate(range(span.start, span.stop)):
            here = step == t
            assert (batch.steps.extras.time[here] == i).all()
            wanted = data.reward[t : span.stop].sum()
            np.testing.assert_allclose(
                batch.steps.extras.to_go[here], wanted, rtol=1e-5, atol=1e-6
            )


def test_every_step_is_as_likely_to_begin_one():
    deal = Deal(20_000, 4, within=True)
    step = np.asarray(deal.draw(sum(LENGTHS), key=jr.key(0)).step)[:, 0]
    counts = np.bincount(step, minlength=sum(LENGTHS))
    assert len(counts) == sum(LENGTHS)
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("hindsight", ["none", "goal", "return"])
def test_on_the_device_as_on_the_host(hindsight):
    """Also many updates at once; goals lie in the same episode."""
    data, many = made(lengths=LENGTHS), 3
    deal = Deal(64, 4, hindsight=hindsight, within=True)
    host = deal.shelve(data)
    keys = lambda: jr.split(jr.key(1), many)
    drawn = jax.device_get(jax.vmap(lambda k: deal.draw(host.steps, key=k))(keys()))
    ours = deal.lookup(host, drawn)
    sample = jax.jit(lambda kept, k: deal.sample(kept, key=k))
    for i in range(many):
        theirs = sample(jax.device_put(host), keys()[i])
        mine = jax.tree.map(lambda x, i=i: x[i], ours)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_a_dataset_shorter_than_a_window_is_dealt():
    deal = Deal(5, 9, within=True)
    batch = deal.sample(deal.shelve(made(lengths=(2,))), key=jr.key(0))
    assert set(np.asarray(batch.weight).sum(axis=1)) <= {1.0, 2.0}


def test_the_best_episodes_have_their_own_ends():
    data = made(lengths=LENGTHS)
    deal = Deal(100, 4, top=0.25, hindsight="return", within=True)
    kept = deal.shelve(data)
    best = int(data.returns().argmax())
    assert kept.steps == LENGTHS[best]
    batch = deal.sample(kept, key=jr.key(0))
    assert batch.steps.extras.to_go.max() == pytest.approx(
        max(np.cumsum(kept.reward[::-1])), rel=1e-5
    )


@pytest.mark.parametrize("window", [None, 3])
def test_a_sketch_has_the_shapes_of_what_is_dealt(window):
    data = made(lengths=LENGTHS)
    deal = Deal(4, window, hindsight="return", within=window is not None)
    form = lambda kept: jax.eval_shape(lambda k: deal.sample(k, key=jr.key(0)), kept)
    assert form(deal.shelve(data)) == form(sketch(data.spec, deal))


def test_a_window_within_an_episode_has_a_length():
    with pytest.raises(BadConfig, match="how long a window is"):
        Deal(4, within=True)


def around_by_hand(data, drawn, window, before):
    """One window, step by step: the nearest step of the same episode, and which are
    real."""
    e = data.episode[drawn]
    span = range(data.starts[e], data.starts[e + 1])
    wanted = range(drawn - before, drawn - before + window)
    return [min(max(t, span[0]), span[-1]) for t in wanted], [t in span for t in wanted]


@pytest.mark.parametrize(("window", "before"), [(1, 0), (3, 1), (4, 3), (8, 2), (2, 5)])
def test_windows_around_a_step_stay_in_its_episode(window, before):
    data = made({"a": VECTOR, "b": IMAGE}, Discrete(4), LENGTHS, masked=True)
    deal = Deal(400, window, before=before)
    kept = deal.shelve(data)
    drawn = jax.device_get(deal.draw(kept.steps, key=jr.key(0)))
    batch = deal.lookup(kept, drawn)
    assert set(drawn.step[:, 0]) == set(range(data.steps))
    pairs = [around_by_hand(data, t, window, before) for t in drawn.step[:, 0]]
    step, real = (np.array(x) for x in zip(*pairs, strict=True))
    np.testing.assert_array_equal(batch.index, step)
    np.testing.assert_array_equal(batch.weight, real)
    for x, y in zip(
        *map(jax.tree.leaves, (batch.steps, data.gather(step))), strict=True
    ):
        np.testing.assert_array_equal(x, y)
    on_device = jax.jit(lambda k, d: deal.lookup(k, d))(jax.device_put(kept), drawn)
    for x, y in zip(*map(jax.tree.leaves, (batch, on_device)), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_windows_around_a_step_need_a_length_and_no_other_end():
    with pytest.raises(BadConfig, match=r"Deal.before = 0: say how long"):
        Deal(5, before=0)
    with pytest.raises(BadConfig, match="windows that reach back"):
        Deal(5, 3, within=True, before=0)
