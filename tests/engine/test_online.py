"""From a dataset, and then in the environment too."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.compute as pc
import pytest
from test_train import At, interrupt, same
from tiny import Drift, Walk

import peira
from peira.core import BadConfig, root, Sample, Transition
from peira.data import check, Dataset, Deal, Mixture, Replay
from peira.data.deal import Shelves
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.engine.train import train


def walks(episodes: int = 5) -> Dataset:
    """Three steps to the right, again and again."""
    n = 3 * episodes
    last = np.arange(n) % 3 == 2
    return check(
        Dataset(
            Walk().spec,
            np.tile(np.arange(4, dtype=np.float32), episodes)[:, None],
            np.ones(n, np.int32),
            np.ones(n, np.float32),
            last,
            np.zeros(n, bool),
            np.arange(0, n + 1, 3),
        )
    )


PLAN = Plan(steps=40, online=60, episodes=2, checkpoint_every=20, seeds=(0, 1))


def go(path, *sinks, plan=PLAN, resume=False, algorithm=Drift(), env=Walk()):
    config = {"algorithm": "drift", "env": "walk", "env_kwargs": {}, "plan": plan}
    config |= {"hyper": algorithm, "data": {"path": "walks", "fingerprint": "f"}}
    run = Run.open(path) if resume else Run.create(path, config)
    more = {"name": "drift", "sinks": sinks, "data": walks(), "resume": resume}
    train(algorithm, env, plan, run, **more)
    return run


@pytest.mark.usefixtures("_batched_keys")
@pytest.mark.parametrize("stop", [16, 40, 56, 80])
def test_a_run_stopped_in_either_part_is_the_run_never_stopped(tmp_path, stop):
    whole = go(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "part", At(stop, interrupt))
    assert not Run.open(tmp_path / "part").done
    resumed = go(tmp_path / "part", resume=True)
    assert resumed.done
    same(whole, resumed)
    steps = np.array(whole.metrics()["step"])
    assert steps.max() == 100
    assert 40 in np.array(whole.evaluations()["step"])


@pytest.mark.usefixtures("_batched_keys")
def test_going_online_later_is_having_planned_it(tmp_path):
    later = go(tmp_path / "later", plan=dataclasses.replace(PLAN, online=0))
    assert later.done
    later.amend(plan=later.config["plan"] | {"online": 60})
    assert not later.done
    same(go(tmp_path / "whole"), go(tmp_path / "later", resume=True))


def test_online_begins_with_what_was_learned(tmp_path):
    """All rewards of the dataset are 1, so every update adds the rate; a dataset alone
    is dealt with a share of one."""
    plan = dataclasses.replace(PLAN, share=1.0, seeds=(3,))
    run = go(tmp_path / "run", plan=plan, algorithm=Drift(rate=1e-3))
    metrics = run.metrics()
    online = metrics.filter(pc.greater(metrics["step"], 40))
    learned = online.filter(pc.is_valid(online["loss"]))
    np.testing.assert_allclose(learned["loss"].to_numpy(), 1)
    assert learned.num_rows > 5
    policy = run.path / "seed-3/policy/policy.safetensors"
    from safetensors.numpy import load_file

    (drift,) = load_file(policy).values()
    updates = int(np.max(metrics["updates"]))
    assert updates > 40
    np.testing.assert_allclose(drift, 1e-3 * updates, rtol=1e-4)


def test_a_batch_is_part_old_and_part_new():
    deal, fresh = Deal(10), Replay(capacity=50, batch=10, warmup=0)
    old = deal.shelve(walks())
    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
    mixture = Mixture(deal, fresh, jax.tree.map(shape, old), share=0.3)
    no = jnp.zeros((2, 1), bool)
    obs, action = -jnp.ones((2, 1, 1)), jnp.zeros((2, 1), jnp.int32)
    new = Transition(obs, action, -5 * jnp.ones((2, 1)), no, no, obs)
    one = jax.tree.map(lambda x: x[0, 0], new)
    kept = mixture.init(one, envs=1)
    assert isinstance(kept.old, Shelves)
    kept = dataclasses.replace(kept, old=old)
    kept = mixture.add(kept, new)
    batch = mixture.sample(kept, key=root(0))
    assert isinstance(batch, Sample)
    np.testing.assert_array_equal(batch.steps.reward, [1] * 3 + [-5] * 7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"env": None}, "name the environment"),
        ({"plan": dataclasses.replace(PLAN, resident=0)}, "must lie on the device"),
    ],
)
def test_what_cannot_go_online_is_one_line(tmp_path, changes, said):
    with pytest.raises(BadConfig, match=said):
        go(tmp_path / "a", **changes)


def test_fresh_steps_need_a_dataset_first(tmp_path):
    with pytest.raises(BadConfig, match="there is no --data"):
        peira.train("sac", "Pendulum-v1", online=5, runs=tmp_path)
    assert not [*tmp_path.iterdir()]
