"""Environments that fail: nothing of it is learned, and it can be seen again."""

import functools
import json
import re

import gymnasium
import jax
import numpy as np
import pytest
from breaking import breaking

from peira import algos
from peira.algos.online.ppo import PPO
from peira.algos.online.sac import SAC
from peira.core import BadConfig, EnvironmentFault, RunFault
from peira.engine import faults
from peira.engine.evaluate import evaluate
from peira.engine.hosted import HostedLoop
from peira.engine.loop import beat
from peira.engine.plan import Plan
from peira.engine.run import Run
from peira.engine.train import train
from peira.envs import Care, make


RESTART = Care(restart=True)
ALGORITHMS = {
    "ppo": PPO(hidden=(4,), rollout=8, epochs=1, minibatches=2),
    "sac": SAC(hidden=(4,), warmup=20, batch=4, capacity=100),
}


def lived(world, algorithm, envs, steps=160, **plan):
    plan = Plan(steps=steps, **plan)
    loop = HostedLoop(beat(algorithm, world.spec, plan, envs=envs), world, (0,))
    rows = loop.advance(loop.beat.blocks)
    loop.close()
    return loop, rows[0]


@pytest.mark.parametrize("how", ["raises", "reward", "obs", "shape", "reset"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_learned_is_as_if_the_episode_had_been_cut_off_before(name, how):
    """Beside an environment that cuts the same episodes off one step earlier: the same
    steps, in the same order, with the same randomness."""
    at = 1 if how == "reset" else 3
    open_one = lambda how, **kw: make(
        functools.partial(breaking, how, at=at), envs=2, **kw
    )
    broken, row = lived(open_one(how, care=RESTART), ALGORITHMS[name], 2)
    assert row["faults"] > 5
    assert row["length"] == 7  # a faulty episode is not one that ended
    if how == "reset":  # nothing was seen of those episodes at all
        return
    whole, _ = lived(open_one("cut"), ALGORITHMS[name], 2)
    jax.tree.map(np.testing.assert_array_equal, broken.learner(0), whole.learner(0))
    if name == "sac":
        stored, cut = (x.stored(0).data for x in (broken, whole))
        assert np.asarray(cut.truncated).any()
        jax.tree.map(np.testing.assert_array_equal, stored, cut)


def test_blocks_of_several_steps_are_cut_too():
    loops = [
        lived(
            make(functools.partial(breaking, how), envs=2, care=RESTART),
            ALGORITHMS["sac"],
            2,
            block=8,
            overlap=True,
        )[0]
        for how in ("raises", "cut")
    ]
    jax.tree.map(np.testing.assert_array_equal, *(x.stored(0).data for x in loops))
    jax.tree.map(np.testing.assert_array_equal, *(x.learner(0) for x in loops))


@pytest.mark.parametrize(
    ("how", "care", "said"),
    [
        ("dies", RESTART, r"its process died \(exit code 3\)"),
        ("hangs", RESTART._replace(patience=0.5), "no answer for 0.5 seconds"),
        ("leaks", RESTART._replace(memory=250), "its process holds more than 250 MiB"),
    ],
)
def test_a_process_that_fails_is_replaced(how, care, said):
    make_it = functools.partial(breaking, how, often=0.3)
    world = make(make_it, envs=1, processes=True, care=care)
    loop, row = lived(world, ALGORITHMS["sac"], 1, steps=30)
    assert row["faults"] >= 1
    assert loop.steps == 30
    assert all(re.search(said, fault["message"]) for fault in world.faults)
    assert len(world.faults) == row["faults"]


def test_what_always_fails_is_given_up():
    world = make(functools.partial(breaking, "raises", at=1, often=1.0), care=RESTART)
    with pytest.raises(EnvironmentFault, match="this is fault 10 in a row"):
        lived(world, ALGORITHMS["sac"], 1)


def test_an_episode_that_fails_is_not_evaluated():
    world = make(functools.partial(breaking, "raises"), envs=4, care=RESTART)
    loop, _ = lived(world, ALGORITHMS["sac"], 4)
    policy = loop.beat.algorithm.policy(loop.learner(0))
    arena = make(functools.partial(breaking, "raises"), envs=4, care=RESTART)
    found = evaluate(policy, arena, episodes=8, seed=1)
    assert found.lengths.tolist() == [7] * 8
    hopeless = functools.partial(breaking, "raises", often=1.0)
    arena = make(hopeless, envs=4, care=RESTART)
    with pytest.raises(EnvironmentFault, match="no episode of 10 came to its end"):
        evaluate(policy, arena, episodes=8, seed=1)


@pytest.mark.parametrize("processes", [False, True])
def test_a_fault_is_written_down_and_found_again(tmp_path, processes):
    make_it = functools.partial(breaking, "reward")
    plan = Plan(steps=160, episodes=1, processes=processes)
    config = {"algorithm": "sac", "env": "x", "env_kwargs": {}, "hyper": {}}
    run = Run.create(tmp_path / "a", config | {"plan": plan})
    with pytest.raises(
        EnvironmentFault, match="again with: peira replay-fault"
    ) as said:
        train(ALGORITHMS["sac"], make_it, plan, run, name="sac")
    open_world = lambda: make(make_it, processes=processes)
    (again,) = faults.replay(run.path, open_world, algos.get)
    assert again.then in str(said.value)
    assert "reward = nan is not finite" in again.now
    sound = lambda: make(functools.partial(breaking, "cut", at=9))
    (gone,) = faults.replay(run.path, sound, algos.get)
    assert gone.now is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"message": 3}',
        '{"message": "x", "seed": "a", "index": 0, "episode": 0, "actions": []}',
        '{"message": "x", "seed": 0, "index": 0, "episode": 0, "actions": [["a"]]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_record_is_one_line(tmp_path, text):
    folder = tmp_path / "seed-0" / "faults"
    folder.mkdir(parents=True)
    (folder / "episode-0-0.json").write_text(text)
    open_world = lambda: make(functools.partial(breaking, "raises"))
    with pytest.raises(RunFault) as said:
        list(faults.replay(tmp_path, open_world, algos.get))
    assert "\n" not in str(said.value)


def test_no_more_is_kept_than_can_be_read(tmp_path):
    world = make(functools.partial(breaking, "raises", at=2), envs=4, care=RESTART)
    lived(world, ALGORITHMS["sac"], 4, steps=400)
    assert len(world.faults) == 20
    faults.drain(world, tmp_path)
    assert world.faults == []
    world.faults = [json.loads(x.read_text()) for x in tmp_path.glob("*")]
    assert len(world.faults) == 20
    faults.drain(world, tmp_path)
    assert len(list(tmp_path.glob("*"))) == 20


def test_a_vector_environment_cannot_be_restarted():
    env = lambda: gymnasium.make_vec(
        "CartPole-v1",
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
    )
    with pytest.raises(BadConfig, match="cannot be restarted"):
        make(env, care=RESTART)
