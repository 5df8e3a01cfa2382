"""Policies that leave home: what they are functions of, how an export is held against
them, and that what leaves as StableHLO or for NumPy acts as they do."""

import json
import sys

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from leaving import CHOICES, GRID, lively, memory, Says, SKEWED
from tiny import Walk, Wanderer

from peira.core import (
    Box,
    Discrete,
    ExportFault,
    MultiDiscrete,
    Policy,
    Spec,
    TimeStep,
)
from peira.engine.export import parity, stablehlo
from peira.engine.export.greedy import greedy, Port, together
from peira.engine.export.numpy_policy import NumpyPolicy
from peira.engine.export.parity import compare, draw, drawn, masks
from peira.engine.export.seen import ENVS, seen, STEPS
from peira.engine.policies import save_policy
from peira.envs import make
from peira.evidence.conformance.made_up import box, MIXED, PROBLEMS


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few observations are enough here."""
    monkeypatch.setattr(parity, "ROWS", 32)
    monkeypatch.setattr(parity, "STEPS", 3)


# What a policy is a function of


def test_inputs_have_the_paths_of_the_spaces_as_names():
    policy = greedy(lively("ppo", CHOICES)[0], CHOICES)
    assert list(map(str, policy.inputs)) == [
        "obs.a float32[batch, 2]",
        "obs.b.0 int32[batch]",
        "obs.b.1 int32[batch, 2]",
        "obs.b.2 int8[batch, 2]",
    ]
    assert list(map(str, policy.outputs)) == ["action int32[batch, 2]"]
    assert policy.begin == {}


def test_a_mask_is_an_input():
    spec = Spec(box(-1, 1, 3), MultiDiscrete((2, 3)), masked=True)
    policy = greedy(lively("ppo", spec)[0], spec)
    assert policy.inputs[1] == Port("legal", (5,), "bool")


def test_reward_and_first_are_inputs_where_the_policy_looks_at_them():
    policy = greedy(memory(), SKEWED)
    names = [p.name for p in policy.inputs]
    assert names == ["obs", "reward", "first", "carry.h", "carry.steps"]
    outputs = [p.name for p in policy.outputs]
    assert outputs == ["action", "next_carry.h", "next_carry.steps"]
    assert policy.begin["carry.steps"] == 3
    assert np.array_equal(policy.begin["carry.h"], memory().start)


def test_what_draws_at_random_has_no_greedy_action():
    with pytest.raises(ExportFault, match="draws at random"):
        greedy(Wanderer(jnp.array(0.0)), Walk().spec)


def test_what_carries_a_key_is_refused():
    class Keyed(Policy):
        def begin(self):
            return {"key": jr.key(0)}

        def __call__(self, carry, t, *, key, explore):
            return t.obs, carry, ()

    with pytest.raises(ExportFault, match=r"random key \(carry.key\)"):
        greedy(Keyed(), GRID)


def test_paths_that_cannot_be_told_apart_are_refused():
    spec = Spec({"a.b": box(-1, 1, 2), "a": {"b": box(-1, 1, 2)}}, Discrete(2))
    with pytest.raises(ExportFault, match="same path"):
        greedy(lively("dqn", spec)[0], spec)


# How an export is held against its policy


def faithful(policy):
    """What was exported is the policy itself."""
    call = jax.jit(policy)
    return lambda inputs: {k: np.asarray(x) for k, x in call(inputs).items()}


def altered(policy, name, change, when=lambda inputs: True):
    """What was exported differs in one output."""
    run = faithful(policy)

    def other(inputs):
        made = run(inputs)
        return made | ({name: change(made[name])} if when(inputs) else {})

    return other


REAL = greedy(memory(), SKEWED)
ROW = lambda inputs: len(inputs["obs"]) == 1
LATER = lambda inputs: inputs["carry.steps"].max() > 4
CHANGES = {
    "error": (
        "action",
        lambda x: x + np.float32(2e-4),
        None,
        "by 0.0001, more than",
    ),
    "carry": ("next_carry.h", lambda x: x * 1.001, None, "differs by"),
    "count": ("next_carry.steps", lambda x: x + 1, None, "otherwise on 32 of 32"),
    "nan": ("action", lambda x: x * np.float32(np.nan), None, "differs by inf"),
    "alone": ("action", lambda x: x + np.float32(1e-3), ROW, "differs by"),
    "later": ("action", lambda x: x + np.float32(1e-3), LATER, "differs by"),
    "batch": ("action", lambda x: x[:, :1], None, r"float32\[32, 1\], not float32\[32"),
    "dtype": ("action", lambda x: x.astype(np.float64), None, "as float64"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_export_that_acts_otherwise_is_refused(change):
    name, alter, when, said = CHANGES[change]
    run = altered(REAL, name, alter, when or (lambda inputs: True))
    with pytest.raises(ExportFault, match=said):
        compare(REAL, run, (), tolerance=1e-5)


def test_what_is_within_the_tolerance_passes_and_is_told():
    slightly = altered(REAL, "action", lambda x: x + np.float32(9e-6))
    found = compare(REAL, slightly, (), tolerance=1e-5)
    assert (found.drawn, found.recorded, found.ties) == (96, 0, 0)
    assert found.error == pytest.approx(9e-6 / 2, rel=0.1)  # the first bound is 2
    assert compare(REAL, faithful(REAL), (), tolerance=1e-5).error < 1e-6


def test_what_was_recorded_counts_as_well():
    t = next(drawn(SKEWED))
    later = TimeStep(t.obs + 100, t.reward, t.first)
    far = lambda inputs: inputs["obs"].max() > 50
    run = altered(REAL, "action", lambda x: -x, far)
    assert compare(REAL, run, (), tolerance=1e-5).recorded == 0
    with pytest.raises(ExportFault, match="differs"):
        compare(REAL, run, [later], tolerance=1e-5)
    assert compare(REAL, faithful(REAL), [later] * 2, tolerance=1e-5).recorded == 64


def test_a_policy_that_is_not_finite_is_refused():
    policy = greedy(Says(lambda x: jnp.log(x[0] - 2)), GRID)
    with pytest.raises(ExportFault, match="action that is not finite"):
        compare(policy, faithful(policy), (), tolerance=1e-5)


def test_only_where_two_are_as_good_may_the_choice_be_another():
    """The second choice is as good as the first (5e-6 worse) wherever the observation
    is above zero, and the best elsewhere."""
    spec = Spec(box(-1, 1, 1), Discrete(3))
    values = lambda x: jnp.stack([x[0], jnp.maximum(x[0], 0.0) - 5e-6, x[0] - 1])
    policy = greedy(Says(lambda x: values(x).argmax().astype(jnp.int32)), spec)
    always = lambda i: lambda inputs: {"action": np.full(len(inputs["obs"]), i, "i4")}
    obs = np.concatenate([t.obs for t in drawn(spec)])
    assert compare(policy, always(1), (), tolerance=1e-5).ties == (obs > 0).sum() > 0
    with pytest.raises(ExportFault, match="otherwise on"):
        compare(policy, always(1), (), tolerance=1e-6)
    with pytest.raises(ExportFault, match="otherwise on"):
        compare(policy, always(2), (), tolerance=1e-5)


def test_observations_are_drawn_from_the_whole_of_their_spaces():
    rng, n = np.random.default_rng(0), 4_000
    side = np.array([1, np.inf, 5e3], np.float32)
    x = draw(Box(np.array([-3, -np.inf, 0], np.float32), side), rng, n)
    assert (x.dtype, x.shape) == (np.float32, (n, 3))
    assert (x[:, 0].min(), x[:, 0].max()) == pytest.approx((-3, 1), abs=0.01)
    assert np.abs(x[:, 1]).max() > 10 > 0.1 > np.abs(x[:, 1]).min()
    assert x[:, 2].min() >= 0
    pixels = draw(box(0, 255, 2, 2, 1, dtype=np.uint8), rng, n)
    assert pixels.dtype == np.uint8
    assert np.unique(pixels).size == 256
    pairs = draw(MultiDiscrete((2, 3)), rng, n)
    assert {tuple(map(int, p)) for p in pairs} == {
        (i, j) for i in range(2) for j in range(3)
    }


def test_of_every_choice_something_is_legal():
    legal = masks(MultiDiscrete((2, 3)), np.random.default_rng(0), 500)
    assert legal.dtype == bool
    assert legal[:, :2].any(axis=1).all()
    assert legal[:, 2:].any(axis=1).all()
    assert 0.2 < legal.mean() < 0.8


@pytest.mark.parametrize("backend", ["jax", "gymnasium"])
def test_what_a_policy_sees_is_what_its_environment_shows(backend):
    """Push the cart to the right: always the same fall, then another episode."""
    world = make("CartPole-v1", envs=ENVS, backend=backend)
    policy = Says(lambda obs: jnp.array(1))
    steps = list(seen(policy, world))
    assert len(steps) == STEPS
    first = np.stack([t.first for t in steps])
    obs = np.stack([t.obs for t in steps])
    assert first[0].all()
    assert (first.sum(axis=0) > 5).all()  # it falls within twenty steps
    assert np.abs(obs[first]).max() <= 0.05  # where CartPole begins
    assert (np.diff(obs[:, :, 1], axis=0)[~first[1:]] > 0).all()  # ever faster


# StableHLO


def test_stablehlo_is_run_by_jax_alone(tmp_path):
    """A policy with memory, over an episode's opening, step by step."""
    file = tmp_path / "policy.stablehlo"
    file.write_bytes(stablehlo.program(REAL))
    exported = jax.export.deserialize(bytearray(file.read_bytes()))
    assert exported.platforms == ("cpu", "cuda")
    found = compare(REAL, stablehlo.runner(file.read_bytes()), (), tolerance=1e-5)
    assert found.drawn == 96
    assert found.error < 1e-6

    call = jax.jit(exported.call)
    policy, carry, theirs = memory(), memory().begin(), REAL.start(1)
    act = jax.jit(lambda c, t: policy(c, t, key=jr.key(0), explore=False))
    rng = np.random.default_rng(1)
    for step in range(6):
        t = TimeStep(
            rng.normal(size=3).astype(np.float32),
            np.array(rng.normal(), np.float32),
            np.array(step in (0, 4)),
        )
        action, carry, _ = act(carry, t)
        seen = {"obs": t.obs[None], "reward": t.reward[None], "first": t.first[None]}
        made = call(seen | theirs)
        theirs = {k: made[f"next_{k}"] for k in theirs}
        np.testing.assert_allclose(made["action"][0], action, atol=1e-6)


def test_stablehlo_of_images():
    policy = greedy(lively("dqn", PROBLEMS["image"])[0], PROBLEMS["image"])
    found = compare(
        policy, stablehlo.runner(stablehlo.program(policy)), (), tolerance=1e-5
    )
    assert found.drawn == 96


# NumPy


FLAT = Spec(box(0, 255, 5, dtype=np.uint8), box(-1, 3, 2, 2))
HISTOGRAMS = {"value_loss": "hl-gauss", "value_low": -1.0, "value_high": 1.0}
NUMPY = {
    "ppo": ("ppo", Spec(MIXED, SKEWED.action), {"hidden": (8, 6)}),
    "ppo-relu": ("ppo", SKEWED, {"activation": "relu", "normalize_obs": False}),
    "ppo-far": ("ppo", Spec(box(-99, 99, 3), Discrete(4)), {}),
    "ppo-unclipped": ("ppo", Spec(box(-99, 99, 3), Discrete(4)), {"clip_obs": False}),
    "ppo-multi": ("ppo", CHOICES, {}),
    "ppo-masked": ("ppo", Spec(MIXED, MultiDiscrete((2, 3)), masked=True), {}),
    "trpo": ("trpo", Spec(MIXED, SKEWED.action), {"hidden": (8, 6)}),
    "dqn": ("dqn", Spec(MIXED, Discrete(4)), {}),
    "dqn-dueling": ("dqn", PROBLEMS["masked"], {"dueling": True}),
    "td3": ("td3", SKEWED, {"layer_norm": True}),
    "td3-flat": ("td3", FLAT, {}),
    "td3-histograms": ("td3", FLAT, HISTOGRAMS),
    "sac": ("sac", Spec(CHOICES.obs, SKEWED.action), {}),
    "sac-histograms": ("sac", SKEWED, HISTOGRAMS),  # of its critics
    "sac-discrete": ("sac-discrete", PROBLEMS["masked"], {}),
}


def kept(folder, name, spec, **changes):
    policy, algorithm = lively(name, spec, **changes)
    save_policy(folder, policy, algorithm=algorithm, name=name, spec=spec, meta={})
    return policy


@pytest.mark.parametrize("case", NUMPY)
def test_numpy_runs_the_folder_of_a_policy(case, tmp_path):
    name, spec, changes = NUMPY[case]
    policy = greedy(kept(tmp_path / "policy", name, spec, **changes), spec)
    runs = NumpyPolicy(tmp_path / "policy")

    def run(inputs):
        obs = together("obs", spec.obs, inputs)
        return {"action": runs(obs, inputs.get("legal"))}

    found = compare(policy, run, (), tolerance=1e-5)
    assert (found.drawn, found.ties) == (96, 0)
    t = next(drawn(spec))
    rows = run(policy.feed(t))["action"]
    assert len(np.unique(rows, axis=0)) > 1  # it does not do the same always
    obs, legal = jax.tree.map(lambda x: x[5], (t.obs, t.legal))
    alone = runs(obs, legal)
    assert alone.shape == spec.action.shape
    np.testing.assert_allclose(alone, rows[5], atol=1e-6)


def rewrite(folder, **changes):
    file = folder / "policy.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 99}, r"dqn \(version 99\) is not among"),
        ({"format": 99}, "is not among"),
        ({"algorithm": "dreamer"}, r"dreamer \(version 1\).*dqn, ppo, sac"),
    ],
)
def test_numpy_refuses_what_it_does_not_know(changes, said, tmp_path):
    kept(tmp_path / "policy", "dqn", PROBLEMS["discrete"])
    rewrite(tmp_path / "policy", **changes)
    with pytest.raises(ValueError, match=said):
        NumpyPolicy(tmp_path / "policy")


def test_numpy_reads_no_histograms(tmp_path):
    how = HISTOGRAMS | {"value_loss": "c51"}
    kept(tmp_path / "policy", "dqn", PROBLEMS["discrete"], **how)
    with pytest.raises(ValueError, match="value_loss = c51: NumPy reads no histograms"):
        NumpyPolicy(tmp_path / "policy")


def test_numpy_runs_no_cnn(tmp_path):
    spec = Spec({"eye": PROBLEMS["image"].obs, "x": box(-1, 1, 2)}, Discrete(2))
    kept(tmp_path / "policy", "dqn", spec)
    with pytest.raises(ValueError, match=r"obs\.eye is an image.*no CNN"):
        NumpyPolicy(tmp_path / "policy")


def test_the_page_of_numpy_needs_nothing_of_ours():
    """It is copied to where there is neither JAX nor Peira."""
    source = sys.modules[NumpyPolicy.__module__].__file__
    with open(source) as file:
        words = [
            line.split()[1] for line in file if line.startswith(("import", "from"))
        ]
    assert {w.partition(".")[0] for w in words} == {
        "collections",
        "json",
        "numpy",
        "pathlib",
        "safetensors",
        "typing",
    }
