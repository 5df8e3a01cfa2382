"""The verb that lets a policy leave home."""

import json
import operator
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import jax
import numpy as np
import onnxruntime
import pytest
from engine.leaving import CHOICES, lively, memory, SKEWED

import peira
from peira.algos.online.ppo import PPO
from peira.cli import exporting, main
from peira.core import BadConfig, Discrete, RunFault, Spec, TimeStep
from peira.engine.export.greedy import greedy
from peira.engine.export.numpy_policy import NumpyPolicy
from peira.engine.export.parity import drawn
from peira.engine.policies import LoadedPolicy


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a run, to export from."""
    return shutil.copytree(trained, tmp_path / "run")


def hand(folder):
    """A policy of PPO, written out."""
    policy = jax.tree.map(np.asarray, peira.load_policy(folder))
    (moments,) = policy.moments
    size = np.sqrt(moments.deviation / moments.count + 1e-8)

    def act(obs):
        z = np.clip((obs - moments.mean) / size, -10, 10)
        for i, layer in enumerate(policy.net.actor.layers):
            z = (np.tanh(z) if i else z) @ layer.weight + layer.bias
        return z.argmax(axis=-1)

    return act


@pytest.mark.parametrize("to", ["onnx", "stablehlo", "numpy"])
def test_a_run_is_exported_and_the_figure_told(to, run, capsys):
    assert main(["export", str(run), "--to", to, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    out = run / "seed-0" / f"policy.{to}"
    assert Path(said["path"]) == out
    assert said["inputs"] == [{"name": "obs", "shape": [4], "dtype": "float32"}]
    assert said["outputs"] == [{"name": "action", "shape": [], "dtype": "int32"}]
    assert (said["drawn"], said["recorded"]) == (2048, 1024)
    assert (said["error"], said["ties"]) == (0, 0)
    if to == "stablehlo":
        about = json.loads(out.with_name("policy.stablehlo.json").read_text())
        assert about["inputs"] == said["inputs"]
        assert about["algorithm"] == "ppo"
        exported = jax.export.deserialize(bytearray(out.read_bytes()))
        act = lambda obs: exported.call({"obs": obs})["action"]
    elif to == "onnx":
        session = onnxruntime.InferenceSession(out)
        act = lambda obs: session.run(["action"], {"obs": obs})[0]
    else:
        act = NumpyPolicy(out)
        peira.load_policy(out)  # it is still a policy of ours
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(act(obs), hand(run / "seed-0")(obs))


def test_a_policy_alone(run, tmp_path, capsys):
    """Without a run it has no environment but one that is named."""
    alone = shutil.move(run / "seed-1" / "policy", tmp_path / "mine")
    done = peira.export(alone, to="onnx", env="CartPole-v1")
    assert done.path == tmp_path / "mine.onnx"
    assert done.parity.recorded == 1024
    out = tmp_path / "there.onnx"
    assert main(["export", str(alone), "--to", "onnx", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert str(out) in said
    assert "obs float32[batch, 4]" in said
    assert "2,048 observations, 0 of them" in said
    assert "the same choices" in said
    assert out.read_bytes() == done.path.read_bytes()


def test_a_world_that_cannot_be_made_again_is_told(run):
    config = run / "config.toml"
    config.write_text(config.read_text().replace("CartPole-v1", "Gone-v1"))
    with pytest.warns(UserWarning, match="nothing is compared.*Gone-v1"):
        assert peira.export(run, to="numpy").parity.recorded == 0


def test_what_acts_otherwise_is_not_written(run, capsys, monkeypatch):
    before, build = sorted(run.rglob("*")), exporting.FORMATS["numpy"]

    def wrong(*args):
        draft = build(*args)
        other = lambda x: {"action": 1 - draft.run(x)["action"]}
        return draft._replace(run=other)

    monkeypatch.setitem(exporting.FORMATS, "numpy", wrong)
    assert main(["export", str(run), "--to", "numpy"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "chooses otherwise on 256 of 256" in err
    assert sorted(run.rglob("*")) == before


MISSING = [("onnx", "onnx"), ("onnx", "onnxruntime"), ("stablehlo", "flatbuffers")]


@pytest.mark.parametrize(("to", "module"), MISSING)
def test_an_extra_that_is_missing_is_named(to, module, run, capsys, monkeypatch):
    for name in ("nodes", "operators", "onnx_file", "stablehlo"):
        monkeypatch.delitem(sys.modules, f"peira.engine.export.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["export", str(run), "--to", to]) == 2
    err = capsys.readouterr().err
    assert f"--to {to} needs: pip install 'peira[{to}]'" in err
    assert err.count("\n") == 1


def test_nothing_of_others_is_written_over(run, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "work").write_text("of years")
    for to in ("numpy", "onnx", "stablehlo"):
        with pytest.raises(BadConfig, match=r"theirs exists: say with --out"):
            peira.export(run, to=to, out=tmp_path / "theirs")
    with pytest.raises(BadConfig, match="work exists"):
        peira.export(run, to="numpy", out=tmp_path / "theirs" / "work")
    assert (tmp_path / "theirs" / "work").read_text() == "of years"
    with pytest.raises(RunFault, match="cannot write"):
        peira.export(run, to="onnx", out=tmp_path / "nowhere" / "policy.onnx")


def test_an_earlier_export_is_replaced(run, tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "numpy_policy.py").write_text("of an earlier day")
    out = peira.export(run / "seed-1", to="numpy", out=tmp_path / "ours").path
    assert "NumpyPolicy" in (out / "numpy_policy.py").read_text()
    theirs = run / "seed-1" / "policy" / "policy.safetensors"
    assert (out / theirs.name).read_bytes() == theirs.read_bytes()


def test_a_damaged_policy_is_one_line(run, capsys):
    file = run / "seed-0" / "policy" / "policy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert main(["export", str(run), "--to", "onnx"]) == 2
    err = capsys.readouterr().err
    assert "checksum" in err
    assert err.count("\n") == 1


def test_a_format_that_is_none(run):
    with pytest.raises(BadConfig, match="unknown format 'onx'; did you mean onnx"):
        peira.export(run, to="onx")


def test_an_environment_that_does_not_fit_is_refused_if_named(run):
    with pytest.raises(BadConfig, match=r"the policy is for .* the environment has"):
        peira.export(run, to="numpy", env="Pendulum-v1")


BLOCKED = """
import sys
for name in ("jax", "jaxlib", "peira", "equinox"):
    sys.modules[name] = None
sys.argv = ["exported_policy.py", {file!r}, "CartPole-v1"]
exec(compile(open({script!r}).read(), "exported_policy.py", "exec"))
"""


def test_an_exported_policy_plays_where_there_is_no_jax(run, tmp_path):
    """As the policy does at home: the same return, episode by episode."""
    file = peira.export(run, to="onnx").path
    script = EXAMPLES / "exported_policy.py"
    code = BLOCKED.format(file=str(file), script=str(script))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    env, returns, act = gymnasium.make("CartPole-v1"), [], hand(run / "seed-0")
    for episode in range(10):
        obs, _ = env.reset(seed=episode)
        over, total = False, 0.0
        while not over:
            action = int(act(obs))
            obs, reward, terminated, truncated, _ = env.step(action)
            over, total = terminated or truncated, total + reward
        returns.append(total)
    assert done.stdout == f"mean return {np.mean(returns):.1f} over 10 episodes\n"


def written(folder, policy, spec):
    """The file of a policy that is of no run."""
    one = LoadedPolicy(policy, PPO(), "ppo", spec, {})
    exporting.as_onnx(greedy(policy, spec), one, folder).write(folder / "policy.onnx")
    return folder / "policy.onnx"


def test_the_example_carries_what_a_policy_remembers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from exported_policy import actor

    policy, rng = memory(), np.random.default_rng(0)
    theirs = actor(str(written(tmp_path, policy, SKEWED)))
    ours = jax.jit(lambda c, t: policy(c, t, key=jax.random.key(0), explore=False))
    carry = policy.begin()
    for step in range(6):
        obs, reward = rng.normal(size=3), rng.normal()
        first = step in (0, 4)
        t = TimeStep(obs.astype("f4"), np.array(reward, "f4"), np.array(first))
        wanted, carry, _ = ours(carry, t)
        np.testing.assert_allclose(theirs(obs, {}, reward, first), wanted, atol=1e-5)


def test_the_example_reads_parts_and_masks(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from exported_policy import actor

    spec = Spec(CHOICES.obs, Discrete(4), masked=True)
    policy, _ = lively("dqn", spec)
    act = actor(str(written(tmp_path, policy, spec)))
    ours = jax.jit(lambda t: policy((), t, key=jax.random.key(0), explore=False)[0])
    rows = next(drawn(spec))
    for i in range(20):
        t = jax.tree.map(operator.itemgetter(np.s_[i, ...]), rows)
        wanted = ours(t)
        assert act(t.obs, {"action_mask": t.legal.astype("i1")}, 0.0, False) == wanted
