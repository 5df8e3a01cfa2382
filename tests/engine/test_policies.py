"""Policies on disk: the same actions after loading, and nothing else from a file."""

import contextlib
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from peira import algos
from peira.algos.online.dqn import DQN
from peira.algos.online.ppo import PPO
from peira.algos.online.sac import SAC
from peira.core import (
    Box,
    Discrete,
    MultiDiscrete,
    PeiraError,
    RunFault,
    Spec,
    TimeStep,
)
from peira.core.spaces import zeros
from peira.engine import arrays
from peira.engine.policies import load_policy, save_policy


side = np.full(3, 1, np.float32)
OBS = {"a": Box(-side, side), "b": (Box(side[:2] * -np.inf, side[:2] * np.inf),)}
CASES = {
    "ppo": (PPO(hidden=(4,)), Spec(OBS, MultiDiscrete((2, 3)))),
    "sac": (SAC(hidden=(4, 5), target_entropy=-1.5), Spec(OBS, Box(-side, 2 * side))),
    "dqn": (DQN(hidden=(3,)), Spec(Box(-side, side), Discrete(4), masked=True)),
}


def saved(folder, name):
    algorithm, spec = CASES[name]
    policy = algorithm.policy(algorithm.init(spec, key=jr.key(1)))
    save_policy(
        folder, policy, algorithm=algorithm, name=name, spec=spec, meta={"step": 9}
    )
    return policy


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_policy_acts_as_the_saved_one_bit_for_bit(tmp_path, name):
    policy = saved(tmp_path / "policy", name)
    algorithm, spec = CASES[name]
    loaded = load_policy(tmp_path / "policy", algos.get)
    assert loaded[1:] == (algorithm, name, spec, {"step": 9})
    legal = jnp.array([True, False, True, False]) if spec.masked else None
    obs = jax.tree.map(jnp.asarray, zeros(spec.obs))
    t = TimeStep(obs, jnp.array(0.0), jnp.array(True), legal)

    @eqx.filter_jit
    def act(policy, key, explore):
        return policy(policy.begin(), t, key=key, explore=explore)[0]

    for explore in (False, True):
        for key in jr.split(jr.key(2), 3):
            pair = [act(p, jr.clone(key), explore) for p in (policy, loaded.policy)]
            assert jax.tree.all(jax.tree.map(np.array_equal, *pair))


def test_a_policy_replaces_the_one_before(tmp_path):
    saved(tmp_path / "policy", "sac")
    saved(tmp_path / "policy", "dqn")
    assert load_policy(tmp_path / "policy", algos.get).name == "dqn"
    assert [p.name for p in tmp_path.iterdir()] == ["policy"]


def rewrite(folder, change) -> None:
    """Alter the JSON as an attacker would, who signs it."""
    path = folder / "policy.json"
    about = json.loads(path.read_text())
    change(about)
    about.pop("sha256", None)
    about["sha256"] = arrays.checksum(folder / "policy.safetensors", about)
    path.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.update(format=99), "newer Peira"),
        (lambda a: a.update(version=99), "version 99 of sac"),
        (lambda a: a.update(algorithm="sca"), "unknown algorithm 'sca'.*sac"),
        (lambda a: a["hyper"].update(tua=0.1), "unknown field of SAC 'tua'.*tau"),
        (lambda a: a["hyper"].update(tau="x"), r"SAC.tau = 'x': must be float"),
        (lambda a: a["hyper"].update(tau=2), r"SAC.tau = 2.0: must lie in \[0, 1\]"),
        (lambda a: a["hyper"].update(hidden=[4, 6]), r"is float32.*should be float32"),
        (lambda a: a["hyper"].update(hidden=[4]), "too many|lacks"),
        (lambda a: a["action"].update(space="Torus"), "not a space"),
        (lambda a: a["action"].update(shape=[10**9]), "too large|describe"),
        (lambda a: a.pop("obs"), "does not describe a policy"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, change, said):
    saved(tmp_path / "policy", "sac")
    rewrite(tmp_path / "policy", change)
    with pytest.raises(RunFault, match=said) as caught:
        load_policy(tmp_path / "policy", algos.get)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_or_damaged_is_one_line(tmp_path):
    with pytest.raises(RunFault, match=r"there is no policy.json"):
        load_policy(tmp_path / "policy", algos.get)
    saved(tmp_path / "policy", "dqn")
    file = tmp_path / "policy" / "policy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(RunFault, match="checksum"):
        load_policy(tmp_path / "policy", algos.get)


def places(value, path=()):
    """The path to everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for k, v in items:
            yield from places(v, (*path, k))


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-2, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("mangled") / "policy"
    saved(place, "dqn")
    return place


@settings(max_examples=80)
@given(data=st.data())
def test_mangled_json_is_never_more_than_an_error_of_ours(folder, data):
    path = folder / "policy.json"
    whole = path.read_text()

    def mangle(about):
        *way, last = data.draw(st.sampled_from([p for p in places(about) if p]))
        for step in way:
            about = about[step]
        about[last] = data.draw(junk)

    rewrite(folder, mangle)
    with contextlib.suppress(PeiraError):
        load_policy(folder, algos.get)
    path.write_text(whole)
