"""Datasets from a behaviour that plays, from a replay, and from one another."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ...core import Env, Policy, Spec
from ...data import check, Dataset
from ...data.blocks import Block, gathered, Reading, reading
from ...data.ring import Ring
from ...engine.collect import episodes
from ...envs import Hosted


def collect(policy: Policy, env: Env | Hosted, *, steps: int, seed: int) -> Dataset:
    """So many steps of the policy as it explores, and the rest of the last episode."""

    def blocks(_: Any) -> Iterator[Block]:
        count = 0
        for one in episodes(policy, env, seed=seed, explore=True):
            yield one
            count += len(one.reward)
            if count >= steps:
                return

    return gathered(Reading("played", env.spec, blocks))


def join(parts: list[Dataset]) -> Dataset:
    """Datasets of one problem end to end; with propensities where all have them."""
    if any(data.propensity is None for data in parts):
        parts = [dataclasses.replace(data, propensity=None) for data in parts]
    each = [reading(data) for data in parts]
    chain = lambda done: itertools.chain.from_iterable(r.blocks(done) for r in each)
    return gathered(Reading("joined", parts[0].spec, chain))


def remembered(spec: Spec, ring: Ring) -> Dataset:
    """What a replay of one environment holds that has forgotten nothing. The episode
    under way at its end is truncated there."""
    filled = int(ring.filled)
    steps = jax.tree.map(lambda x: np.asarray(x[:filled, 0]), ring.data)
    over = np.asarray(steps.over)
    truncated = np.array(steps.truncated)
    truncated[-1] |= not over[-1]
    ends = np.flatnonzero(over | truncated) + 1
    last = lambda here, then: np.insert(here, ends, then[ends - 1], axis=0)
    return check(
        Dataset(
            spec,
            jax.tree.map(last, steps.obs, steps.next_obs),
            steps.action,
            steps.reward,
            steps.terminated,
            truncated,
            starts=np.concatenate([[0], ends]),
            legal=jax.tree.map(last, steps.legal, steps.next_legal),
        )
    )
