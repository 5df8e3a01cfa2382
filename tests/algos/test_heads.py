"""Two right answers: what each head of BC makes of them."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from tiny_data import all_of, box, dataset, fit, shown

from peira.algos.offline.bc import BC
from peira.core import Spec, TimeStep


HERE = jnp.ones(1)


def crossroads(ways, counts, noise=0.0):
    """One state in which these actions were done so often, more or less."""
    spec = Spec(box(-1, 1, 1), box(-1, 1, len(ways[0])))
    did = np.repeat(np.array(ways, float), counts, axis=0)
    did = did + noise * np.random.default_rng(0).normal(size=did.shape)
    return dataset(spec, [(np.ones((2, 1)), [a], [0], True) for a in did])


def cloned(data, head, **fields):
    """What is learned of all of it, and actions drawn from that."""
    how = {"hidden": (), "learning_rate": 0.05, "standardise": False, **fields}
    algorithm = BC(head=head, **how)
    state = fit(algorithm, data, 400, batch=all_of(algorithm, data))
    draw = jax.jit(jax.vmap(lambda k: state.net.net(HERE).sample(key=k)))
    return algorithm, state, np.asarray(draw(jr.split(jr.key(0), 2000)))


def test_a_squared_error_averages_two_ways_and_a_normal_covers_them():
    data = crossroads([(1,), (-1,)], (5, 5))
    _, _, draws = cloned(data, "deterministic")
    assert draws == pytest.approx(0, abs=0.01)
    _, _, draws = cloned(data, "gaussian")
    assert (abs(draws) < 0.5).mean() > 0.3  # between the ways is the likeliest


@pytest.mark.parametrize(
    ("head", "fields"), [("mixture", {"modes": 3}), ("binned", {"bins": 5})]
)
def test_mixture_and_bins_keep_both_ways(head, fields):
    """With how often each was gone, and which goes with which: two entries, always
    alike."""
    data = crossroads([(0.5, 0.5), (-0.5, -0.5)], (35, 15), noise=0.05)
    algorithm, state, draws = cloned(data, head, **fields)
    assert (abs(abs(draws) - 0.5) < 0.2).mean() > 0.99
    assert (np.sign(draws[:, 0]) == np.sign(draws[:, 1])).mean() > 0.99
    assert (draws[:, 0] > 0).mean() == pytest.approx(0.7, abs=0.05)
    np.testing.assert_allclose(shown(algorithm, state, HERE[None])[0], 0.5, atol=0.05)


def test_exploring_draws_and_showing_does_not():
    data = crossroads([(1,), (-1,)], (6, 4))
    algorithm, state, _ = cloned(data, "binned", bins=3)
    policy = algorithm.policy(state)
    t = TimeStep(HERE, jnp.zeros(()), jnp.array(True))

    @jax.jit
    @jax.vmap
    def act(key):
        one = lambda explore: policy((), t, key=key, explore=explore)[0]
        with jax.debug_key_reuse(False):
            return one(True), one(False)

    explored, showed = act(jr.split(jr.key(0), 500))
    assert (np.asarray(explored) > 0).mean() == pytest.approx(0.6, abs=0.1)
    assert np.asarray(showed).min() == 1
