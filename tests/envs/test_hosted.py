"""Gymnasium environments through `Hosted`: seeds, resets, faults, snapshots."""

import json
import threading

import gymnasium
import numpy as np
import pytest
from toys import Blind, Careful, Counter, Faulty, Levers, Restless

from peira.core import BadConfig, EnvironmentFault
from peira.envs import Hosted, make
from peira.envs.hosted import episode_seed


def act(env, value=0.5):
    return np.full((env.envs, 2), value, np.float32)


def test_what_is_seen_is_true_across_the_end():
    env = make(Counter, envs=2, length=3)
    assert isinstance(env, Hosted)
    t = env.reset(7)
    assert t.first.all()
    assert (t.reward == 0).all()
    opened = t.obs[:, 0].copy()
    for step in range(1, 4):
        out, t = env.step(act(env))
        np.testing.assert_array_equal(out.obs[:, 0], opened)
        np.testing.assert_array_equal(out.obs[:, 1], step)
        np.testing.assert_array_equal(out.reward, step)
        assert (out.terminated == (step == 3)).all()
        assert not out.truncated.any()
        assert (t.first == out.terminated).all()
        np.testing.assert_array_equal(t.reward, out.reward)
    assert (t.obs[:, 1] == 0).all()
    assert (t.obs[:, 0] != opened).all()
    assert out.obs.dtype == t.obs.dtype == out.reward.dtype == np.float32


def test_a_time_limit_truncates():
    env = make(Counter, length=2, truncates=True)
    env.reset(0)
    env.step(act(env))
    out, t = env.step(act(env))
    assert out.truncated.all()
    assert not out.terminated.any()
    assert t.first.all()


def test_each_episode_has_a_seed_of_its_own():
    env = make(Counter, envs=2, length=1)
    seen = [env.reset(3).obs] + [env.step(act(env))[1].obs for _ in range(3)]
    for k, obs in enumerate(seen):
        for i in range(2):
            twin = Counter()
            first, _ = twin.reset(seed=episode_seed(3, i, k))
            np.testing.assert_array_equal(obs[i], first.astype(np.float32))
    assert len({float(obs[i, 0]) for obs in seen for i in range(2)}) == 8


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    env = make("CartPole-v1", envs=3, backend="gymnasium")
    run = lambda seed: (
        [env.reset(seed).obs]
        + [env.step(np.array([0, 1, 1]))[1].obs for _ in range(30)]
    )
    first, again, other = run(0), run(0), run(1)
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(other)).any()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "step raised ZeroDivisionError: division by"),
        ("reward", "reward = nan is not finite"),
        ("nan", "observation['a'][1] = nan is not finite"),
        ("infinite", "observation['a'][2] = -inf is not finite"),
        ("bounds", "observation['a'][0] = 1.5 is outside [-1, 1]"),
        ("choice", "observation['b'] = 4 is outside [5, 7]"),
        ("shape", "observation['a'] has shape (2,), its space says (3,)"),
        ("dtype", "observation['b'] is float64, its space says int64"),
        ("missing", "observation['b'] is missing"),
    ],
)
def test_faults_are_named_with_environment_step_and_value(fault, said):
    class Second(Faulty):
        made = 0

        def __init__(self):
            Second.made += 1
            super().__init__(fault, at=2 if Second.made == 3 else 99)

    env = make(Second, envs=2)  # one more is made to look at
    env.reset(0)
    env.step(np.zeros(2, np.int32))
    with pytest.raises(EnvironmentFault) as caught:
        env.step(np.zeros(2, np.int32))
    message = str(caught.value)
    assert message.startswith(f"{Second.__qualname__}, environment 1, step 2: ")
    assert said in message
    assert "\n" not in message


def test_rounding_is_not_a_fault():
    class Rounded(Faulty):
        def good(self):
            return {"a": np.array([1 + 5e-7, -1, 1], np.float32), "b": 7}

    env = make(Rounded, fault="none")
    env.reset(0)
    env.step(np.zeros(1, np.int32))


def test_gymnasiums_own_environments_may_leave_their_bounds():
    env = make("CartPole-v1", backend="gymnasium")
    env.reset(0)
    env.fleet.bodies[0].env.unwrapped.state = np.array([9.0, 0, 0, 0])
    out, _ = env.step(np.zeros(1, np.int32))
    assert out.obs[0, 0] == 9
    assert out.terminated[0]
    env.reset(0)
    env.fleet.bodies[0].env.unwrapped.state = np.array([np.nan, 0, 0, 0])
    with pytest.raises(
        EnvironmentFault, match=r"CartPole-v1, environment 0, step 1: .* = nan"
    ):
        env.step(np.zeros(1, np.int32))


@pytest.mark.parametrize("steps", [0, 1, 4, 6])
def test_a_snapshot_brings_everything_back(steps):
    env = make(Counter, envs=2, length=4)
    env.reset(5)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        env.step(rng.uniform(-1, 3, (2, 2)).astype(np.float32))
    saved = json.loads(json.dumps(env.snapshot()))
    other = make(Counter, envs=2, length=4)
    assert other.restore(saved) is None
    assert other.snapshot() == saved
    for _ in range(6):
        (a, t), (b, u) = env.step(act(env)), other.step(act(env))
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(t.obs, u.obs)
        np.testing.assert_array_equal(a.reward, b.reward)


def test_mujoco_comes_back_bit_for_bit():
    env = make("InvertedPendulum-v5")
    env.reset(1)
    rng = np.random.default_rng(0)
    for _ in range(25):
        env.step(rng.uniform(-3, 3, (1, 1)).astype(np.float32))
    saved = json.loads(json.dumps(env.snapshot()))
    other = make("InvertedPendulum-v5")
    assert other.restore(saved) is None
    for _ in range(10):
        a, b = (x.step(np.full((1, 1), 0.1, np.float32)) for x in (env, other))
        np.testing.assert_array_equal(a[0].obs, b[0].obs)
        np.testing.assert_array_equal(a[1].obs, b[1].obs)


def test_what_mujoco_says_is_passed_on_once_and_leaves_no_file(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    make("HalfCheetah-v5").reset(0)  # a model of an older style
    said = capfd.readouterr()
    assert said.out + said.err == ""
    mujoco = pytest.importorskip("mujoco")
    broken = """<mujoco><worldbody><body><joint/>
        <geom size="1" mass="1"/></body></worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(broken)
    for _ in range(2):
        data = mujoco.MjData(model)
        data.qpos[:] = np.nan
        mujoco.mj_step(model, data)
    assert capfd.readouterr().err.count("MuJoCo: ") == 1
    assert not [*tmp_path.iterdir()]


def test_an_environment_that_is_not_deterministic_begins_anew_and_says_so():
    env = make(Restless, envs=2, length=9)
    env.reset(0)
    for _ in range(3):
        env.step(act(env))
    saved = env.snapshot()
    with pytest.warns(RuntimeWarning, match="Restless is not deterministic.* 2 of 2"):
        t = env.restore(saved)
    assert t.first.all()
    assert (t.obs[:, 1] == 0).all()
    assert (t.reward == 3).all()
    out, _ = env.step(act(env))
    assert (out.obs[:, 1] == 1).all()


def test_only_the_episodes_that_differ_begin_anew():
    env = make(Counter, envs=2, length=9)
    env.reset(0)
    for _ in range(3):
        t = env.step(act(env))[1]
    saved = env.snapshot()
    saved["envs"][1]["seen"] = "elsewhere"
    with pytest.warns(RuntimeWarning, match="1 of 2"):
        back = env.restore(saved)
    assert back.first.tolist() == [False, True]
    np.testing.assert_array_equal(back.obs[0], t.obs[0])
    assert back.obs[1, 1] == 0


@pytest.mark.parametrize("method", [False, True])
def test_masks_say_what_is_legal(method):
    env = make(Careful, envs=2, method=method)
    assert env.spec.masked
    t = env.reset(0)
    assert t.legal.dtype == bool
    np.testing.assert_array_equal(t.legal, [[False, True, True]] * 2)
    out, t = env.step(np.array([1, 2]))
    want = [[True, False, True], [True, True, False]]
    np.testing.assert_array_equal(out.legal, want)
    np.testing.assert_array_equal(t.legal, want)
    env.step(np.array([0, 0]))
    out, t = env.step(np.array([1, 1]))
    np.testing.assert_array_equal(out.legal, [[True, False, True]] * 2)
    np.testing.assert_array_equal(t.legal, [[False, True, True]] * 2)


def test_bad_masks_are_faults():
    class Stuck(Careful):
        def mask(self):
            return super().mask() & (getattr(self, "steps", 0) < 1)

    env = make(Stuck)
    env.reset(0)
    with pytest.raises(EnvironmentFault, match="step 1: action mask allows no action"):
        env.step(np.zeros(1, np.int32))

    class Short(Careful):
        def mask(self):
            return super().mask()[1:]

    with pytest.raises(EnvironmentFault, match="action mask has 2 entries, not 3"):
        make(Short).reset(0)


def test_masks_of_several_choices_lie_end_to_end():
    env = make(Levers)
    t = env.reset(0)
    np.testing.assert_array_equal(t.legal, [[True, False, False, True, True]])
    out, t = env.step(np.array([[0, 1]]))  # the episode is over: no mask is needed
    assert out.legal.all()
    assert not t.legal.all()
    with pytest.raises(EnvironmentFault, match="step 2: action mask is missing"):
        env.step(np.array([[0, 2]]))


def test_a_replay_that_ends_too_early_begins_anew():
    env, short = make(Counter, length=9), make(Counter, length=2)
    env.reset(0)
    for _ in range(4):
        env.step(act(env))
    with pytest.warns(RuntimeWarning, match="not deterministic"):
        t = short.restore(env.snapshot())
    assert t.first.all()
    assert t.obs[0, 1] == 0


def test_an_environment_that_cannot_be_copied_is_refused():
    example = Counter()
    example.lock = threading.Lock()
    with pytest.raises(BadConfig, match=r"Counter cannot be copied .* give a function"):
        make(example)


def test_an_environment_object_is_copied_for_every_user():
    example = Counter(length=2)
    a, b = make(example), make(example, envs=3)
    a.reset(0)
    b.reset(0)
    a.step(act(a))
    assert b.step(act(b))[0].obs[0, 1] == 1
    assert a.name == "Counter"


def test_pictures():
    env = make("toys:Counter", render_mode="rgb_array")
    env.reset(0)
    env.step(act(env))
    picture = env.frame()
    assert picture.shape == (4, 6, 3)
    assert picture.dtype == np.uint8
    assert (picture == 1).all()
    blind = make(Blind)
    blind.reset(0)
    with pytest.raises(EnvironmentFault, match=r"Blind, environment 0.* no picture"):
        blind.frame()


def test_classic_pictures_need_no_display():
    env = make("Pendulum-v1", backend="gymnasium")
    env.reset(0)
    assert env.frame().shape == (500, 500, 3)
    env.close()
    env.close()


def test_closing_ends_every_environment():
    closed = []

    class Closing(Counter):
        def close(self):
            closed.append(self)

    env = make(Closing, envs=3)
    closed.clear()  # one was made to look at
    env.close()
    assert len(closed) == 3


def test_results_are_those_of_gymnasium_itself():
    env = make("Acrobot-v1", backend="gymnasium")
    twin = gymnasium.make("Acrobot-v1")
    t = env.reset(4)
    obs, _ = twin.reset(seed=episode_seed(4, 0, 0))
    np.testing.assert_array_equal(t.obs[0], obs)
    for i in range(500):
        out, t = env.step(np.array([i % 3]))
        obs, reward, terminated, truncated, _ = twin.step(i % 3)
        np.testing.assert_array_equal(out.obs[0], obs)
        assert out.reward[0] == reward
        assert (out.terminated[0], out.truncated[0]) == (terminated, truncated)
        if terminated or truncated:
            break
    assert terminated or truncated
