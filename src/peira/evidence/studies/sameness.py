"""Does a study find a difference where there is none? Its rule, tried on outcomes that
are drawn from one distribution for both arms."""

import numpy as np

from ...core import BadConfig
from ..proportions import exact
from ..shapes import SHAPES
from ..statistics import Estimate
from .judging import judge, of_alarms, USUAL
from .study import Study, Tier


TRIALS = 500
SLACK = 0.02  # by which the rate may fall short of what is stated


def alike(
    study: Study, tier: Tier, *, trials: int = TRIALS, seed: int = 0
) -> dict[str, Estimate]:
    """In what share of simulated studies two arms that are the same come out undecided,
    for each shape of outcomes, with its exact interval. Outcomes differ by far more
    than matters, so that none is undecided for being small."""
    wide = 1e6 * study.matters
    found = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        rng = np.random.default_rng([seed, i])
        if study.alarms:
            groups = tier.most // study.alarms
            hits = rng.binomial(groups, USUAL, trials)
            words = [of_alarms(study, int(k), groups).word for k in hits]
        else:
            size = (trials, 2, tier.most, len(tier.tasks))
            drawn = wide * shape(rng, size)
            words = [judge(study, tier, (a, b)).word for a, b in drawn]
        found[name] = exact(words.count("undecided"), trials)
    return found


def check_alike(study: Study, tier: Tier) -> dict[str, Estimate]:
    """`alike`; raises `BadConfig` for a rule that tells too often what is the same."""
    found = alike(study, tier)
    for shape, share in found.items():
        if share.high < study.level - SLACK:
            raise BadConfig(
                f"the rule of this study is not fit to decide: of {TRIALS} simulated "
                f"studies whose arms are the same ({shape}), only {share.value:.0%} "
                "came out undecided; take more runs"
            )
    return found
