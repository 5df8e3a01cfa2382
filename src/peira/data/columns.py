"""Which columns of a table are what: by their names."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from ..core import BadConfig, DataFault
from .names import belongs, listed


ROLES = (
    "episode",
    "obs",
    "action",
    "reward",
    "terminated",
    "truncated",
    "propensity",
    "legal",
    "next_obs",
    "next_legal",
)
NEEDED = ("obs", "action", "reward")


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the columns of a table are called.

    A name stands for the column so called, for its numbered ones (`obs_0`, `obs_1`,
    ...), and for parts (`obs.speed`, `obs.speed_0`); several with commas between are
    the entries of a vector in that order.
    """

    episode: str = "episode"
    obs: str = "obs"
    action: str = "action"
    reward: str = "reward"
    terminated: str = "terminated"
    truncated: str = "truncated"
    propensity: str = "propensity"
    legal: str = "legal"
    next_obs: str = "next_obs"
    next_legal: str = "next_legal"

    @classmethod
    def said(cls, pairs: Iterable[str]) -> "Columns":
        """From words like `obs=x,y`; raises `BadConfig`."""
        found = {}
        for pair in pairs:
            role, equals, name = pair.partition("=")
            if not (equals and name and role in ROLES):
                known = ", ".join(ROLES)
                raise BadConfig(f"--columns {pair}: must be ROLE=NAME; roles: {known}")
            found[role] = name
        return cls(**found)

    def of(self, names: list[str]) -> dict[str, list[str]]:
        """The columns of every array: `obs.speed` -> [`obs.speed_0`, ...]. Raises
        `DataFault` for one that is missing."""
        found: dict[str, list[str]] = {}
        for role in ROLES:
            said = getattr(self, role)
            if "," in said:
                found[role] = given(said.split(","), names, role)
                continue
            own = numbered(said, names)
            if not own and said != role:
                raise missing(role, said, names)
            found |= {role + inner: columns for inner, columns in own.items()}
        for role in NEEDED:
            if not any(belongs(array, role) for array in found):
                raise missing(role, getattr(self, role), names)
        return found


def missing(role: str, said: str, names: list[str]) -> DataFault:
    return DataFault(
        f"no column {said!r} for {role}: there are {listed(names)}; say which with "
        f"--columns {role}=NAME"
    )


def given(wanted: list[str], names: list[str], role: str) -> list[str]:
    for name in wanted:
        if name not in names:
            raise missing(role, name, names)
    return wanted


def numbered(said: str, names: list[str]) -> Mapping[str, list[str]]:
    """The columns whose names begin so, by what stands between that and a number."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        match = re.fullmatch(rf"{re.escape(said)}((?:\.[\w-]+?)*?)(?:_(\d+))?", name)
        if match:
            at = -1 if match[2] is None else int(match[2])
            found.setdefault(match[1], {})[at] = name
    for inner, own in found.items():
        if sorted(own) not in ([-1], list(range(len(own)))):
            raise DataFault(
                f"the columns of {said}{inner} are not numbered from 0 without a gap: "
                f"{listed(own.values())}"
            )
    return {inner: [own[i] for i in sorted(own)] for inner, own in found.items()}
