"""Is an episode the same when it is played again, whatever was played before; and is
its last observation its own?"""

from collections.abc import Iterator, Sequence

import numpy as np

from .findings import Broken, Finding
from .patient import Moment, Patient
from .play import at_random, Episode, play, replay


TWICE = 2  # episodes that are played again
OPENINGS = 30  # resets that say where episodes open
ROOM = 0.25  # of that range, on either side of it
LATE = 200  # moments that say where episodes go
NEXT = "what is shown by playing again could not be examined"
DOUBT = 1e-3  # chance of a coincidence that is still taken for one


def same_seed(patient: Patient, episodes: Sequence[Episode]) -> Iterator[Finding]:
    """A second instance, with the seeds and the actions of the first."""
    for episode in episodes[:TWICE]:
        again = replay(patient, episode.seed, episode.actions)
        if other := difference(patient, episode.moments, again):
            yield Finding(
                "error",
                "seed",
                f"two instances, seed {episode.seed} and the same actions: {other}; "
                f"{NEXT}",
                "call super().reset(seed=seed) and draw every random number from "
                "self.np_random; nothing from global or shared state",
            )
            return


def after_others(patient: Patient, episode: Episode, *, seed: int) -> Iterator[Finding]:
    """The instance that has played others, one of which is broken off half-way, begins
    anew."""
    half = max(1, len(episode.actions) // 2)
    for before in ("whole episodes", "an episode broken off"):
        again = replay(patient, episode.seed, episode.actions)
        if other := difference(patient, episode.moments, again):
            yield Finding(
                "error",
                "reset",
                f"seed {episode.seed} and the same actions after {before}: {other}; "
                f"{NEXT}",
                "let reset set everything that step changes",
            )
            return
        play(patient, seed, at_random(patient, seed), longest=half)


def difference(
    patient: Patient, first: Sequence[Moment], again: Sequence[Moment]
) -> str | None:
    """What differs first between two accounts of one episode."""
    for step, (a, b) in enumerate(zip(first, again, strict=False)):
        if what := apart(patient, a, b):
            return f"at {place(step)} {what}"
    if len(first) != len(again):
        return f"it went on for {len(first) - 1} steps, then for {len(again) - 1}"
    return None


def apart(patient: Patient, a: Moment, b: Moment) -> str | None:
    """What two moments differ in, if they do."""
    for leaf, x, y in zip(patient.obs.leaves, a.obs, b.obs, strict=True):
        if x.tobytes() != y.tobytes():
            where = np.argwhere(np.atleast_1d((x != y) & ((x == x) | (y == y))))
            at = tuple(int(i) for i in where[0])[: x.ndim] if len(where) else ()
            entry = f"{leaf.name}{list(at) if at else ''}"
            return f"{entry} was {told(x, y, at)}"
    pairs = {
        "reward": (a.reward, b.reward),
        "terminated": (a.terminated, b.terminated),
        "truncated": (a.truncated, b.truncated),
    }
    for name, (x, y) in pairs.items():
        if x != y and not (x != x and y != y):
            return f"{name} was {x}, then {y}"
    if not np.array_equal(bits(a.legal), bits(b.legal)):
        return f"the mask was {bits(a.legal)}, then {bits(b.legal)}"
    return None


def told(x: np.ndarray, y: np.ndarray, at: tuple[int, ...]) -> str:
    """Two numbers, with as many digits as tell them apart."""
    if len(at) != x.ndim:
        return "one, then another"
    short = f"{x[at]:.4g}", f"{y[at]:.4g}"
    a, b = short if short[0] != short[1] else (x[at], y[at])
    return f"{a}, then {b}"


def bits(legal: np.ndarray | None) -> list[int]:
    return [] if legal is None else legal.astype(int).tolist()


def place(step: int) -> str:
    return f"step {step}" if step else "the reset"


def own_end(patient: Patient, episodes: Sequence[Episode]) -> Iterator[Finding]:
    """Whether the last observation is where the episode ended, rather than where the
    next one begins."""
    ended = [e for e in episodes if e.ended and len(e.actions) > 1]
    if len(ended) < 2:
        return
    if taken := next_first(patient, ended[:10]):
        yield Finding(
            "error",
            "final",
            f"the last observation of all {taken} episodes tried is the first of the "
            f"next one, to the bit (seed {ended[0].seed}, step "
            f"{len(ended[0].actions)})",
            "do not reset within step: return the observation that the last action "
            "led to",
        )
    elif looks_opening(patient, ended, seed=episodes[-1].seed + 1):
        yield Finding(
            "warning",
            "final",
            f"the last observations of all {len(ended)} episodes lie where episodes "
            "open, and those before them do not: they look like the next one's first "
            f"(seed {ended[0].seed}, step {len(ended[0].actions)})",
            "do not reset within step: return the observation that the last action "
            "led to (unless the goal is to come back)",
        )


def next_first(patient: Patient, ended: Sequence[Episode]) -> int | None:
    """In how many episodes the last observation is what a reset in its place would
    have given, if in all, and if that is no coincidence."""
    opened = [e.moments[0] for e in ended]
    pairs = [(a, b) for i, a in enumerate(opened) for b in opened[:i]]
    alike = np.mean([same_obs(a, b) for a, b in pairs])
    if alike ** len(ended) > DOUBT:
        return None
    for episode in ended:
        replay(patient, episode.seed, episode.actions[:-1])
        try:
            fresh = patient.reset(None)
        except Broken as broken:
            patient.file(broken.finding)
            return None
        if not same_obs(fresh, episode.moments[-1]):
            return None
    return len(ended)


def same_obs(a: Moment, b: Moment) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a.obs, b.obs, strict=True))


def looks_opening(patient: Patient, ended: Sequence[Episode], *, seed: int) -> bool:
    """Whether all last observations lie within the range of first ones, where others
    are seldom found."""
    more = [replay(patient, seed + k, ()) for k in range(OPENINGS)]
    opened = np.stack([flat(m) for e in ended for m in e.moments[:1]])
    opened = np.concatenate([opened, *(flat(m)[None] for one in more for m in one)])
    low, high = opened.min(axis=0), opened.max(axis=0)
    room = ROOM * (high - low)

    def inside(moment: Moment) -> bool:
        x = flat(moment)
        return bool(((x >= low - room) & (x <= high + room)).all())

    late = [m for e in ended for m in e.moments[1 + len(e.moments) // 2 : -1]]
    if not late or not all(inside(e.moments[-1]) for e in ended):
        return False
    often = np.mean([inside(m) for m in late[:: 1 + len(late) // LATE]])
    return bool(often ** len(ended) < DOUBT)


def flat(moment: Moment) -> np.ndarray:
    """The whole observation as one row of numbers."""
    return np.concatenate([x.ravel().astype(float) for x in moment.obs])
