"""What every catalogued algorithm promises, by the checks of the library. A new line in
the catalogue is tested here without a new line here.
"""

import dataclasses
import functools as ft
import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from mistakes import GROUPS

from peira import algos
from peira.core import Discrete, Sample
from peira.evidence.conformance import CHECKS, examine, Subject
from peira.evidence.conformance.made_up import ENVS, experience
from peira.evidence.conformance.settings import SMALL


BLIND = {"tt": {"image-box"}}  # who reads no images
LONG = {"sweeping", "deciding"}
IN_SHORT = {"bc", "dqn", "dt", "iql", "ppo", "sac", "td3-bc"}
"""Of whom `make test` asks what takes long, too; `make learn` asks the others."""
each_algorithm = pytest.mark.parametrize("name", algos.catalogue)


def promises():
    """Every algorithm with every group of checks."""
    for name, group in itertools.product(algos.catalogue, GROUPS):
        later = group in LONG and name not in IN_SHORT
        yield pytest.param(name, group, marks=[pytest.mark.long] * later)


@ft.lru_cache(maxsize=1)
def subject(name):
    """One at a time: what is compiled for it takes hundreds of megabytes."""
    jax.clear_caches()
    return Subject(algos.get(name))


def test_a_key_used_twice_is_an_error():
    twice = jax.jit(lambda k: jr.normal(k) + jr.uniform(k))
    with pytest.raises(jax.errors.KeyReuseError):
        twice(jr.key(0))


def remembers(subject):
    """Whether its actors take anything from step to step."""
    algorithm, spec = subject.small, subject.problems[subject.main]
    begin = lambda key: algorithm.policy(algorithm.init(spec, key=key)).begin()
    return bool(jax.tree.leaves(jax.eval_shape(begin, jr.key(0))))


@pytest.mark.parametrize(("name", "group"), promises())
def test_keeps_its_promises(name, group):
    one = subject(name)
    checks = [check for check in CHECKS if check.name in GROUPS[group]]
    found = {f.check: f for f in examine(one, checks)}
    assert list(found) == list(GROUPS[group])
    assert not [f for f in found.values() if f.verdict == "fails"]
    left = {check for check, f in found.items() if f.verdict != "holds"}
    masked = Discrete in one.cls.serves
    tried = () if one.keeps else ("explores", *GROUPS["deciding"][:-1])
    idle = () if remembers(one) else ("memory",)
    expected = {*idle, *tried, *(() if masked else ("masks",))}
    assert left == expected & found.keys()
    refused = one.problems.keys() - one.working.keys()
    assert refused == BLIND.get(name, set())


@each_algorithm
def test_reports_values_and_surprises_and_is_compiled_once(name):
    one = subject(name)
    _, (batch, report) = one.history(1)
    if one.keeps:
        assert "value" in report.metrics
        assert isinstance(batch, Sample) == (report.surprise is not None)
    assert one.programs(one.main)[1]._cache_size() == 1


@each_algorithm
def test_a_time_limit_is_bootstrapped_through_and_a_death_is_not(name):
    """A world of one state that pays 1: worth 1 / (1 - γ) if a clock cuts every step,
    worth 1 if every step is the last; by the value that it reports."""
    quick = {
        "gamma": 0.5,
        "learning_rate": 0.02,
        "critic_rate": 0.02,
        "tau": 0.1,
        "alpha": 1e-6,
        "automatic": False,
        "anneal": False,
        "scale_rewards": False,
        "clip_rewards": False,
        "min_q_weight": 0.0,
    }
    one = subject(name)
    if not one.keeps:
        pytest.skip("it learns from a dataset only, and says nothing of values")
    algorithm, spec = one.sized({**SMALL, **quick}), one.problems[one.main]
    store = algorithm.store(spec)

    @jax.jit
    def worth(deadly, key):
        k_init, k_live, k_sample, k_update = jr.split(key, 4)
        state = algorithm.init(spec, key=k_init)
        steps = experience(algorithm, spec, state, key=k_live)
        same = jax.tree.map(lambda x: jnp.broadcast_to(x[:1, :1], x.shape), steps.obs)
        steps = dataclasses.replace(
            steps,
            obs=same,
            next_obs=same,
            reward=jnp.ones_like(steps.reward),
            terminated=jnp.full_like(steps.terminated, deadly),
            truncated=jnp.full_like(steps.truncated, ~deadly),
        )
        kept = store.init(jax.tree.map(lambda x: x[0, 0], steps), envs=ENVS)
        batch = store.sample(store.add(kept, steps), key=k_sample)
        learn = lambda s, k: algorithm.update(s, batch, key=k)
        return jax.lax.scan(learn, state, jr.split(k_update, 400))[1].metrics["value"]

    assert worth(False, jr.key(0))[-1] == pytest.approx(2.0, abs=0.1)
    assert worth(True, jr.key(0))[-1] == pytest.approx(1.0, abs=0.1)
