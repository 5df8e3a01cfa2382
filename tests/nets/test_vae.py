"""The VAE, and a network with hidden units dropped."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import Box, Discrete
from peira.nets import dropped, MLP, VAE


NUMBERS = Box(np.full(3, -2, np.float32), np.full(3, 2, np.float32))


def test_a_latent_is_read_and_decoded_where_it_was_seen():
    vae = VAE({"a": NUMBERS, "b": Discrete(2)}, 2, 5, (8,), key=jr.key(0))
    assert vae.latent == 5
    obs = {"a": jnp.ones(3), "b": jnp.array(1)}
    mean, std = vae.encode(obs, jnp.array([0.1, -0.2]))
    assert mean.shape == std.shape == (5,)
    assert (std > 0).all()
    action, other = vae.decode(obs, mean), vae.decode(obs | {"b": jnp.array(0)}, mean)
    assert action.shape == (2,)
    assert not np.allclose(action, other)


@pytest.mark.parametrize(("x", "least", "most"), [(1e3, -4, 15), (-1e3, -4, 15)])
def test_the_latent_is_never_certain_nor_boundless(x, least, most):
    vae = VAE(NUMBERS, 1, 2, (), key=jr.key(0))
    _, std = vae.encode(jnp.full(3, x), jnp.zeros(1))
    log_std = np.log(std)
    assert (log_std >= least - 1e-4).all()
    assert (log_std <= most + 1e-4).all()


def test_nothing_dropped_is_the_network_itself():
    net, x = MLP([3, 6, 6, 2], key=jr.key(0), layer_norm=True), jnp.arange(3.0)
    found = dropped(net, x, rate=0.0, key=jr.key(1))
    np.testing.assert_allclose(found, net(x), rtol=1e-6)


def test_what_is_kept_makes_up_for_what_is_dropped():
    """One hidden layer: the mean over masks is the network, each pass is another."""
    net, x = MLP([3, 64, 1], key=jr.key(0)), jnp.array([0.5, -1.0, 2.0])
    one = lambda k: dropped(net, x, rate=0.4, key=k)[0]
    passes = jax.vmap(one)(jr.split(jr.key(2), 4000))
    assert len(np.unique(passes)) > 3900
    assert passes.mean() == pytest.approx(
        float(net(x)[0]), abs=4 * float(passes.std()) / np.sqrt(4000)
    )
    hidden = np.maximum(net.layers[0](x), 0) * net.layers[1].weight[:, 0]
    wanted = np.sqrt((hidden**2).sum() * 0.4 / 0.6)  # of a Bernoulli over its mean
    assert passes.std() == pytest.approx(wanted, rel=0.1)
