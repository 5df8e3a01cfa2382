"""How well one thing tells another: small regressions, judged where they were not
fitted."""

import numpy as np
from jaxtyping import Bool, Float, Int


WIDE = 128  # more columns are mixed at random into half as many
WAVES = 80  # cosines of random directions, for each of two wavelengths
ROUNDS = 20  # of Newton's method
FAR = 5.0  # standard deviations at which a number is clipped

Matrix = Float[np.ndarray, "n width"]


def scaled(x: Matrix) -> Float[np.ndarray, "n varied"]:
    """Every column that varies, with mean 0 and standard deviation 1."""
    x = x.astype(float)
    std = x.std(axis=0)
    varies = std > 1e-6 * np.maximum(1, np.abs(x).max(axis=0))
    return (x[:, varies] - x[:, varies].mean(axis=0)) / std[varies]


def narrow(x: Matrix, rng: np.random.Generator) -> Float[np.ndarray, "n fewer"]:
    """Fewer columns, each a random mixture."""
    if x.shape[1] <= WIDE:
        return x
    signs = rng.choice([-1.0, 1.0], (x.shape[1], WIDE // 2))
    return x @ signs / np.sqrt(x.shape[1])


def features(x: Matrix, rng: np.random.Generator) -> Float[np.ndarray, "n features"]:
    """What a linear fit may use: numbers, their squares, and random waves of them."""
    x = np.clip(narrow(scaled(x), rng), -FAR, FAR)
    parts = [np.ones((len(x), 1)), x, x * x]
    for scale in (0.7, 2.0):
        directions = rng.normal(size=(x.shape[1], WAVES)) * scale
        phase = rng.uniform(0, 2 * np.pi, WAVES)
        parts.append(np.cos(x @ directions / np.sqrt(max(1, x.shape[1])) + phase))
    return np.concatenate(parts, axis=1)


def ridge(
    x: Float[np.ndarray, "n f"], y: Float[np.ndarray, "n ..."], weight: float
) -> Float[np.ndarray, "f ..."]:
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += weight * len(x)
    return np.linalg.solve(gram, x.T @ y)


def unexplained(
    x: Matrix, y: Float[np.ndarray, " n"], fold: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "2"]:
    """The share of the variance of y that a fit on one half leaves in the other, for
    both halves."""
    inputs, left = features(x, np.random.default_rng(0)), []
    for own in (fold, ~fold):
        weights = ridge(inputs[own], y[own], 1e-4)
        guess = np.clip(inputs[~own] @ weights, y[own].min(), y[own].max())
        left.append((y[~own] - guess).var() / max(y[~own].var(), 1e-30))
    return np.array(left)


def mistold(
    x: Matrix, y: Bool[np.ndarray, " n"], fold: Bool[np.ndarray, " n"]
) -> float:
    """How often a logistic regression on numbers and their squares errs in the half
    that it was not fitted to; both classes count alike."""
    x = scaled(x)
    inputs = np.concatenate([np.ones((len(x), 1)), x, x * x], axis=1)
    wrong = np.zeros(len(y), bool)
    for own in (fold, ~fold):
        told = inputs[~own] @ logistic(inputs[own], y[own]) > 0
        wrong[~own] = told != y[~own]
    return float(wrong[y].mean() + wrong[~y].mean()) / 2


def logistic(
    x: Float[np.ndarray, "n f"], y: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " f"]:
    """Weights by Newton's method, both classes weighing alike, nearly unregularised."""
    each = np.where(y, 0.5 / max(1, y.sum()), 0.5 / max(1, (~y).sum())) * len(y)
    weights, small = np.zeros(x.shape[1]), 1e-3
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        hessian = x.T @ (x * (each * np.maximum(p * (1 - p), 1e-6))[:, None])
        hessian[np.diag_indices_from(hessian)] += small
        slope = x.T @ (each * (y - p)) - small * weights
        weights = weights + np.linalg.solve(hessian, slope)
    return weights


def told_apart(a: Matrix, b: Matrix) -> float:
    """How often the nearest of all others is of the same kind: about 1/2 where two
    samples are alike, 1 where they lie apart."""
    x = narrow(scaled(np.concatenate([a, b])), np.random.default_rng(0))
    if not x.shape[1]:
        return 0.5
    square = (x * x).sum(axis=1)
    distance = square[:, None] + square[None] - 2 * x @ x.T
    distance[np.diag_indices_from(distance)] = np.inf
    kind = np.arange(len(x)) < len(a)
    return float((kind[distance.argmin(axis=1)] == kind).mean())


def halves(
    episode: Int[np.ndarray, " n"], step: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Two halves that share no episode, where there are enough."""
    if len(np.unique(episode)) > 3:
        return episode % 2 == 0
    return step > np.median(step)
