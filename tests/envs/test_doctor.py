"""Every ill is found and named, and the sound are left in peace."""

import re

import gymnasium
import jaxtyping
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit as TimeLimitOfTheirs
from ill import (
    Board,
    Candle,
    Framed,
    ILL,
    LostAtLast,
    NeverEnds,
    Puck,
    Slider,
    Slots,
    SlowMotor,
    Sparing,
)
from ill_worlds import Branches, Drift, ILL as ILL_WORLDS, Remembers
from toys import Echo

from peira.envs import PROBES, TimeLimit
from peira.envs.classic import CLASSIC
from peira.envs.doctor import examine


def told(examination):
    return [(f.severity, f.check) for f in examination.findings]


def short(world):
    return TimeLimit(world.env, 100)


@pytest.fixture
def as_a_user():
    """Nobody checks the types of a user's environment; and it is faster."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("env", ILL, ids=lambda cls: cls.__name__)
def test_an_ill_is_found_and_nothing_else(env):
    found = examine(env, episodes=1 if env is NeverEnds else 12)
    severity, check, words = ILL[env]
    assert told(found) == [(severity, check)], found.findings
    for finding in found.findings:
        for line in (finding.seen, finding.mend):
            assert line
            assert "\n" not in line
    assert words in found.findings[0].seen


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("world", ILL_WORLDS, ids=lambda cls: cls.__name__)
def test_an_ill_of_a_world_in_jax_is_found_and_nothing_else(world):
    found = examine(world(), episodes=1 if world is Branches else 6)
    severity, check, words = ILL_WORLDS[world]
    assert told(found) == [(severity, check)], found.findings
    assert words in found.findings[0].seen


@pytest.mark.parametrize("env", [Puck, Slider, Slots, Drift(), Remembers()])
def test_nothing_is_found_where_nothing_is_wrong(env):
    assert told(examine(env)) == []


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("env", [Candle, Framed, LostAtLast, SlowMotor, Sparing])
def test_nothing_is_found_where_it_only_seems_so(env):
    assert told(examine(env)) == []


SOUND = {
    **{f"{name} in JAX": short(CLASSIC[name]) for name in [*CLASSIC][:4]},
    **{name: name for name in CLASSIC},
    "HalfCheetah-v5": "HalfCheetah-v5",
    "Hopper-v5": "Hopper-v5",
    "probe:masked": PROBES["probe:masked"],
    "Board": Board,
}


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("name", SOUND)
def test_the_sound_are_left_in_peace(name):
    """What is odd about MountainCar and Acrobot (one reward, no episode that ends
    before its limit) is worth a note and no more."""
    limit = {}
    if name in ("HalfCheetah-v5", "Hopper-v5"):
        pytest.importorskip("mujoco")
        limit = {"max_episode_steps": 100}
    found = examine(SOUND[name], episodes=3, backend="gymnasium", kwargs=limit)
    assert {f.severity for f in found.findings} <= {"note"}, found.findings
    assert ("note", "clock") in told(found) or name in ("probe:masked", "Board")
    assert ("note", "mask") not in told(found)
    rare = name.startswith(("Acrobot", "MountainCar-"))
    assert ("note", "reward") in told(found) or not rare
    assert [len(x) for x in found.returns.values()] == [3, 3]


class Stubborn(Puck):
    """Raises when pushed to one side three times running."""

    def reset(self, *, seed=None, options=None):
        self.given = []
        return super().reset(seed=seed)

    def push(self, action):
        self.given.append(int(action))
        if len(self.given) > 2 and len({*self.given[-3:]}) == 1:
            raise ValueError("enough")
        return super().push(action)


def test_a_finding_can_be_seen_again_by_hand():
    """With its seed, for the environment and for the space it is sampled from."""
    (finding,) = examine(Stubborn, episodes=3).findings
    seed, step = map(int, re.findall(r"seed (\d+), step (\d+)\)", finding.seen)[0])
    env = Stubborn()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(step - 1):
        assert not any(env.step(env.action_space.sample())[2:4])
    with pytest.raises(ValueError, match="enough"):
        env.step(env.action_space.sample())


class Pays(gymnasium.Env):
    """Three steps; action k pays k + 1, to which a coin adds 3 now and then."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(3, start=5)
    seeds = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        coin = 3 * self.np_random.integers(2)
        obs = np.full(1, self.steps / 3, np.float32)
        return obs, float(action - 4 + coin), self.steps == 3, False, {}


def test_what_a_learner_must_beat():
    found = examine(Pays, episodes=40)
    assert list(found.returns) == ["random", "always 7"]
    assert found.returns["random"].mean() == pytest.approx(3 * 3.5, abs=2)
    assert found.returns["always 7"].mean() == pytest.approx(3 * 4.5, abs=2)
    assert {*found.returns["always 7"]} <= {9.0, 12.0, 15.0, 18.0}
    assert all((x == 3).all() for x in found.lengths.values())
    for name, returns in found.returns.items():
        assert len(returns) == 40, name
    told = {one.name: one for one in found.spreads}
    share, reward = told["observation[0]"], told["reward"]
    assert (share.min, share.max) == (0, 1)
    assert share.mean == pytest.approx(0.5)
    assert share.std == pytest.approx(np.std([0, 1 / 3, 2 / 3, 1]))
    assert (reward.min, reward.max) == (1, 6)
    assert told["length of an episode"][1:] == (3, 0, 3, 3)


LIKED = {
    "always lowest": lambda a: -a.sum(),
    "always middle": lambda a: -np.square(a).sum(),
    "always highest": lambda a: a.sum(),
    "always middle, [0] lowest": lambda a: -a[0] - np.square(a[1]),
    "always middle, [1] highest": lambda a: a[1] - np.square(a[0]),
}


@pytest.mark.parametrize("best", LIKED)
def test_the_best_constant_policy_of_a_range_is_found(best):
    class Likes(Slider):
        def earn(self, action):
            return float(LIKED[best](np.asarray(action)))

        def ends(self):
            return False, self.steps >= 5

    assert list(examine(Likes, episodes=2).returns) == ["random", best]


def test_the_winner_of_the_race_is_scored_on_fresh_episodes():
    Pays.seeds.clear()
    examine(Pays, episodes=8, seed=100)
    race = {108, 109}
    fresh = [*range(110, 118)]
    assert Pays.seeds[-8:] == fresh
    assert Pays.seeds[-14:-8] == sorted(race) * 3


RANGE, PLANE = (spaces.Box(-1, 1, n, np.float32) for n in ((), (2, 2)))
ACTIONS = {
    "action": spaces.Discrete(40, start=-3),
    "action[0], action[2]": spaces.MultiDiscrete([2, 1, 3]),
    "action[0, 0], action[0, 1]": spaces.MultiBinary((1, 2)),
    "action[0], action[1]": spaces.Box(0, 255, (2,), np.uint8),
    "action['a'], action['b'][0, 0], action['b'][0, 1]": spaces.Dict(
        a=spaces.Discrete(3), b=spaces.Box(0, 1, (1, 2), np.float64)
    ),
    "action[0], action[1][0]": spaces.Tuple([RANGE, spaces.MultiDiscrete([2])]),
}
OBSERVATIONS = [
    spaces.Discrete(5, start=2),
    spaces.Tuple([spaces.MultiBinary((2, 2)), spaces.Box(0, 255, (4, 4, 3), np.uint8)]),
    spaces.Dict(x=spaces.MultiDiscrete([3, 4]), y=spaces.Box(-np.inf, np.inf, (2,))),
]


@pytest.mark.parametrize("dead", ACTIONS)
def test_every_entry_of_every_space_of_actions_is_tried(dead):
    """Where what is done changes nothing, all of them are dead."""
    env = TimeLimitOfTheirs(Echo(PLANE, ACTIONS[dead]), 6)
    (finding,) = (f for f in examine(env, episodes=3).findings if f.check == "action")
    assert finding.severity == "warning"
    assert f"no choice of {dead} made a difference" in finding.seen


@pytest.mark.parametrize("space", OBSERVATIONS, ids=lambda s: type(s).__name__)
def test_every_space_of_observations_is_seen(space):
    found = examine(TimeLimitOfTheirs(Echo(space, spaces.Discrete(2)), 6), episodes=3)
    assert {f.check for f in found.findings} == {"action", "reward", "clock"}
    assert len(found.spreads) > 2
    assert all(one.min < one.max for one in found.spreads[:-2])


GARBAGE = [None, (), "x", 3, np.zeros(0), np.array(["a"]), [[1], [1, 2]], {}, object()]


class Garbage(Puck):
    """Gives nonsense in one place, from some step on."""

    def __init__(self, place, nonsense, since):
        super().__init__()
        self.place_of, self.nonsense, self.since = place, nonsense, since

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        return self.spoil("reset", [answer, *answer])

    def step(self, action):
        answer = super().step(action)
        return self.spoil("step", [answer, *answer])

    def spoil(self, call, parts):
        where, _, i = self.place_of.partition(" ")
        if call == where and self.steps >= self.since:
            parts[int(i)] = self.nonsense
        return parts[0] if i == "0" or call != where else tuple(parts[1:])


HARMLESS = {"reset 2": [7], "step 2": [3], "step 3": [3], "step 4": [3], "step 5": [7]}
PLACES = [
    *[(f"reset {i}", 0) for i in range(3)],
    *[(f"step {i}", since) for i in range(6) for since in (0, 3)],
]


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(("place", "since"), PLACES)
def test_nonsense_is_a_finding_and_never_a_traceback(place, since):
    for i, nonsense in enumerate(GARBAGE):
        kwargs = {"place": place, "nonsense": nonsense, "since": since}
        found = examine(Garbage, episodes=2, kwargs=kwargs)
        errors = [f for f in found.findings if f.severity == "error"]
        assert errors or i in HARMLESS.get(place, ()), nonsense
