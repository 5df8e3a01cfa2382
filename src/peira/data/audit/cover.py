"""How much a dataset shows: of the world, of what can be done and earned there."""

from collections.abc import Iterator

import numpy as np

from ...core import Box, Discrete
from .case import Case
from .findings import Finding, found
from .fit import features, ridge, scaled
from .repeats import marks
from .values import named


LOOKED = 10_000  # steps that a fit sees
NAMED = 8  # columns that one finding names
EDGE = 1e-3  # of the range: as near as that is at the bound
OFTEN = 0.5  # of a number's actions at a bound, worth a note
TOP, FEW = 0.2, 5  # share and number of episodes with one return that are a ceiling
UNIFORM = 0.5 * np.log(2 * np.pi * np.e / 12)  # of numbers in [0, 1]
AGAIN = 10.0  # visits of an observation on average, from which they are counted


def cover(case: Case) -> Iterator[Finding]:
    yield from constant(case)
    yield from saturated(case)
    yield from ceiling(case)
    yield from behaviour(case)
    yield from coverage(case)


def constant(case: Case) -> Iterator[Finding]:
    """Entries that never change."""
    still = [*(np.ptp(case.obs, axis=0) == 0), *(np.ptp(case.action, axis=0) == 0)]
    names = [n for n, s in zip(case.names, still, strict=True) if s and " = " not in n]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield found(
            "constant", f"{case.of}never changes: {', '.join(names[:NAMED])}{more}"
        )


def saturated(case: Case) -> Iterator[Finding]:
    """Entries of actions that are mostly at their bounds."""
    spaces = dict(named("action", case.data.spec.action))
    for name, x in named("action", case.data.action):
        space = spaces[name]
        if not isinstance(space, Box) or not space.bounded or space.dtype.kind != "f":
            continue
        near = EDGE * (space.high - space.low)
        low, high = space.low + near, space.high - near
        share = ((x <= low) | (x >= high)).mean(axis=0)
        if (share >= OFTEN).any():
            yield found(
                "saturated",
                f"{case.of}{name} is at a bound in up to {share.max():.0%} of steps "
                f"({int((share >= OFTEN).sum())} of {space.size} numbers in half)",
            )


def ceiling(case: Case) -> Iterator[Finding]:
    """A return that many episodes have and none exceeds."""
    earned = case.data.returns()
    if not np.isfinite(earned).all() or len(earned) < FEW:
        return
    top = earned >= earned.max() - 1e-6 * max(1.0, float(np.abs(earned).max()))
    if top.sum() >= FEW and top.mean() >= TOP:
        yield found(
            "ceiling",
            f"{case.of}{top.mean():.0%} of {len(earned)} episodes have the highest "
            f"return, {earned.max():.4g}",
        )


def behaviour(case: Case) -> Iterator[Finding]:
    """The entropy of what was done."""
    for name, space in named("action", case.data.spec.action):
        x = dict(named("action", case.data.action))[name]
        if isinstance(space, Discrete):
            yield found(
                "behaviour", case.of + choices(case, name, np.asarray(x), space.n)
            )
        elif isinstance(space, Box) and space.dtype.kind == "f":
            yield found("behaviour", case.of + spread(case, name, np.asarray(x), space))


def choices(case: Case, name: str, x: np.ndarray, n: int) -> str:
    """Entropy by counting: exact for these steps, of all, and given what was seen."""
    share = np.bincount(np.clip(x, 0, n - 1), minlength=n) / len(x)
    entropy = lambda p: float(-(p[p > 0] * np.log(p[p > 0])).sum())
    words = f"{name}: entropy {entropy(share):.3g} of at most {np.log(n):.3g} (counted"
    seen = marks(case.data.obs, len(case.obs))[case.row]
    places, where = np.unique(seen, return_inverse=True)
    if len(x) >= AGAIN * len(places):
        joint = np.bincount(where * n + np.clip(x, 0, n - 1), minlength=len(places) * n)
        both, alone = entropy(joint / len(x)), entropy(np.bincount(where) / len(x))
        words += f"; {max(0.0, both - alone):.3g} given the observation"
    rare = int(share.argmin())
    return f"{words}); rarest choice {rare}: {share[rare]:.1%}"


def spread(case: Case, name: str, x: np.ndarray, space: Box) -> str:
    """Entropy of a Gaussian about a fit on the observation, against uniform choice."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.permutation(len(x))[:LOOKED])
    flat = x[t].reshape(len(t), -1).astype(float)
    width = 1.0
    if space.bounded:
        width = np.maximum((space.high - space.low).ravel().astype(float), 1e-9)
    inputs = features(case.obs[case.row[t]], rng)
    half = np.arange(len(t)) % 2 == 0
    weights = ridge(inputs[half], flat[half] / width, 1e-3)
    left = flat[~half] / width - inputs[~half] @ weights
    cov = np.atleast_2d(np.cov(left.T)) + 1e-12 * np.eye(flat.shape[1])
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * cov)[1] / flat.shape[1]
    about = np.sqrt(np.diag(cov)).mean()
    unit = "of its range" if space.bounded else "in its own unit"
    return (
        f"{name}: entropy {entropy:.3g} per number (a Gaussian about a fit on the "
        f"observation; {UNIFORM:.3g} for uniform choice), a standard deviation of "
        f"{about:.2g} {unit}"
    )


def coverage(case: Case) -> Iterator[Finding]:
    """How much of the world was seen."""
    steps = case.data.steps
    places = len(np.unique(marks(case.data.obs, len(case.obs))[case.row]))
    if steps >= AGAIN * places:
        done = marks((case.data.action,), steps)
        both = marks((marks(case.data.obs, len(case.obs))[case.row], done), steps)
        yield found(
            "coverage",
            f"{case.of}{places:,} different observations, {len(np.unique(both)):,} "
            f"with the action, in {steps:,} steps (counted)",
        )
        return
    rng = np.random.default_rng(0)
    x = scaled(case.obs[np.sort(rng.permutation(len(case.obs))[:LOOKED])])
    if not x.shape[1]:
        return
    values = np.linalg.eigvalsh(np.cov(x.T)) if x.shape[1] > 1 else np.ones(1)
    directions = values.sum() ** 2 / np.square(values).sum()
    yield found(
        "coverage",
        f"{case.of}observations vary along about {directions:.1f} of "
        f"{case.obs.shape[1]} directions (participation ratio of the correlations), in "
        f"{steps:,} steps of {case.data.episodes:,} episodes",
    )
