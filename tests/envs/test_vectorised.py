"""The user's own vector environments."""

import threading

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from toys import Careful, Counter, Faulty

from peira.core import BadConfig, EnvironmentFault
from peira.envs import make


def vector(make_one=Counter, n=2, mode=AutoresetMode.SAME_STEP):
    return SyncVectorEnv([make_one] * n, autoreset_mode=mode)


def test_the_true_successor_is_seen():
    # SyncVectorEnv keeps no copy of a last observation that is written over.
    kept = lambda: gymnasium.wrappers.TransformObservation(Counter(2), np.copy, None)
    env = make(vector(kept))
    assert env.envs == 2
    t = env.reset(3)
    opened = t.obs[:, 0]
    twin = make(lambda: Counter(length=2), envs=2)
    np.testing.assert_array_equal(twin.reset(3).obs, t.obs)
    action = np.zeros((2, 2), np.float32)
    env.step(action)
    out, t = env.step(action)
    np.testing.assert_array_equal(out.obs, np.stack([opened, [2, 2]], axis=1))
    assert out.terminated.all()
    assert t.first.all()
    assert (t.obs[:, 1] == 0).all()
    np.testing.assert_array_equal(t.reward, [2, 2])
    assert out.obs.dtype == t.obs.dtype == np.float32


def test_dict_observations_and_masks():
    env = make(vector(lambda: Careful(length=2)))
    assert env.spec.masked
    env.reset(0)
    env.step(np.array([1, 2]))
    out, t = env.step(np.array([2, 1]))
    np.testing.assert_array_equal(out.obs, [2, 1])
    np.testing.assert_array_equal(t.obs, [0, 0])
    np.testing.assert_array_equal(out.legal, [[1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(t.legal, [[0, 1, 1], [0, 1, 1]])
    nested = make(vector(lambda: Faulty("none")))
    obs = nested.reset(0).obs
    assert obs["a"].shape == (2, 3)
    np.testing.assert_array_equal(obs["b"], [1, 1])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "step 1: ZeroDivisionError: division by"),
        ("reward", "environment 0, step 1: reward = nan is not finite"),
        ("bounds", r"environment 0, step 1: observation\['a'\]\[0\] = 1.5 is outside"),
    ],
)
def test_faults(fault, said):
    env = make(vector(lambda: Faulty(fault, at=1)))
    env.reset(0)
    with pytest.raises(EnvironmentFault, match=said):
        env.step(np.zeros(2, np.int32))


def test_other_ways_of_resetting_are_refused():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
        with pytest.raises(BadConfig, match=r"AutoresetMode\.SAME_STEP"):
            make(vector(mode=mode))


def test_no_two_users_share_one():
    mine = vector()
    a, b = make(mine), make(mine)
    assert len({id(mine), id(a.env), id(b.env)}) == 3
    a.close()
    b.reset(0)
    assert not mine.closed


def test_one_that_cannot_be_copied_is_refused():
    mine = vector()
    mine.lock = threading.Lock()
    with pytest.raises(BadConfig, match="give a function that returns it"):
        make(mine)


def test_restoring_begins_new_episodes():
    env = make(vector(lambda: Counter(length=9)))
    env.reset(0)
    env.step(np.zeros((2, 2), np.float32))
    saved = env.snapshot()
    with pytest.warns(RuntimeWarning, match="begin new episodes"):
        t = env.restore(saved)
    assert t.first.all()
    assert env.snapshot() == saved


def test_pictures():
    env = make(vector(lambda: Counter(render_mode="rgb_array")))
    env.reset(0)
    assert env.frame().shape == (4, 6, 3)
    with pytest.raises(EnvironmentFault, match="no picture"):
        make(vector).frame()
