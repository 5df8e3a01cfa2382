"""How long, how often and with which seeds: all of a run that no paper mentions."""

import dataclasses
from typing import Literal

from ..core.checks import BadConfig, check_fields, Count, Positive, Unit, Whole


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to run an algorithm; together with its fields and the environment it repeats
    the run."""

    steps: Count = 100_000
    """Environment steps, over all environments of a seed; from a dataset, updates."""
    online: Whole = 0
    """After a dataset has been learned from: environment steps to go on with."""
    share: Unit = 0.5
    """Part of every batch that is then still dealt from the dataset."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; each is a run of its own."""
    envs: Count | None = None
    """Environments side by side; the algorithm's own number when not given."""
    block: Count | None = None
    """Steps of each environment between learnings, a multiple of the algorithm's own;
    the updates that fall due meanwhile are made together."""
    overlap: bool = False
    """Host environments: collect the next block while learning from the last. The
    acting policy is then one block older, on every machine alike."""
    evaluate_every: Count | None = None
    """Environment steps between evaluations; a tenth of the run when not given."""
    episodes: Count = 10
    """Episodes per evaluation."""
    stochastic: bool = False
    """Evaluate the exploring policy too."""
    checkpoint_every: Count | None = None
    """Environment steps between checkpoints; a quarter of the run when not given."""
    keep: Count = 2
    """Checkpoints that are kept."""
    best: bool = False
    """Keep the policy of the best evaluation, too, in `best/`; its score is biased."""
    on_fault: Literal["stop", "restart"] = "stop"
    """When a host environment fails: stop, or drop the step and begin an episode."""
    patience: Positive = 600.0
    """Seconds after which a host environment in a process of its own is given up."""
    memory: Count | None = None
    """MiB that the process of a host environment may hold (Linux); else no limit."""
    on_nan: Literal["stop", "skip"] = "stop"
    """When a loss or gradient is not finite: stop and say where, or skip the step."""
    resident: Whole = 4000
    """MiB of a dataset that may lie on the device; a larger one is read as needed."""
    devices: Count | None = None
    """Devices to spread over, seeds first, then the batches of each; when not given, as
    many as share the seeds evenly, and of a processor one for each seed."""
    processes: bool = False
    """Step host environments in a process each."""
    backend: Literal["auto", "jax", "gymnasium"] = "auto"
    """Whose environment: our JAX one where there is one, or Gymnasium's."""

    def __post_init__(self):
        check_fields(self)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise BadConfig(
                f"Plan.seeds = {self.seeds}: seeds are at least one, and distinct"
            )
        if min(self.seeds) < 0 or max(self.seeds) >= 2**31:
            raise BadConfig(f"Plan.seeds = {self.seeds}: must lie in [0, 2147483647]")
