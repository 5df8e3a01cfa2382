"""Does every action matter? From states reached by seed and replay, actions that differ
in one entry are tried, and what comes of them is compared."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core import Box, Discrete, MultiDiscrete
from .findings import Finding
from .patient import Moment, Patient
from .play import Episode, replay
from .scale import entry, listed


EPISODES, TIMES = 3, (0, 5, 30)  # the states: of which episodes, after how many steps
HELD = 10  # steps for which an entry is held: motors take time
GRID = 9  # values tried over the range of a number
MOST = 32  # choices or entries tried of one array


class Knob(NamedTuple):
    """One entry of an action and the values tried for it, counted as we count."""

    leaf: int
    entry: int
    name: str
    values: tuple[float, ...]
    number: bool
    """Whether the values lie on a range, in order."""


class Effect(NamedTuple):
    """What came of an action."""

    seen: tuple[bytes, ...]
    """One observation after another."""
    all: bytes
    """With rewards, ends and masks."""


Tried = Sequence[Mapping[float, Effect]]
"""For each state the effect of each value that is legal there."""


def actions(patient: Patient, episodes: Sequence[Episode]) -> Iterator[Finding]:
    """Entries and choices that make no difference, and ranges that end too late."""
    states = [(e, t) for e in episodes[:EPISODES] for t in TIMES if t < len(e.actions)]
    if not states:
        return
    patient.how = ", after another action than the episode's"
    tried = {k: [try_all(patient, e, t, k) for e, t in states] for k in knobs(patient)}
    where = (
        f"in {len(states)} states (seed {states[0][0].seed}, step {states[0][1]}; ...)"
    )
    dead = [k for k, found in tried.items() if is_dead(found)]
    if dead:
        names = [k.name for k in dead]
        yield Finding(
            "warning",
            "action",
            f"no choice of {listed(names)} made a difference to what is observed or "
            f"rewarded {where}",
            "let step use it, or take it out of action_space",
        )
    for knob, found in tried.items():
        if knob in dead:
            continue
        yield from saturated(patient, knob, found, where)
        yield from twins(patient, knob, found, where)
    yield from unseen(tried, dead, where)


def knobs(patient: Patient) -> list[Knob]:
    """What can be turned about an action."""
    found = []
    for j, leaf in enumerate(patient.act.leaves):
        space = leaf.ours
        for i in spaced(space.size):
            match space:
                case Discrete():
                    values = spaced(space.n)
                case MultiDiscrete():
                    values = spaced(space.nvec[i])
                case Box() if space.bounded:
                    low, high = float(space.low.flat[i]), float(space.high.flat[i])
                    grid = np.linspace(low, high, GRID)
                    grid = np.rint(grid) if space.dtype.kind != "f" else grid
                    values = np.unique(grid).tolist()
                case Box():
                    values = [-1.0, 0.0, 1.0]
                case _:
                    values = [0, 1]
            tried = tuple(map(float, values))
            if len(tried) > 1:
                number = isinstance(space, Box)
                found.append(Knob(j, i, entry(leaf, i), tried, number))
    return found


def spaced(n: int) -> list[int]:
    """All of n, or as many as are tried of them."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(int)).tolist()


def turn(patient: Patient, action: Any, knob: Knob, value: float) -> Any:
    """The action with one entry changed."""
    row = [leaf.take(action) for leaf in patient.act.leaves]
    leaf = patient.act.leaves[knob.leaf]
    ours = np.array(leaf.enter(row[knob.leaf][None])[0])
    ours.flat[knob.entry] = value
    row[knob.leaf] = leaf.leave(ours[None])[0]
    return patient.act.build(tuple(row))


def try_all(
    patient: Patient, episode: Episode, at: int, knob: Knob
) -> dict[float, Effect]:
    """The effect of each value in one state."""
    legal, found = episode.moments[at].legal, {}
    # After another action the recorded ones may be illegal.
    end = at + (HELD if legal is None else 1)
    for value in knob.values:
        if legal is None or legal[offset(patient, knob) + int(value)]:
            held = [turn(patient, a, knob, value) for a in episode.actions[at:end]]
            moments = replay(patient, episode.seed, [*episode.actions[:at], *held])
            found[value] = effect(moments[at + 1 :])
    return found


def offset(patient: Patient, knob: Knob) -> int:
    """Where the entry's choices begin in a mask."""
    space = patient.act.leaves[knob.leaf].ours
    return sum(space.nvec[: knob.entry]) if isinstance(space, MultiDiscrete) else 0


def effect(moments: Sequence[Moment]) -> Effect:
    seen = tuple(b"".join(x.tobytes() for x in m.obs) for m in moments)
    whole = hashlib.sha256(b"".join(seen))
    for moment in moments:
        legal = () if moment.legal is None else moment.legal.tolist()
        whole.update(repr((*moment[1:4], legal)).encode())
    return Effect(tuple(hashlib.sha256(x).digest() for x in seen), whole.digest())


def look_alike(found: Tried) -> bool:
    """Whether all values show the same, while they go on."""
    return all(
        len(set(row)) == 1
        for s in found
        for row in zip(*(e.seen for e in s.values()), strict=False)
    )


def is_dead(found: Tried) -> bool:
    """Whether all values do the same, wherever more than one was tried."""
    return any(len(s) > 1 for s in found) and all(
        len({e.all for e in s.values()}) < 2 for s in found
    )


def saturated(
    patient: Patient, knob: Knob, found: Tried, where: str
) -> Iterator[Finding]:
    """A range at whose ends nothing more happens."""
    if not knob.number or len(knob.values) < GRID:
        return
    effects = [[s[v].all for v in knob.values] for s in found]
    low, high = min(map(plateau, effects)), min(plateau(e[::-1]) for e in effects)
    if not low + high:
        return
    share = (len(knob.values) - 1 - low - high) / (len(knob.values) - 1)
    ends = [f"below {knob.values[low]:.4g}"] if low else []
    ends += [f"above {knob.values[-1 - high]:.4g}"] if high else []
    yield Finding(
        "warning" if share < 0.5 else "note",
        "action",
        f"{knob.name} made no further difference {' and '.join(ends)}, within "
        f"[{knob.values[0]:.4g}, {knob.values[-1]:.4g}], {where}",
        "set the bounds of action_space to where actions stop to matter",
    )


def plateau(effects: Sequence[bytes]) -> int:
    """How many steps from the first of a range nothing changes."""
    same = [e == effects[0] for e in effects]
    return (same.index(False) if False in same else len(same)) - 1


def twins(patient: Patient, knob: Knob, found: Tried, where: str) -> Iterator[Finding]:
    """Choices that do the same as others everywhere."""
    if knob.number:
        return
    leaf = patient.act.leaves[knob.leaf]
    start = int(np.broadcast_to(leaf.start, leaf.shape).flat[knob.entry])
    pairs = []
    for i, a in enumerate(knob.values):
        for b in knob.values[:i]:
            both = [s[a].all == s[b].all for s in found if a in s and b in s]
            if len(both) > 2 and all(both):
                pairs.append(f"{int(b) + start} and {int(a) + start}")
                break
    if pairs:
        yield Finding(
            "note",
            "action",
            f"of {knob.name} the choices {listed(pairs)} did the same {where}",
            "leave out choices that are the same",
        )


def unseen(
    tried: Mapping[Knob, Tried], dead: Sequence[Knob], where: str
) -> Iterator[Finding]:
    """Entries that change rewards but nothing that is seen, where others do."""
    blind = [k for k, found in tried.items() if look_alike(found)]
    names = [k.name for k in blind if k not in dead]
    if names and len(blind) < len(tried):
        yield Finding(
            "note",
            "action",
            f"{listed(names)} changed rewards or ends, but no observation {where}",
            "check that it is connected to more than its cost",
        )
