"""The verb that examines an environment, in Python."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ..core import BadConfig
from ..envs.doctor import examine, Finding, Spread
from ..evidence import Estimate, mean


class Score(NamedTuple):
    """What a policy that has learned nothing earns."""

    policy: str
    estimate: Estimate
    """Mean return with its 95 % interval over episodes."""
    episodes: int
    length: float
    """Mean steps of an episode."""


class Diagnosis(NamedTuple):
    """What an examination has found."""

    env: str
    findings: list[Finding]
    """The gravest first."""
    scores: list[Score]
    """Of random play and of the best constant policy: what a learner must beat."""
    spreads: list[Spread]
    """How each entry of an observation, the reward and the length of an episode spread
    in random play."""

    @property
    def sound(self) -> bool:
        """Whether there is no error among the findings."""
        return all(f.severity != "error" for f in self.findings)


def doctor(
    env: Any,
    *,
    episodes: int = 20,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    backend: Literal["auto", "jax", "gymnasium"] = "auto",
) -> Diagnosis:
    """Examine an environment, given as to `train`, by playing it.

    Whatever it does wrong is a finding; raises `BadConfig` for what is no environment.
    Episode k of random play has the seed `seed + k`, and so has the action space that
    it is sampled from: with both, a finding can be seen again by hand.
    """
    if episodes < 1 or seed < 0:
        raise BadConfig(
            f"doctor: episodes = {episodes} must be at least 1, and seed = {seed} "
            "at least 0"
        )
    found = examine(
        env, episodes=episodes, seed=seed, backend=backend, kwargs=env_kwargs
    )
    scores = [
        Score(name, mean(earned), len(earned), float(found.lengths[name].mean()))
        for name, earned in found.returns.items()
        if len(earned)
    ]
    return Diagnosis(found.env, found.findings, scores, found.spreads)
