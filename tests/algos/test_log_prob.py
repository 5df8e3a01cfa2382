"""What policies say of how likely they are to do something, against what they do."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import box

from peira.algos.online.dqn import DQN
from peira.algos.online.ppo import PPO
from peira.algos.online.sac import SAC
from peira.algos.online.sac_discrete import DiscreteSAC
from peira.core import Discrete, Spec, TimeStep
from peira.evidence.ope import Likely
from peira.evidence.ope.likelihood import density
from peira.ops import Standard, Standardised


SEEN = TimeStep(jnp.array([0.3, -1.0, 0.7]), jnp.array(0.0), jnp.array(False))
MASKED = dataclasses.replace(SEEN, legal=jnp.array([True, False, True, True]))


def learner(algorithm, action, masked=False, by=30):
    """A policy that has opinions: its weights are made larger."""
    spec = Spec(box(-2, 2, 3), action, masked)
    policy = algorithm.policy(algorithm.init(spec, key=jr.key(0)))
    louder = lambda x: by * x if eqx.is_inexact_array(x) and x.ndim == 2 else x
    policy = jax.tree.map(louder, policy)
    if hasattr(policy, "untrained"):
        policy = eqx.tree_at(lambda p: p.untrained, policy, jnp.array(False))
    return policy


@pytest.mark.parametrize("t", [SEEN, MASKED], ids=["free", "masked"])
@pytest.mark.parametrize("algorithm", [PPO, DQN, DiscreteSAC])
def test_choices(algorithm, t):
    policy = learner(algorithm(hidden=(8,)), Discrete(4), t.legal is not None)
    if algorithm is DQN:
        policy = eqx.tree_at(lambda p: p.epsilon, policy, jnp.array(0.4))
    assert isinstance(policy, Likely)
    chance = np.exp([policy.log_prob(t, jnp.array(a)) for a in range(4)])
    assert chance.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(chance) > 0.1
    if t.legal is not None:
        assert chance[1] < 1e-6
    draw = jax.jit(jax.vmap(lambda k: policy((), t, key=k, explore=True)[0]))
    often = np.bincount(draw(jr.split(jr.key(1), 4_000)), minlength=4) / 4_000
    np.testing.assert_allclose(often, chance, atol=0.035)


@pytest.mark.parametrize("untrained", [False, True])
def test_a_squashed_normal_in_units_of_the_action(untrained):
    """The density integrates to one over the bounds, and is where the actions are."""
    policy = learner(SAC(hidden=(8,)), box(-1, 3, 1), by=1.5)
    policy = eqx.tree_at(lambda p: p.untrained, policy, jnp.array(untrained))
    grid = np.linspace(-1, 3, 20_001)
    middle = jnp.asarray((grid[1:] + grid[:-1]) / 2, jnp.float32)
    say = jax.jit(jax.vmap(lambda a: jnp.exp(policy.log_prob(SEEN, a[None]))))
    share = np.asarray(say(middle), np.float64) * np.diff(grid)
    assert share.sum() == pytest.approx(1, abs=5e-3)
    draw = jax.jit(jax.vmap(lambda k: policy((), SEEN, key=k, explore=True)[0][0]))
    drawn = np.sort(draw(jr.split(jr.key(1), 4_000)))
    up_to = np.interp(drawn, grid[1:], np.cumsum(share))
    assert np.abs(up_to - np.arange(4_000) / 4_000).max() < 0.035


def test_what_is_clipped_has_no_density():
    policy = learner(PPO(hidden=(8,)), box(-1, 3, 1))
    assert policy.log_prob(SEEN, jnp.zeros(1)) is None
    assert density(policy, SEEN, jnp.zeros(1), explore=True) is None


def test_a_policy_that_sees_scaled_observations():
    policy = learner(PPO(hidden=(8,)), Discrete(4))
    standard = Standard((jnp.ones(3),), (2 * jnp.ones(3),))
    scaled = dataclasses.replace(SEEN, obs=(SEEN.obs - 1) / 2)
    said = density(Standardised(policy, standard), SEEN, jnp.array(2), explore=True)
    assert said == pytest.approx(float(jnp.exp(policy.log_prob(scaled, jnp.array(2)))))
    other = density(policy, SEEN, jnp.array(2), explore=True)
    assert abs(said - other) > 1e-3
