"""Steps that no step of the world makes: episodes glued together.

Steps are predicted by a linear fit. How far each entry is off is compared with how far
it would be off for observations glued together on purpose, and a step is called a jump
that looks like those, where no honest step comes near them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from .case import Case, continuous
from .findings import Finding, found
from .fit import FAR, Matrix, ridge


FITTED = 10_000  # steps that the fit sees
MADE = 2_000  # pairs glued on purpose
MANY = 10  # episodes whose ends and beginnings are typical
LEAST = 100  # steps without which nothing can be said
CAP = 100.0  # typical errors; no entry counts as farther off than that
ALIKE = 0.1  # of the glued pairs may look like honest steps
MOST = 0.2  # of all steps may be jumps
POWER = 0.3  # of the glued pairs must be found, or nothing is said
KNOWN = 1_000  # beginnings that are compared with
ONE_PLACE = 0.5  # of the usual distance between observations
ANYWHERE = 0.1  # of all steps lead to where episodes begin
LANDING = 2.0  # as far from beginnings as these from each other, at most
FEW, MOSTLY = 5, 0.8  # jumps at one distance from a mark
COMPARED = 100_000  # steps that a jump's beginning is compared with
NEIGHBOURS, JUDGES, SOON = 40, 5, 10  # the nearest, which count, and steps that do not
WIDE, MIXED = 256, 64  # so many columns become so many mixtures
SQUARED = 64  # so many columns are also squared
PORTION = 65_536  # steps that are predicted together

Action = Float[np.ndarray, "n act"]


def jumps(case: Case) -> Iterator[Finding]:
    """Among observations that are quantities; places on a board jump all the time."""
    if case.data.steps < LEAST or not continuous(case):
        return
    far = distances(case)
    at = np.flatnonzero(far > 0)
    if not len(at):
        return
    mark = beside_marks(case, at)
    begins = np.ones(len(at), bool) if mark else restarts(case, at, far[at] > 1)
    for kind, which in (("glued", at[begins]), ("jump", at[~begins])):
        if len(which):
            to = " to where episodes begin" if kind == "glued" and not mark else ""
            many = f"{len(which)} steps jump" if len(which) > 1 else "one step jumps"
            seen = f"{case.of}{many}{to}{mark}{example(case, int(which[0]))}"
            yield found(kind, seen, case.step[which])


def example(case: Case, t: int) -> str:
    """What changed most at a jump."""
    before, after = case.obs[case.row[t]], case.obs[case.row[t] + 1]
    moved = np.abs(after - before) / case.std
    i = int(moved.argmax())
    return f" ({case.names[i]} from {before[i]:.4g} to {after[i]:.4g} at the first)"


class Predictor(NamedTuple):
    """A fit of where steps lead, and what its errors weigh."""

    mean: Float[np.ndarray, " obs"]
    std: Float[np.ndarray, " obs"]
    """Infinite for entries that do not vary."""
    mix: Matrix | None
    weights: Matrix
    typical: Float[np.ndarray, " n"]
    """Errors of honest steps: their median."""
    telling: Float[np.ndarray, " n"]
    """How much an entry tells glued pairs from honest steps."""

    def place(self, obs: Matrix) -> Float[np.ndarray, "n place"]:
        """Observations as they are compared."""
        x = (obs - self.mean) / self.std
        return x if self.mix is None else x @ self.mix

    def inputs(self, at: Matrix, action: Action) -> Float[np.ndarray, "n input"]:
        parts = [np.ones((len(at), 1)), at, action, action * action]
        if at.shape[1] <= SQUARED:
            parts.append(np.clip(at, -FAR, FAR) ** 2)
        return np.concatenate(parts, axis=1)

    def error(self, at: Matrix, action: Action, to: Matrix) -> Matrix:
        return np.abs(to - at - self.inputs(at, action) @ self.weights)

    def surprise(self, error: Matrix) -> Matrix:
        """Errors in typical ones; a logarithm, for honest errors have long tails."""
        return np.log1p(np.minimum(error / self.typical, CAP))

    def score(self, error: Matrix) -> Float[np.ndarray, " n"]:
        return self.surprise(error) @ self.telling


def distances(case: Case) -> Int[np.ndarray, " step"]:
    """1 for steps that look like glued pairs, where these are told from honest steps;
    2 for those that look like most glued pairs."""
    rng, steps = np.random.default_rng(0), case.data.steps
    world, made = predictor(case, rng)
    score = np.empty(steps)
    for i in range(0, steps, PORTION):
        t = slice(i, i + PORTION)
        row = case.row[t]
        at, to = world.place(case.obs[row]), world.place(case.obs[row + 1])
        score[t] = world.score(world.error(at, case.action[t], to))
    line = float(np.quantile(made, ALIKE))
    honest = score[score < line]
    if len(honest) < (1 - MOST) * steps:
        return np.zeros(steps, int)
    # Tails fall by as much for every tenth of the steps; one tenth is in reserve.
    most, nearly = np.quantile(honest, [0.9, 0.99])
    line = max(line, nearly + (nearly - most) * (np.log10(steps) - 1))
    if (made >= line).mean() < POWER:
        return np.zeros(steps, int)
    clear = max(line, float(np.median(made)))
    return (score >= line).astype(int) + (score >= clear)


def predictor(
    case: Case, rng: np.random.Generator
) -> tuple[Predictor, Float[np.ndarray, " pair"]]:
    """A fit to a sample without its own jumps, and the scores of pairs glued on
    purpose."""
    t = np.sort(rng.permutation(case.data.steps)[:FITTED])
    varied = int(np.isfinite(case.std).sum())
    mix = rng.normal(size=(len(case.std), MIXED)) / np.sqrt(max(1, varied))
    nothing = np.zeros((0, 0))
    world = Predictor(
        case.mean,
        case.std,
        mix if varied > WIDE else None,
        nothing,
        np.ones(0),
        np.ones(0),
    )
    at, to = (world.place(case.obs[case.row[t] + k]) for k in (0, 1))
    action = case.action[t]
    inputs = world.inputs(at, action)
    i, j = glued_pairs(case, rng)
    ends, begins = world.place(case.obs[case.row[i]]), world.place(case.obs[j])
    keep, score = np.ones(len(t), bool), np.zeros(0)
    for _ in range(2):
        world = world._replace(weights=ridge(inputs[keep], (to - at)[keep], 1e-6))
        error = world.error(at, action, to)
        world = world._replace(typical=np.maximum(np.median(error[keep], axis=0), 1e-4))
        real = world.surprise(error)
        made = world.surprise(world.error(ends, case.action[i], begins))
        apart = made.mean(axis=0) - real[keep].mean(axis=0)
        noise = real[keep].var(axis=0) + made.var(axis=0) + 0.01
        world = world._replace(telling=np.maximum(apart, 0) / noise)
        score = made @ world.telling
        keep = real @ world.telling < np.quantile(score, ALIKE)
        if keep.mean() < 1 - MOST:
            break
    return world, score


def glued_pairs(
    case: Case, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Steps, and rows that could follow where episodes were glued together."""
    t = rng.integers(0, case.data.steps, MADE)
    if case.data.episodes < MANY:
        return t, rng.integers(0, len(case.obs), MADE)
    t[::2] = rng.choice(case.last, MADE // 2)
    return t, rng.choice(case.first, MADE)


def restarts(
    case: Case, t: Int[np.ndarray, " n"], clear: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which jumps lead to where episodes begin, and not because the world jumps there
    always. Where episodes begin nearly anywhere, only clear ones count."""
    some = np.random.default_rng(0).integers(0, case.data.steps, MADE)
    there = lands(case, t) & ~usual(case, t)
    return there & clear if lands(case, some).mean() > ANYWHERE else there


def usual(case: Case, t: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether most steps that began nearest jumped too."""
    stride = -(-case.data.steps // COMPARED)
    some = np.arange(0, case.data.steps, stride)
    place = lambda step: case.obs[case.row[step]] / case.std
    jumped = np.isin(some, t)
    near = KDTree(place(some)).query(place(t), k=min(NEIGHBOURS, len(some)))[1]
    near = near.reshape(len(t), -1)
    away = some[near] - t[:, None]
    own = (case.episode[some[near]] == case.episode[t][:, None]) & (abs(away) <= SOON)
    order = np.argsort(own, axis=1, kind="stable")[:, :JUDGES]
    votes = np.take_along_axis(jumped[near] & ~own, order, axis=1)
    return votes.mean(axis=1) > 0.5


def lands(case: Case, t: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether steps lead to where episodes begin, as near as beginnings lie to each
    other. Where few are known, jumps that come from anywhere and lead to one place
    tell it, if an episode begins there."""
    place = lambda row: case.obs[row] / case.std
    first, to = place(case.first[:KNOWN]), place(case.row[t] + 1)
    if len(first) >= MANY:
        return reaches(first, to)
    if len(t) < MANY:
        return np.zeros(len(t), bool)
    usual = spread(place(np.arange(len(case.obs))))
    here = spread(to) < ONE_PLACE * usual < spread(place(case.row[t]))
    return np.full(len(t), here and bool(reaches(to, first).any()))


def reaches(a: Matrix, b: Float[np.ndarray, "m width"]) -> Bool[np.ndarray, " m"]:
    """Which of b lie as near to one of a as these lie to each other."""
    tree = KDTree(a)
    each = tree.query(a, k=2)[0][:, 1]
    return tree.query(b)[0] <= LANDING * np.quantile(each, 0.95)


def spread(x: Matrix) -> float:
    """The median distance of two of them."""
    i, j = np.random.default_rng(0).integers(0, len(x), (2, MADE))
    return float(np.median(np.linalg.norm(x[i] - x[j], axis=1)))


def beside_marks(case: Case, t: Int[np.ndarray, " n"]) -> str:
    """Where jumps lie one distance from where episodes are said to begin or end, in
    words."""
    if len(t) < FEW:
        return ""
    episode = case.episode[t]
    after = t - case.data.starts[episode]
    ahead = case.data.starts[episode + 1] - 1 - t
    for distance, words in ((ahead, "before an end"), (after, "after a beginning")):
        values, counts = np.unique(distance, return_counts=True)
        if counts.max() >= MOSTLY * len(t) and len(np.unique(episode)) >= FEW:
            k = int(values[counts.argmax()])
            if k == 0 and words == "before an end":
                return ", at ends, where the next episode's first observation is shown"
            return f", {counts.max()} of them {k} steps {words} that is marked"
    return ""
