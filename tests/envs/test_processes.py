"""Environments in processes of their own answer exactly as they do here."""

import numpy as np
import pytest
from toys import counter, faulty, homebody

from peira.core import BadConfig, EnvironmentFault
from peira.envs import Care, make


def test_the_same_results_here_and_away():
    here = make(counter, envs=2, length=3)
    away = make(counter, envs=2, length=3, processes=True)
    both = (here, away)
    assert here.spec == away.spec

    def agree(a, b):
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(a.reward, b.reward)
        assert a.obs.dtype == b.obs.dtype

    rng = np.random.default_rng(0)
    agree(*(env.reset(11) for env in both))
    for _ in range(8):
        action = rng.uniform(-1, 3, (2, 2)).astype(np.float32)
        (a, t), (b, u) = (env.step(action) for env in both)
        agree(a, b)
        agree(t, u)
        np.testing.assert_array_equal(a.terminated, b.terminated)
        np.testing.assert_array_equal(t.first, u.first)
    assert here.snapshot() == away.snapshot()
    assert away.restore(here.snapshot()) is None
    (a, _), (b, _) = (env.step(action) for env in both)
    agree(a, b)
    away.close()
    away.close()
    assert not any(p.is_alive() for p in away.fleet.processes.values())


def test_faults_away_are_ours():
    env = make(faulty, fault="raises", processes=True)
    env.reset(0)
    env.step(np.zeros(1, np.int32))
    with pytest.raises(
        EnvironmentFault, match="environment 0, step 2: step raised Zero"
    ):
        env.step(np.zeros(1, np.int32))
    env.close()


def test_a_process_that_dies_is_named():
    env = make(faulty, envs=1, fault="dies", processes=True)
    env.reset(0)
    env.step(np.zeros(1, np.int32))
    died = r"faulty, environment 0: its process died \(exit code 3\)"
    with pytest.raises(EnvironmentFault, match=died):
        env.step(np.zeros(1, np.int32))
    with pytest.raises(EnvironmentFault, match=died):
        env.reset(0)
    env.close()


def test_a_process_that_hangs_is_given_up():
    care = Care(patience=0.1)
    env = make(faulty, fault="hangs", at=1, processes=True, care=care)
    env.reset(0)
    hung = r"environment 0: no answer for 0\.1 seconds"
    with pytest.raises(EnvironmentFault, match=hung):
        env.step(np.zeros(1, np.int32))
    env.close()


def test_what_fails_only_away_is_named():
    with pytest.raises(EnvironmentFault, match=r"raised OSError: not away"):
        make(homebody, processes=True)


def test_what_no_other_process_can_make_is_refused():
    with pytest.raises(BadConfig, match="another process cannot make it"):
        make(lambda: counter(), processes=True)
