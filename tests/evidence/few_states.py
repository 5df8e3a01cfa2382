"""A decision process small enough to be solved, two policies in it, and what a perfect
or a biased model would say of a log."""

import numpy as np

from peira.evidence.ope import logged, Model
from peira.evidence.ope.logged import side_by_side
from peira.evidence.ope.tabular import Tabular


GAMMA = 0.9


def world(seed=0, *, states=4, actions=2, stay=0.85, noise=0.5):
    """Opens in the first two states; every step ends the episode with 1 - stay."""
    rng = np.random.default_rng(seed)
    opening = np.zeros(states)
    opening[:2] = 0.5
    move = rng.dirichlet(np.ones(states), size=(states, actions)) * stay
    mdp = Tabular(opening, move, rng.normal(size=(states, actions)), noise)
    behaviour, policy = rng.dirichlet(np.full(actions, 5.0), size=(2, states))
    return mdp, behaviour, policy


def weighed(data, policy):
    """The log of a dataset, weighted for a table."""
    likely = policy[seen_states(data), np.asarray(data.action)]
    return logged(data, likely / np.asarray(data.propensity))


def seen_states(data):
    return np.asarray(data.obs)[np.arange(data.steps) + data.episode]


def model_of(data, policy, q):
    """What `q` says of a log."""
    v = (policy * q).sum(axis=1)
    row = np.arange(data.steps) + data.episode
    after = np.where(data.terminated, 0.0, v[data.obs[row + 1]])
    opened = data.obs[data.starts[:-1] + np.arange(data.episodes)]
    grid = lambda x: side_by_side(x, data.lengths, 0.0)
    return Model(grid(q[data.obs[row], data.action]), grid(after), v[opened])
