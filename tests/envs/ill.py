"""Sound environments, and the same with one thing wrong each: what the examination has
to find, and nothing else."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Puck(gymnasium.Env):
    """A puck on a windy table is pushed to one of four sides. It is lost beyond the
    edge; after 30 steps time runs out, which is shown. There is nothing wrong with it.
    """

    def __init__(self):
        self.observation_space = spaces.Box(-10, 10, (5,), np.float32)
        self.action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.place = self.np_random.uniform(-1, 1, 2)
        self.velocity = np.zeros(2)
        return self.look(), {}

    def step(self, action):
        self.steps += 1
        self.velocity = 0.8 * self.velocity + 0.2 * self.push(action) + self.wind()
        self.place = self.place + self.velocity
        return self.look(), self.earn(action), *self.ends(), {}

    def wind(self):
        return 0.1 * self.np_random.normal(size=2)

    def push(self, action):
        return np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[action]

    def look(self):
        return np.array([*self.place, *self.velocity, self.steps / 30], np.float32)

    def earn(self, action):
        return -float(np.square(self.place).sum())

    def lost(self):
        return bool(np.abs(self.place).max() > 4)

    def ends(self):
        return self.lost(), self.steps >= 30 and not self.lost()


class Slider(Puck):
    """The puck is pushed in any direction. There is nothing wrong with it either."""

    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def push(self, action):
        return np.asarray(action)


class Board(gymnasium.Env):
    """A stone falls, which is to be caught: every game takes 6 steps, and the board
    shows which. There is nothing wrong with it."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 1, (6, 3), np.float32)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.row, self.column = 0, int(self.np_random.integers(3))
        self.hand = 1
        return self.look(), {}

    def look(self):
        board = np.zeros((6, 3), np.float32)
        board[min(self.row, 5), self.column] = board[5, self.hand] = 1
        return board

    def step(self, action):
        self.row, self.hand = self.row + 1, int(action)
        over = self.row == 6
        return self.look(), float(over and self.hand == self.column), over, False, {}


class Candle(Puck):
    """It goes out after 24 to 26 steps, which are not shown: nobody's clock."""

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        self.length = 24 + self.np_random.integers(3)
        return answer

    def look(self):
        return np.array([*self.place, *self.velocity, self.velocity.sum()], np.float32)

    def push(self, action):
        return super().push(action) - self.place

    def ends(self):
        return bool(self.steps >= self.length), False


class LostAtLast(Puck):
    """In the very last step it may be lost while time runs out, which is both."""

    def lost(self):
        return super().lost() or bool(self.steps == 30 and self.place[0] > 0)

    def ends(self):
        return self.lost(), self.steps >= 30


class Sparing(Puck):
    """Pays little, and seldom."""

    def earn(self, action):
        pay = 0.003 if self.place[0] > 0 else 0.002
        return 0.0 if self.steps % 20 else pay


class SlowMotor(Slider):
    """The push comes near what is wanted, a fifth of the way to full at a step."""

    def reset(self, *, seed=None, options=None):
        self.motor = np.zeros(2)
        return super().reset(seed=seed)

    def push(self, action):
        self.motor = self.motor + np.clip(action - self.motor, -0.2, 0.2)
        return self.motor


class Framed(Board):
    """The board has a frame, which does not change."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(0, 1, (6, 4), np.float32)

    def look(self):
        return np.hstack([super().look(), np.ones((6, 1), np.float32)])


Ills = dict[type, tuple[str, str, str]]


def marks(table: Ills) -> Any:
    """A mark for what is wrong with an environment and what must be said of it."""

    def ill(severity: str, check: str, said: str = "") -> Any:
        def mark(cls: type) -> type:
            table[cls] = severity, check, said
            return cls

        return mark

    return ill


ILL: Ills = {}
ill = marks(ILL)


@ill(
    "error",
    "interface",
    "it cannot be made: CannotBeMade: making it raised ZeroDivisionError",
)
class CannotBeMade(Puck):
    def __init__(self):
        raise ZeroDivisionError("no\ntable")


@ill("error", "interface")
class HasNoSpaces(Puck):
    def __init__(self):
        pass


@ill("error", "space")
class SpeaksInTongues(Puck):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Text(5)


@ill("error", "action")
class Unbounded(Slider):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def push(self, action):
        return np.tanh(action)


@ill("error", "interface")
class ResetRaises(Puck):
    def reset(self, *, seed=None, options=None):
        raise KeyError("table")


@ill("error", "interface", "unexpected keyword argument 'seed' (seed 0, reset)")
class ResetTakesNoSeed(Puck):
    def reset(self):
        return super().reset()


@ill("error", "interface")
class ResetGivesNoInfo(Puck):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


@ill("error", "interface")
class StepRaises(Puck):
    def push(self, action):
        if self.steps == 7:
            raise ValueError("[/red] 'x' [bold]\n" + "long " * 100)
        return super().push(action)


@ill("error", "interface", "4 things (ndarray, float, bool, dict) (seed 0, step 1)")
class StepGivesFour(Puck):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


@ill("error", "interface")
class RewardIsNothing(Puck):
    def earn(self, action):
        return None


@ill("error", "interface")
class RewardIsRagged(Puck):
    def earn(self, action):
        return [[1.0], [1.0, 2.0]]


@ill("warning", "interface", "reward is an array of shape (1,)")
class RewardIsAnArray(Puck):
    def earn(self, action):
        return np.array([super().earn(action)])


@ill("warning", "interface")
class DeathIsANumber(Puck):
    def ends(self):
        lost, late = super().ends()
        return int(lost), late


@ill("error", "interface")
class EndsAreNothing(Puck):
    def ends(self):
        return None, None


@ill("error", "space", "observation[2] = nan is not finite (seed 0, step 9)")
class SeesNaN(Puck):
    def look(self):
        obs = super().look()
        obs[2] = np.nan if self.steps == 9 else obs[2]
        return obs


@ill("error", "space")
class SeesTooFar(Puck):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-1.5, 1.5, (5,), np.float32)


@ill("error", "space", "observation has shape (4,), its space says (5,)")
class SeesTooLittle(Puck):
    def look(self):
        return super().look()[:4]


@ill("error", "space")
class SeesText(Puck):
    def look(self):
        return "nothing"


@ill("warning", "space")
class SeesDouble(Puck):
    def look(self):
        return super().look().astype(np.float64)


@ill("error", "seed", "the same actions: at step 1 observation[0] was ")
class DrawsElsewhere(Puck):
    def push(self, action):
        return super().push(action) + 0.01 * np.random.default_rng().normal(size=2)


@ill("error", "seed")
class StartsElsewhere(Puck):
    def reset(self, *, seed=None, options=None):
        return super().reset()


@ill("error", "reset", "after whole episodes: at the reset observation[2] was 0, then ")
class KeepsMomentum(Puck):
    velocity = np.zeros(2)

    def reset(self, *, seed=None, options=None):
        before = self.velocity
        super().reset(seed=seed)
        self.velocity = before
        return self.look(), {}


@ill("error", "reset", "after whole episodes: at step 1 observation[")
class WearsOut(Puck):
    worn = 0

    def reset(self, *, seed=None, options=None):
        self.worn += 1
        return super().reset(seed=seed)

    def push(self, action):
        return super().push(action) * 0.999**self.worn


@ill("warning", "array")
class WritesOver(Puck):
    def __init__(self):
        super().__init__()
        self.buffer = np.zeros(5, np.float32)

    def look(self):
        self.buffer[:] = super().look()
        return self.buffer


@ill("warning", "array")
class WritesIntoActions(Slider):
    def push(self, action):
        action *= 0.5
        return action


@ill("warning", "final")
class ResetsItself(Puck):
    def step(self, action):
        obs, *rest, info = super().step(action)
        if any(self.ends()):
            obs, info = self.reset()
        return obs, *rest, info


@ill("warning", "final")
class ResetsItselfAnywhere(ResetsItself):
    """There is a flag on the table, in a new place each time."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-10, 10, (11,), np.float32)

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        self.flag = self.np_random.normal(size=6)
        return super().reset()

    def look(self):
        return np.concatenate([super().look(), self.flag], dtype=np.float32)


@ill("error", "final")
class ResetsItselfInACalm(ResetsItself):
    def wind(self):
        return 0.0


@ill("warning", "final")
class ResetsItselfToOnePlace(ResetsItself):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = np.zeros(2)
        return self.look(), {}


@ill("warning", "end", "12 of 12 episodes ended terminated after exactly 25 steps")
class DiesOfTime(Puck):
    """Never lost, and the time is not shown."""

    def look(self):
        return np.array([*self.place, *self.velocity, self.velocity.sum()], np.float32)

    def push(self, action):
        return super().push(action) - self.place

    def ends(self):
        return self.steps >= 25, False


@ill("warning", "end")
class DiesOfTimeAtLast(DiesOfTime):
    """Now and then lost before."""

    def push(self, action):
        return super().push(action) - 0.2 * self.place

    def ends(self):
        return self.steps >= 25 or bool(self.place[0] > 0.7 and self.steps > 3), False


@ill("warning", "end", "episodes were truncated at ")
class SurvivesDeath(Puck):
    def ends(self):
        return False, super().ends()[0] or super().ends()[1]


@ill("warning", "end")
class EndsTwice(Puck):
    def ends(self):
        return self.lost(), self.lost() or self.steps >= 30


@ill("note", "clock", "cut after 30 steps")
class HidesTheTime(Puck):
    def look(self):
        return np.array([*self.place, *self.velocity, self.velocity.sum()], np.float32)


@ill("note", "observation", "observations of random play: observation[3]")
class HasADeadEntry(Puck):
    def look(self):
        return np.array([*self.place, *self.velocity[:1], 3, self.steps / 30], "f4")


@ill("warning", "observation", "observations of random play: observation[1]")
class SeesHugely(Puck):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-np.inf, np.inf, (5,), np.float32)

    def look(self):
        return super().look() * np.array([1, 1e5, 1, 1, 1], np.float32)


@ill("note", "observation")
class SeesMinutely(Puck):
    def look(self):
        return super().look() * np.array([1, 1e-6, 1, 1, 1], np.float32)


@ill("warning", "observation")
class IsBlind(Puck):
    def look(self):
        return np.zeros(5, np.float32)

    def ends(self):
        return self.lost(), False


@ill("error", "reward")
class EarnsNaN(Puck):
    def earn(self, action):
        return float("nan") if self.steps == 5 else super().earn(action)


@ill("warning", "reward")
class EarnsNothing(Puck):
    def earn(self, action):
        return 0.0


@ill("warning", "reward")
class EarnsMillions(Puck):
    def earn(self, action):
        return 1e6 * super().earn(action)


@ill("warning", "reward")
class EarnsCrumbs(Puck):
    def earn(self, action):
        return 1e-6 * super().earn(action)


@ill("note", "reward")
class AlwaysEarnsTheSame(Puck):
    def earn(self, action):
        return 1.0 if self.steps == 1 else 0.0


@ill("warning", "action", "no choice of action[1] made a difference")
class HasADeadPush(Slider):
    def push(self, action):
        return np.asarray(action)[:1].repeat(2)


@ill("warning", "action")
class IsDeaf(Puck):
    def push(self, action):
        return np.zeros(2)


@ill(
    "warning",
    "action",
    "action[0] made no further difference below -0.25 and above 0.25",
)
class Saturates(Slider):
    def push(self, action):
        return np.clip(action, [-0.25, -1], [0.25, 1])


@ill("note", "action", "no further difference above 0.5, within [-1, 1], in ")
class SaturatesAbove(Slider):
    def push(self, action):
        return np.minimum(action, [0.5, 1.0])


@ill("note", "action", "action[1] changed rewards or ends, but no observation")
class CostsButDoesNothing(Slider):
    def push(self, action):
        return np.asarray(action) * [1.0, 0.0]

    def earn(self, action):
        return super().earn(action) - 0.1 * float(np.square(action).sum())


class Slots(gymnasium.Env):
    """Four slots are filled one after another with three kinds of stone, never the
    same one twice running, which a mask says. There is nothing wrong with it."""

    def __init__(self):
        self.observation_space = spaces.Dict(
            {"left": spaces.Discrete(7, start=-2), "last": spaces.MultiBinary(3)}
        )
        self.action_space = spaces.Discrete(3, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last, self.left = int(self.np_random.integers(3)), 4
        return self.look(), self.info()

    def look(self):
        return {"left": self.left, "last": np.eye(3, dtype=np.int8)[self.last]}

    def mask(self):
        return np.arange(3) != self.last

    def info(self):
        return {"action_mask": self.mask().astype(np.int8)}

    def refuse(self, stone):
        if not self.mask()[stone]:
            raise ValueError(f"stone {stone} twice")

    def step(self, action):
        stone = int(action) - 1
        self.refuse(stone)
        reward = float((stone - self.last) % 3)
        self.last, self.left = stone, self.left - 1
        return self.look(), reward, self.left == 0, False, self.info()


@ill("error", "mask", "no action is legal (seed 0, step 2)")
class LeavesNoChoice(Slots):
    def mask(self):
        return super().mask() & (self.left != 2)


@ill("error", "mask", "action mask has 4 entries, not 3")
class MasksTooMuch(Slots):
    def info(self):
        return {"action_mask": np.ones(4, np.int8)}


@ill("error", "mask", "there is no mask (seed 0, step 1)")
class ForgetsTheMask(Slots):
    def info(self):
        return super().info() if self.left == 4 else {}


@ill("warning", "mask", "a mask holds 0.5")
class MasksInShades(Slots):
    def info(self):
        return {"action_mask": 0.5 * self.mask()}


@ill("warning", "mask")
class MasksTwice(Slots):
    def action_masks(self):
        return self.mask()

    def info(self):
        return {"action_mask": np.ones(3, np.int8)}


@ill("note", "mask")
class ForbidsNothing(Slots):
    def mask(self):
        return np.ones(3, bool)


@ill("note", "mask")
class RefusesNothing(Slots):
    """What it then shows is not in its space, but nobody should have done it."""

    def refuse(self, stone):
        self.left = self.left if self.mask()[stone] else 100


@ill("error", "interface", "step raised ValueError: no more of these")
class RefusesWhatIsLegal(Slots):
    def refuse(self, stone):
        super().refuse(stone)
        if stone == 2 and self.left < 3:
            raise ValueError("no more of these")


@ill("note", "action", "the choices 1 and 2 did the same")
class HasTwins(Slots):
    """The second and the third stone are one."""

    def __init__(self):
        super().__init__()
        self.action_space = spaces.Discrete(4, start=1)

    def info(self):
        return {}

    def step(self, action):
        stone = max(int(action) - 2, 0)
        reward = float((stone - self.last) % 3)
        self.last, self.left = stone, self.left - 1
        return self.look(), reward, self.left == 0, False, {}


@ill("warning", "end", "none of 1 episodes had ended after 2,000 steps")
class NeverEnds(gymnasium.Env):
    """To and fro on a ring."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(12))
        return self.look(), {}

    def look(self):
        angle = self.place * np.pi / 6
        return np.array([np.cos(angle), np.sin(angle)], np.float32)

    def step(self, action):
        self.place += 1 if action else -1
        return self.look(), float(self.look()[0]), False, False, {}


def vectorised() -> gymnasium.vector.VectorEnv:
    return gymnasium.vector.SyncVectorEnv([Puck])
