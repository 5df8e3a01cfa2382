"""What is dealt from a dataset: every step as likely, windows whole, the best episodes;
and on the host the very same as on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from episodes import IMAGE, made, REACH, VECTOR
from scipy.stats import chisquare

from peira.core import BadConfig, Discrete, MultiDiscrete, Report
from peira.data import (
    Deal,
    dealt,
    Prioritised,
    Queue,
    Queued,
    Replay,
    Rollout,
    sketch,
)
from peira.data.deal import best


def with_rewards(data, *rewards):
    """The same episodes, with these returns."""
    last = np.zeros(data.steps, np.float32)
    last[data.starts[1:] - 1] = rewards
    return dataclasses.replace(data, reward=last)


class TestDraw:
    @pytest.mark.parametrize("window", [None, 1, 4])
    def test_every_beginning_is_as_likely(self, window, key):
        """Also the last, from which a window just fits."""
        deal, steps = Deal(batch=20_000, window=window), 23
        step = np.asarray(deal.draw(steps, key=key).step)
        first = step if window is None else step[:, 0]
        starts = steps - (window or 1) + 1
        counts = np.bincount(first, minlength=starts)
        assert len(counts) == starts
        assert chisquare(counts).pvalue > 1e-3

    def test_a_window_is_steps_in_order(self, key):
        step = np.asarray(Deal(batch=50, window=4).draw(23, key=key).step)
        assert step.shape == (50, 4)
        assert (np.diff(step, axis=1) == 1).all()

    def test_draws_do_not_depend_on_each_other(self, key):
        deal = Deal(batch=2)
        pairs = jax.vmap(lambda k: deal.draw(5, key=k).step)(jr.split(key, 20_000))
        counts = np.zeros((5, 5))
        np.add.at(counts, tuple(np.asarray(pairs).T), 1)
        assert chisquare(counts.ravel()).pvalue > 1e-3


class TestDeal:
    @pytest.mark.parametrize("window", [None, 3])
    @pytest.mark.parametrize("obs", [VECTOR, {"a": IMAGE, "b": (Discrete(3),)}])
    def test_what_is_dealt_is_what_was_drawn(self, obs, window, key):
        data = made(obs, Discrete(4), masked=True)
        deal = Deal(batch=7, window=window)
        kept = deal.shelve(data)
        batch = deal.sample(kept, key=key)
        step = np.asarray(deal.draw(data.steps, key=jr.clone(key)).step)
        for x, y in zip(
            *map(jax.tree.leaves, (batch.steps, data.gather(step))), strict=True
        ):
            assert (np.asarray(x) == y).all()
        assert (
            np.asarray(batch.index) == (step if window is None else step[:, 0])
        ).all()
        assert (np.asarray(batch.weight) == 1).all()

    def test_on_the_device_as_on_the_host(self, key):
        data, deal = made({"a": IMAGE, "b": VECTOR}), Deal(batch=7, window=2)
        host = deal.shelve(data)
        device = jax.jit(lambda s: deal.sample(s, key=jr.clone(key)))(
            jax.device_put(host)
        )
        drawn = jax.device_get(deal.draw(host.steps, key=jr.clone(key)))
        looked_up = deal.lookup(host, drawn)
        for x, y in zip(*map(jax.tree.leaves, (device, looked_up)), strict=True):
            assert x.dtype == y.dtype
            assert (np.asarray(x) == np.asarray(y)).all()

    def test_many_updates_are_looked_up_together(self, key):
        data, deal = made(), Deal(batch=4, window=2)
        kept = deal.shelve(data)
        keys = jr.split(key, 3)
        drawn = jax.device_get(jax.vmap(lambda k: deal.draw(kept.steps, key=k))(keys))
        queue = Queue(deal.lookup(kept, drawn), jnp.array(0))
        for k in keys:
            one = deal.sample(kept, key=jr.clone(k))
            next_one = Queued().sample(queue, key=jr.clone(k))
            for x, y in zip(*map(jax.tree.leaves, (one, next_one)), strict=True):
                assert (np.asarray(x) == np.asarray(y)).all()
            queue = Queued().heed(queue, next_one, Report({}))

    def test_a_window_must_fit(self):
        data = made(lengths=(3,))
        Deal(window=3).shelve(data)
        with pytest.raises(BadConfig, match="3 steps is too small for windows of 4"):
            Deal(window=4).shelve(data)

    @pytest.mark.parametrize("top", [0.0, -0.1, 1.5])
    def test_shares_are_shares(self, top):
        with pytest.raises(BadConfig, match=r"Deal\.top"):
            Deal(top=top)


class TestBest:
    DATA = with_rewards(made(lengths=(3, 1, 5, 2)), 1.0, 7.0, 5.0, 3.0)

    @pytest.mark.parametrize(
        ("share", "lengths"),
        [(0.01, [1]), (0.25, [1]), (0.5, [1, 5]), (0.75, [1, 5, 2]), (1, [3, 1, 5, 2])],
    )
    def test_those_with_the_highest_returns_in_their_order(self, share, lengths):
        assert best(self.DATA, share).lengths.tolist() == lengths

    def test_of_equals_the_first(self):
        data = with_rewards(made(lengths=(3, 1, 5, 2)), 2.0, 2.0, 2.0, 2.0)
        assert best(data, 0.5).lengths.tolist() == [3, 1]

    def test_no_other_step_is_dealt(self, key):
        deal = Deal(batch=200, top=0.25)
        kept = deal.shelve(self.DATA)
        assert kept.steps == 1
        assert (np.asarray(deal.sample(kept, key=key).steps.reward) == 7).all()


class TestDealt:
    def test_a_replay_lends_its_batch_and_window(self):
        assert dealt(Replay(batch=5, window=3)) == Deal(5, 3)
        assert dealt(Prioritised(Replay(batch=6))) == Deal(6, None)
        assert dealt(Deal(7, top=0.1)) == Deal(7, top=0.1)

    def test_what_is_used_once_is_not_dealt(self):
        with pytest.raises(BadConfig, match="leave out --data"):
            dealt(Rollout(8))


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize(
    ("obs", "action", "masked"),
    [
        (VECTOR, REACH, False),
        ({"a": IMAGE, "b": Discrete(3)}, Discrete(4), True),
        (VECTOR, MultiDiscrete((2, 3)), True),
    ],
)
def test_a_sketch_has_the_shapes_of_the_thing(obs, action, masked, window):
    data, deal = made(obs, action, masked=masked), Deal(batch=4, window=window)
    form = lambda kept: jax.eval_shape(lambda k: deal.sample(k, key=jr.key(0)), kept)
    thing, drawing = deal.shelve(data), sketch(data.spec, deal)
    assert jax.tree.structure(form(thing)) == jax.tree.structure(form(drawing))
    for x, y in zip(*map(jax.tree.leaves, (form(thing), form(drawing))), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
