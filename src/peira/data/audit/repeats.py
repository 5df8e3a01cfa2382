"""What is there twice, in one dataset or in two, and what stands still."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int, PyTree, UInt64

from ..dataset import Dataset
from .case import Case, continuous
from .findings import Finding, found
from .values import named


PORTION = 2**20  # numbers that are marked together
RUN = 3  # steps on end that are copies of others
STILL = 10  # steps without a change that are told
NATURAL = 0.01  # share of steps from places met by chance, where that is natural
OFTEN = 0.01  # share of steps that recur, worth a note
MORE = 2.0  # times as many shared observations as between episodes of one split

Marks = UInt64[np.ndarray, " n"]


def marks(tree: PyTree, rows: int) -> Marks:
    """A number for each item, the same for the same item alone (but for one chance in
    about 10^19)."""
    rng = np.random.default_rng(0)
    total = np.zeros(rows, np.uint64)
    for _, x in named("", tree):
        width = max(1, int(np.prod(x.shape[1:])))
        each = rng.integers(1, 2**63, width, np.uint64) * np.uint64(2) + np.uint64(1)
        portion = max(1, PORTION // width)
        for i in range(0, rows, portion):
            part = np.asarray(x[i : i + portion]).reshape(-1, width)
            total[i : i + len(part)] += (mixed(bits(part)) * each).sum(axis=1)
    return mixed(total)


def bits(x: np.ndarray) -> UInt64[np.ndarray, "n width"]:
    """Numbers as integers; the two zeros are one."""
    if x.dtype.kind == "f":
        kind = {2: np.uint16, 4: np.uint32, 8: np.uint64}[x.dtype.itemsize]
        return np.ascontiguousarray(x + 0).view(kind).astype(np.uint64)
    return x.astype(np.int64).view(np.uint64)


def mixed(x: UInt64[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
    """Every bit of a number spread over all (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Seen:
    """Marks of all that a dataset holds."""

    def __init__(self, data: Dataset):
        self.data, self.episode = data, data.episode
        self.obs = marks(data.obs, data.steps + data.episodes)
        self.row = np.arange(data.steps) + self.episode
        done = marks((data.action, np.asarray(data.reward)), data.steps)
        before, after = self.obs[self.row], self.obs[self.row + 1]
        self.step = mixed(mixed(mixed(before) + done) + after)
        place = np.arange(data.steps) - data.starts[self.episode]
        ordered = self.step * (2 * place.astype(np.uint64) + np.uint64(1))
        self.whole = np.add.reduceat(ordered, data.starts[:-1])

    def met(self) -> Bool[np.ndarray, " row"]:
        """Observations met in several different episodes."""
        return several(self.obs, np.repeat(self.whole, self.data.lengths + 1))

    def chance(self) -> Bool[np.ndarray, " step"]:
        """Steps from where another step did or met something else: places that are met
        more than once without being copied."""
        return several(self.obs[self.row], self.step)

    def again(self) -> Bool[np.ndarray, " row"]:
        """Observations met twice in an episode."""
        episode = np.repeat(np.arange(self.data.episodes), self.data.lengths + 1)
        return repeated(mixed(self.obs + mixed(episode.astype(np.uint64))))


def several(what: Marks, whose: Marks) -> Bool[np.ndarray, " n"]:
    """Where the same comes with different owners."""
    order = np.lexsort((whose, what))
    what, whose = what[order], whose[order]
    same = np.r_[False, what[1:] == what[:-1]]
    edge = np.flatnonzero(~same)
    other = same & np.r_[False, whose[1:] != whose[:-1]]
    many = np.add.reduceat(other.astype(int), edge) > 0
    found = np.empty(len(what), bool)
    found[order] = np.repeat(many, np.diff(np.r_[edge, len(what)]))
    return found


def repeated(x: Marks) -> Bool[np.ndarray, " n"]:
    """Where a mark stands that stands earlier too."""
    first = np.zeros(len(x), bool)
    first[np.unique(x, return_index=True)[1]] = True
    return ~first


def repeats(case: Case) -> Iterator[Finding]:
    seen, data = Seen(case.data), case.data
    first = data.starts[:-1]
    met, later = seen.chance(), np.ones(data.steps, bool)
    later[first] = False  # many worlds begin at one place
    recurs = met[later].sum() > NATURAL * data.steps or not continuous(case)
    copied = repeated(seen.whole)
    if copied.any():
        again = met[first].mean() > NATURAL or (~copied).sum() == 1
        yield found(
            "repeats" if again or recurs else "copied",
            f"{case.of}{copied.sum()} of {data.episodes} episodes are the same as "
            "earlier ones; they begin",
            case.step[data.starts[:-1][copied]],
        )
    fresh = ~copied[seen.episode]
    still = np.r_[False, seen.obs[seen.row[1:]] == seen.obs[seen.row[:-1]]]
    twice = np.zeros(data.steps, bool)
    twice[fresh] = repeated(seen.step[fresh])
    twice &= ~still
    if not recurs:  # a wall is met again too, but not what comes next
        twice = in_runs(twice)
    if twice.any() and (not recurs or twice.mean() > OFTEN):
        yield found(
            "repeats" if recurs else "copied",
            f"{case.of}{twice.sum()} steps are the same as earlier ones in all they "
            "saw, did, earned and led to",
            case.step[np.flatnonzero(twice)],
        )
    if not recurs:
        yield from standing(case, seen)


def runs(x: Bool[np.ndarray, " n"]) -> Int[np.ndarray, "run 2"]:
    """Where something begins and ceases to hold."""
    return np.diff(np.r_[False, x, False].astype(int)).nonzero()[0].reshape(-1, 2)


def in_runs(x: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Only what holds for several steps on end."""
    kept = np.zeros(len(x), bool)
    for first, end in runs(x):
        kept[first:end] = end - first >= RUN
    return kept


def standing(case: Case, seen: Seen) -> Iterator[Finding]:
    """Observations that do not change for long, whatever is done, and blank ones."""
    acted = marks(case.data.action, case.data.steps)
    same = seen.obs[seen.row] == seen.obs[seen.row + 1]
    rows = [
        np.arange(first, end)
        for first, end in runs(same)
        if end - first >= STILL and len(np.unique(acted[first:end])) > 1
    ]
    if rows:
        seen_rows = case.step[np.concatenate(rows)]
        words = f"{case.of}observations stand still, whatever is done"
        yield found("frozen", words, seen_rows)
    blank = ~case.obs[case.row].any(axis=1) & ~case.action.any(axis=1)
    blank &= ~np.asarray(case.data.reward, bool)
    blank[case.data.starts[:-1]] = False
    if blank.any():
        words = f"{case.of}observation, action and reward are all zero"
        yield found("frozen", words, case.step[np.flatnonzero(blank)])


def leaks(data: Dataset, against: Dataset) -> Iterator[Finding]:
    """What lies in two splits, beyond what the episodes of one have in common."""
    one, other = Seen(data), Seen(against)
    shared = np.isin(one.whole, other.whole)
    there = np.isin(one.obs, other.obs)
    natural = max(x.mean() for s in (one, other) for x in (s.met(), s.again()))
    episodes = np.repeat(np.arange(data.episodes), data.lengths + 1)
    beyond = there.mean() > max(MORE * natural, 2 / len(there))
    if not beyond:
        if shared.any() and not natural:
            rows = data.starts[:-1][shared]
            yield found(
                "leak", f"{shared.sum()} episodes are in both; they begin", rows
            )
        return
    whole = f", {shared.sum()} of them whole" if shared.any() else ""
    steps = np.flatnonzero(there[one.row] | there[one.row + 1])
    yield found(
        "leak",
        f"{there.mean():.1%} of observations, in {len(np.unique(episodes[there]))} of "
        f"{data.episodes} episodes{whole}, are in both ({natural:.1%} recur between "
        "episodes of one)",
        steps,
    )
