"""ONNX: every operation means in onnxruntime what it means in JAX, and whole policies
act alike."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import lax
from leaving import CHOICES, GRID, lively, memory, Says, SKEWED

from peira.core import ExportFault, MultiDiscrete, Spec
from peira.engine.export import parity
from peira.engine.export.greedy import greedy
from peira.engine.export.onnx_file import model, runner
from peira.engine.export.parity import compare
from peira.evidence.conformance.made_up import box, MIXED, PROBLEMS


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few observations are enough here."""
    monkeypatch.setattr(parity, "ROWS", 32)
    monkeypatch.setattr(parity, "STEPS", 3)


@jax.custom_vjp
def bent(x):
    return jnp.sin(x)


bent.defvjp(lambda x: (bent(x), x), lambda x, g: (g,))
TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
PLANES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
OPERATIONS = {  # of a grid of 2 x 3 numbers between -1 and 1
    "abs": jnp.abs,
    "any": lambda x: (x > 0).any(axis=1),
    "all": lambda x: (x > -0.5).all(axis=0),
    "argmin": lambda x: x.argmin(axis=0),
    "broadcast": lambda x: jnp.stack([x, jnp.broadcast_to(x[:1], x.shape)]),
    "ceil": lambda x: jnp.ceil(3 * x),
    "checkpoint": jax.checkpoint(jnp.sin),
    "clamp": lambda x: lax.clamp(-0.5, x, 0.25),
    "concatenate": lambda x: jnp.concatenate([x, 2 * x], axis=1),
    "constant": lambda x: jnp.arange(4.0),
    "cos": jnp.cos,
    "cumsum": lambda x: jnp.cumsum(x, axis=1),
    "cumsum back": lambda x: lax.cumsum(x, axis=0, reverse=True),
    "custom_vjp": bent,
    "einsum": lambda x: jnp.einsum("ij,ijk->ik", x, PLANES),
    "einsum outer": lambda x: jnp.einsum("ij,kj->ki", x, TABLE),
    "elu": jax.nn.elu,
    "equal": lambda x: (jnp.round(2 * x) == 1) | (jnp.round(2 * x) != 0),
    "erf": jax.scipy.special.erf,
    "expm1": jnp.expm1,
    "finite": lambda x: jnp.isfinite(jnp.where(x > 0, x, jnp.inf)),
    "floor": lambda x: jnp.floor(3 * x),
    "gather": lambda x: jnp.asarray(TABLE)[jnp.argmax(x, axis=1)],
    "gather columns": lambda x: x[:, np.array([2, 0])],
    "gelu": jax.nn.gelu,
    "integers": lambda x: (4 * x).astype(jnp.int32) * 3 - 1,
    "integer_pow": lambda x: x**3 + 1 / (3 + x) ** 2,
    "less": lambda x: ((x <= 0.5) & (x >= -0.5)) ^ (x < 0),
    "log": lambda x: jnp.log(x + 2),
    "logistic": jax.nn.sigmoid,
    "log_softmax": jax.nn.log_softmax,
    "max": lambda x: x.max(axis=0) - x.min(axis=1, keepdims=True).T.max(),
    "not": lambda x: ~(x > 0),
    "pow": lambda x: (x + 2) ** 1.5,
    "prod": lambda x: x.prod(axis=1),
    "put": lambda x: x.at[-1].set(2 * x[0]),
    "put flags": lambda x: (x > 0).at[:, 1].set(x[:, 0] > 0.2),
    "remainder": lambda x: jnp.mod(5 * x, 2.0),
    "reshape": lambda x: x.reshape(3, 2),
    "rev": lambda x: lax.rev(x, (1, 0)),
    "roll": lambda x: jnp.roll(x, 1, axis=1),
    "round": lambda x: jnp.round(2.5 * x),
    "rsqrt": lambda x: lax.rsqrt(x + 2),
    "sign": jnp.sign,
    "silu": jax.nn.silu,
    "slice": lambda x: x[1:, ::2],
    "softplus": jax.nn.softplus,
    "split": lambda x: jnp.split(x, [1], axis=1)[1],
    "sqrt": lambda x: jnp.sqrt(x + 2),
    "stack": lambda x: jnp.stack([x, -x], axis=1),
    "stop_gradient": lax.stop_gradient,
    "sum": lambda x: x.sum(axis=(0, 1)) / 6,
    "tile": lambda x: jnp.tile(x, (2, 2)),
    "transpose": lambda x: x.T,
    "unstack": lambda x: jnp.unstack(x, axis=0)[1],
    "where": lambda x: jnp.where(x > 0, x, jnp.arange(3.0)[None]),
    "where flags": lambda x: jnp.where(x > 0, x < 0.5, x > -0.5),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_means_the_same(name):
    what = OPERATIONS[name]
    made = runner(model(greedy(Says(what), GRID), {}))
    rng = np.random.default_rng(0)
    for n in (7, 1):
        x = rng.uniform(-1, 1, (n, 2, 3)).astype(np.float32)
        wanted = np.asarray(jax.vmap(what)(x))
        got = made({"obs": x})["action"]
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_images_are_read_alike():
    """Windows, strides, paddings and groups of every kind."""
    kernel = np.random.default_rng(0).normal(size=(3, 2, 2, 4)).astype(np.float32)
    grouped = kernel[:, :, :1]

    def see(x):
        far = lax.conv_general_dilated(
            x[None],
            kernel,
            (2, 1),
            ((2, 0), (1, 1)),
            rhs_dilation=(1, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        near = lax.conv_general_dilated(
            x.transpose(2, 0, 1)[None],
            grouped,
            (1, 1),
            "SAME",
            feature_group_count=2,
            dimension_numbers=("NCHW", "HWIO", "NCHW"),
        )
        pooled = lax.reduce_window(
            x,
            -jnp.inf,
            lax.max,
            (3, 2, 1),
            (2, 1, 1),
            ((1, 1), (0, 1), (0, 0)),
            window_dilation=(1, 2, 1),
        )
        return far.ravel(), near.ravel(), pooled.ravel()

    spec = Spec(box(-1, 1, 7, 6, 2), box(-1, 1, 1))
    policy = greedy(Says(lambda x: jnp.concatenate(see(x))), spec)
    assert compare(policy, runner(model(policy, {})), (), tolerance=1e-4).drawn == 96


REFUSED = {
    "sort": lambda x: jnp.sort(x, axis=1),
    "scatter": lambda x: x.at[x.argmin(axis=0)].set(0.0),
    "scan": lambda x: lax.scan(lambda c, y: (c + y, c), jnp.zeros(3), x)[1],
    "while": lambda x: lax.while_loop(lambda v: v.sum() < 9, lambda v: v + 1, x),
    "atan2": lambda x: jnp.arctan2(x, x + 3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_that_onnx_lacks_is_named(name):
    with pytest.raises(ExportFault, match=f"JAX's operation '{name}'") as caught:
        model(greedy(Says(REFUSED[name]), GRID), {})
    assert "\n" not in str(caught.value)


def test_what_onnxruntime_cannot_run_is_told():
    policy = greedy(Says(lambda x: x), GRID)
    with pytest.raises(ExportFault, match="onnxruntime cannot run the policy"):
        runner(b"no model")
    with pytest.raises(ExportFault, match="onnxruntime cannot run the policy"):
        runner(model(policy, {}))({"obs": np.zeros((1, 2, 2), np.float32)})


def test_what_nothing_depends_on_is_not_written():
    """Neither a sort of what is thrown away, nor a critic."""
    policy = greedy(Says(lambda x: (jnp.sort(x), x + 1)[1]), GRID)
    nodes = onnx.load_from_string(model(policy, {})).graph.node
    assert [node.op_type for node in nodes] == ["Add", "Identity"]
    spec = PROBLEMS["box"]
    graph = onnx.load_from_string(model(greedy(lively("ppo", spec)[0], spec), {})).graph
    names = [x.name for x in graph.initializer]
    assert ".net.actor.layers[0].weight" in names
    assert not any("critic" in name for name in names)


SHORT = {"context": 3, "width": 8, "layers": 2, "heads": 2}
ACT = {
    "ppo": ("ppo", Spec(MIXED, SKEWED.action), {}),
    "ppo-masked": ("ppo", Spec(MIXED, MultiDiscrete((2, 3)), masked=True), {}),
    "ppo-parts": ("ppo", CHOICES, {"activation": "relu"}),
    "dqn": ("dqn", PROBLEMS["masked"], {"dueling": True}),
    "dqn-histogram": (
        "dqn",
        PROBLEMS["masked"],
        {"dueling": True, "value_loss": "c51", "value_low": -5.0, "value_high": 5.0},
    ),
    "trpo": ("trpo", SKEWED, {}),
    "sac-impala": ("sac", PROBLEMS["image-box"], {"vision": "impala"}),
    "td3-nature": ("td3", Spec(box(0, 255, 36, 36, 1, dtype="u1"), SKEWED.action), {}),
    "td3": ("td3", SKEWED, {}),
    "sac": ("sac", PROBLEMS["image-box"], {}),
    "sac-discrete": ("sac-discrete", PROBLEMS["masked"], {}),
    "dt": ("dt", PROBLEMS["box"], SHORT),
    "dt-masked": ("dt", PROBLEMS["masked"], SHORT),
    "dt-image": ("dt", PROBLEMS["image-box"], SHORT),
}


@pytest.mark.parametrize("case", ACT)
def test_a_policy_acts_alike(case):
    name, spec, changes = ACT[case]
    policy = greedy(lively(name, spec, **changes)[0], spec)
    run = runner(model(policy, {}))
    found = compare(policy, run, (), tolerance=1e-5)
    assert (found.drawn, found.recorded) == (96, 0)
    assert found.ties == 0
    t = next(parity.drawn(spec))
    assert len(np.unique(run(policy.feed(t) | policy.start(32))["action"], axis=0)) > 1


REMEMBERING = {
    "by hand": (memory, SKEWED),
    "dt": (lambda: lively("dt", PROBLEMS["box"], **SHORT)[0], PROBLEMS["box"]),
}


@pytest.mark.parametrize("case", REMEMBERING)
def test_memory_leaves_home_with_its_policy(case):
    """Carried by hand from step to step, as one does elsewhere; an episode opens on the
    way. The file itself says what to begin with."""
    make, spec = REMEMBERING[case]
    policy = greedy(make(), spec)
    file = model(policy, {"begin": {k: x.tolist() for k, x in policy.begin.items()}})
    assert compare(policy, runner(file), (), tolerance=1e-5).error < 1e-5
    session = onnxruntime.InferenceSession(file)
    said = json.loads(session.get_modelmeta().custom_metadata_map["peira"])
    kinds = {port.name: port.dtype for port in policy.inputs}
    theirs = {k: np.array([x], kinds[k]) for k, x in said["begin"].items()}
    ours, call, rng = policy.start(1), jax.jit(policy), np.random.default_rng(1)
    names, done = [x.name for x in session.get_outputs()], []
    for step in range(12):
        t = {
            "obs": rng.normal(size=(1, 3)).astype(np.float32),
            "reward": rng.normal(size=1).astype(np.float32),
            "first": np.array([step == 7]),
        }
        wanted = call(t | ours)
        made = dict(zip(names, session.run(names, t | theirs), strict=True))
        np.testing.assert_allclose(made["action"], wanted["action"], atol=1e-5)
        ours = {k: wanted[f"next_{k}"] for k in ours}
        theirs = {k: made[f"next_{k}"] for k in theirs}
        done.append(made["action"])
    assert np.ptp(done, axis=0).min() > 0.01
    for k, x in ours.items():
        np.testing.assert_allclose(theirs[k], x, atol=1e-5)
    if case == "by hand":
        assert made["next_carry.steps"] == 3 + 12
    else:
        assert made["next_carry.time"].tolist() == [[2, 3, 4]]
