"""Episodes with an environment under examination: played at random, with one action
throughout, or played again."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces as theirs

from ...core import Box, Discrete, MultiBinary, MultiDiscrete
from .findings import Broken
from .patient import Moment, Patient


LONGEST = 2_000  # steps; an episode that has not ended by then is broken off
KEPT = 2**25  # bytes of observations that are kept
CONSTANTS = 9  # constant policies tried


class Episode(NamedTuple):
    """What happened from a reset on: one moment more than actions."""

    seed: int
    actions: list[Any]
    moments: list[Moment]

    @property
    def ended(self) -> bool:
        """Whether it came to its end, rather than broken off or down."""
        return bool(self.moments) and self.moments[-1].over

    @property
    def earned(self) -> float:
        return float(sum(m.reward for m in self.moments))

    def bare(self) -> "Episode":
        """Without its observations, which take room."""
        return self._replace(moments=[m._replace(obs=()) for m in self.moments])


Choose = Callable[[Moment], Any]


def play(
    patient: Patient, seed: int, choose: Choose, *, longest: int = LONGEST
) -> Episode:
    """One episode, as far as it goes; why it broke down is filed."""
    episode = Episode(seed, [], [])
    try:
        episode.moments.append(patient.reset(seed))
        while len(episode.actions) < longest and not episode.moments[-1].over:
            action = choose(episode.moments[-1])
            episode.moments.append(patient.step(action))
            episode.actions.append(action)
    except Broken as broken:
        patient.file(broken.finding)
    return episode


def at_random(patient: Patient, seed: int) -> Choose:
    """Legal actions as the action space draws them: whoever seeds the space with the
    episode's seed and samples from it does the same."""
    space = patient.env.action_space
    space.seed(seed)
    return lambda moment: space.sample(room(space, moment.legal))


def room(space: Any, legal: np.ndarray | None) -> Any:
    """A mask as the space wants it for sampling."""
    if legal is None or not legal.any():
        return None
    bits = legal.astype(np.int8)
    if isinstance(space, theirs.Discrete):
        return bits
    return tuple(np.split(bits, np.cumsum(space.nvec.ravel())[:-1]))


def always(patient: Patient, seed: int, action: Any) -> Choose:
    """One action wherever it is legal, elsewhere a random one."""
    otherwise = at_random(patient, seed)
    leaf = patient.act.leaves[0]
    chosen = np.array(leaf.enter(leaf.take(action)[None])[0])

    def choose(moment: Moment) -> Any:
        if moment.legal is None or allows(moment.legal, leaf.ours, chosen):
            return action
        return otherwise(moment)

    return choose


def allows(legal: np.ndarray, space: Any, chosen: np.ndarray) -> bool:
    """Whether a mask allows an action, counted from zero."""
    if isinstance(space, Discrete):
        return bool(legal[int(chosen)])
    starts = np.cumsum([0, *space.nvec[:-1]])
    return bool(legal[starts + chosen].all())


def random_play(patient: Patient, *, episodes: int, seed: int) -> list[Episode]:
    """Episodes of random play, with the seeds from `seed` on; observations are kept
    while there is room."""
    played, kept = [], 0
    for k in range(episodes):
        episode = play(patient, seed + k, at_random(patient, seed + k))
        kept += sum(x.nbytes for m in episode.moments for x in m.obs)
        played.append(episode if kept <= KEPT or not k else episode.bare())
    return played


def replay(patient: Patient, seed: int, actions: Sequence[Any]) -> list[Moment]:
    """The same again: what each action brings, as far as it goes."""
    left = iter(actions)
    return play(patient, seed, lambda _: next(left), longest=len(actions)).moments


def constants(patient: Patient) -> dict[str, Any]:
    """Actions worth repeating for ever, by name: each choice, or the ends and the
    middle of a range."""
    leaves = patient.act.leaves
    one = leaves[0].ours
    if len(leaves) == 1 and isinstance(one, Discrete):
        picked = np.unique(np.linspace(0, one.n - 1, min(one.n, CONSTANTS)).astype(int))
        rows = [leaves[0].leave(np.array([k]))[0] for k in picked]
        return {f"always {row}": patient.act.build((row,)) for row in rows}
    ends = {"lowest": 0.0, "highest": 1.0}
    items = {
        f"always {name}": [part(leaf.ours, share) for leaf in leaves]
        for name, share in {"middle": 0.5, **ends}.items()
    }
    if len(leaves) == 1 and isinstance(one, Box) and one.size > 1:
        for i in range(min(one.size, (CONSTANTS - 3) // 2)):
            for name, share in ends.items():
                x = part(one, 0.5)
                x.flat[i] = part(one, share).flat[i]
                items[f"always middle, [{i}] {name}"] = [x]
    found = {}
    for name, item in items.items():
        row = [leaf.leave(x[None])[0] for leaf, x in zip(leaves, item, strict=True)]
        found[name] = patient.act.build(tuple(row))
    return found


def part(space: Any, share: float) -> np.ndarray:
    """The item of a space that lies at this share of its range."""
    match space:
        case Discrete():
            return np.array(round(share * (space.n - 1)), np.int32)
        case MultiDiscrete():
            top = np.array(space.nvec) - 1
            return np.rint(share * top).astype(np.int32)
        case MultiBinary():
            return np.full(space.shape, round(share), np.int8)
    if not space.bounded:
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    low, high = space.low.astype(float), space.high.astype(float)
    return np.asarray(low + share * (high - low), space.dtype)
