"""Datasets under way: a few whole episodes at a time, so that one that does not fit
into memory can pass from any format into any other."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from ..core import Box, DataFault, describe, is_space, Space, Spec
from ..core.spaces import choices
from .dataset import check, check_choices, check_ends, Dataset, portion


# What had to be done to a file's rows to make episodes of them.
NOTES = {
    "unmarked": "episodes without a mark at their end, taken as truncated",
    "gaps": "next observations that are not what the next step saw, where an episode "
    "is taken to end, truncated",
    "dropped": "truncated episodes that do not tell where their last step led, and end "
    "one step earlier",
    "lost": "episodes of one such step, which are gone",
    "repeated": "terminated episodes that do not tell where their last step led, whose "
    "last observation stands twice",
}


class Block(NamedTuple):
    """Some whole episodes, end to end as in a `Dataset`."""

    obs: PyTree[Shaped[np.ndarray, "row ..."]]
    action: PyTree[Shaped[np.ndarray, "step ..."]]
    reward: Shaped[np.ndarray, " step"]
    terminated: Shaped[np.ndarray, " step"]
    truncated: Shaped[np.ndarray, " step"]
    lengths: Int[np.ndarray, " episode"]
    legal: Shaped[np.ndarray, "row choice"] | None = None
    propensity: Shaped[np.ndarray, " step"] | None = None

    def episodes(self) -> Iterator["Block"]:
        """Each episode by itself."""
        step = row = 0
        for n in map(int, self.lengths):
            yield self.part(slice(step, step + n), slice(row, row + n + 1), [n])
            step, row = step + n, row + n + 1

    def part(
        self, steps: slice, rows: slice, lengths: Sequence[int] | np.ndarray
    ) -> "Block":
        take = lambda tree, at: jax.tree.map(lambda x: x[at], tree)
        return Block(
            take(self.obs, rows),
            take(self.action, steps),
            self.reward[steps],
            self.terminated[steps],
            self.truncated[steps],
            np.asarray(lengths, np.int64),
            take(self.legal, rows),
            take(self.propensity, steps),
        )


@dataclasses.dataclass(frozen=True)
class Reading:
    """A dataset that is read, block by block, each time it is asked for."""

    format: str
    spec: Spec | None
    """None where the format does not say and it must be inferred."""
    blocks: Callable[[Counter[str]], Iterator[Block]]
    """The blocks as the file has them, counting what was done to them."""
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def notes(self, done: Counter[str]) -> dict[str, Any]:
        """`meta`, with what was done said in words."""
        said = [
            f"{done[what]:,} {words}" for what, words in NOTES.items() if done[what]
        ]
        notes = [*self.meta.get("notes", ()), *said]
        return dict(self.meta) | ({"notes": notes} if notes else {})


def reading(data: Dataset, episodes: Int[np.ndarray, " some"] | None = None) -> Reading:
    """A dataset, or some of its episodes, to be handed on; nothing is copied but the
    blocks under way."""

    def blocks(done: Counter[str]) -> Iterator[Block]:
        most = portion((data.obs, data.action))
        which = np.arange(data.episodes) if episodes is None else episodes
        for first, last in runs(data.lengths, which, most):
            yield slab(data, int(which[first]), int(which[last]) + 1)

    return Reading("native", data.spec, blocks, data.meta)


def runs(
    lengths: Int[np.ndarray, " all"], which: Int[np.ndarray, " some"], most: int
) -> Iterator[tuple[int, int]]:
    """Stretches of `which` that follow each other in the dataset, first and last, of at
    most so many steps, or of one episode."""
    first = total = 0
    for i, e in enumerate(which):
        n = int(lengths[e])
        if i > first and (e != which[i - 1] + 1 or total + n > most):
            yield first, i - 1
            first, total = i, 0
        total += n
    if len(which):
        yield first, len(which) - 1


def slab(data: Dataset, first: int, last: int) -> Block:
    """Episodes `first` to `last` (not included), not copied."""
    a, b = int(data.starts[first]), int(data.starts[last])
    steps, rows = slice(a, b), slice(a + first, b + last)
    whole = Block(
        data.obs,
        data.action,
        data.reward,
        data.terminated,
        data.truncated,
        data.lengths,
        data.legal,
        data.propensity,
    )
    return whole.part(steps, rows, data.lengths[first:last])


def gathered(source: Reading) -> Dataset:
    """All of it in memory; raises `DataFault`."""
    done: Counter[str] = Counter()
    spec = known(source)
    blocks = list(fitted(source.blocks(done), spec))
    if not blocks:
        raise DataFault("the dataset is empty: it holds no step")
    join = lambda *x: np.concatenate([np.asarray(v) for v in x])
    whole = jax.tree.map(join, *blocks)
    return check(
        Dataset(
            spec,
            whole.obs,
            whole.action,
            whole.reward,
            whole.terminated,
            whole.truncated,
            np.concatenate([[0], np.cumsum(whole.lengths)]),
            whole.legal,
            whole.propensity,
            source.notes(done),
        )
    )


def known(source: Reading) -> Spec:
    """The spaces of a source that has them."""
    if source.spec is None:
        raise DataFault("its spaces are not known: name the environment (--env)")
    return source.spec


def agree(wanted: Spec, found: Spec) -> None:
    """Raise `DataFault` unless these spaces are the same but for their bounds."""
    for part in ("obs", "action"):
        a, b = getattr(wanted, part), getattr(found, part)
        form = lambda s: (type(s), s.shape, s.dtype, isinstance(s, Box) or s)
        sides = [jax.tree.map(form, x, is_leaf=is_space) for x in (a, b)]
        if sides[0] != sides[1]:
            raise DataFault(
                f"its {part} is {describe(b)}, that of the environment {describe(a)}"
            )


def fitted(blocks: Iterator[Block], spec: Spec) -> Iterator[Block]:
    """The blocks as their spaces say they are; raises `DataFault` for those that
    cannot be that."""
    steps = rows = 0
    likely = None
    for block in blocks:
        n = int(block.lengths.sum())
        propensity = block.propensity
        legal = block.legal if spec.masked else None
        if spec.masked and legal is None:
            raise DataFault("masks of legal actions are announced but missing")
        likely = propensity is not None if likely is None else likely
        if likely != (propensity is not None):
            raise DataFault("the propensity is known of some episodes only")
        terminated = flag(block.terminated, "terminated", steps)
        truncated = flag(block.truncated, "truncated", steps)
        check_ends(terminated, truncated, np.cumsum(block.lengths) - 1, steps)
        yield Block(
            fit(spec.obs, block.obs, "observation", rows),
            fit(spec.action, block.action, "action", steps),
            number(block.reward, "reward"),
            terminated,
            truncated,
            block.lengths,
            None if legal is None else masks(legal, choices(spec.action)),
            None if propensity is None else number(propensity, "propensity"),
        )
        steps, rows = steps + n, rows + n + len(block.lengths)


def fit(space: PyTree, tree: PyTree, what: str, first: int) -> PyTree:
    """Arrays as the space wants them; their items are counted from `first`."""
    leaves, shape = jax.tree.flatten(space, is_leaf=is_space)
    found, structure = jax.tree.flatten(tree)
    if shape != structure:
        raise DataFault(f"the {what}s are {structure}, their space is {shape}")
    pairs = zip(leaves, found, strict=True)
    return jax.tree.unflatten(shape, [fit_one(s, x, what, first) for s, x in pairs])


def fit_one(space: Space, x: np.ndarray, what: str, first: int) -> np.ndarray:
    x = numeric(x, what)
    if x.shape[1:] != space.shape:
        if x[0:1].size != space.size:
            raise DataFault(
                f"the {what}s have shape {x.shape[1:]}, their space {space.shape}"
            )
        x = x.reshape(len(x), *space.shape)
    if not fits(x, space.dtype):
        raise DataFault(
            f"the {what}s are {x.dtype}, of which their space, {space.dtype}, does not "
            "hold all values"
        )
    if not isinstance(space, Box):
        check_choices(space, x, what, first)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(x, space.dtype)


def fits(x: np.ndarray, dtype: np.dtype) -> bool:
    """Whether nothing but precision is lost in this dtype."""
    if x.dtype.kind == "b" or dtype.kind == "f":
        return True
    if x.dtype.kind == "f":
        return False
    edge = np.iinfo(dtype)
    return not x.size or bool(x.min() >= edge.min and x.max() <= edge.max)


def numeric(x: np.ndarray, what: str) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise DataFault(f"the {what}s are {x.dtype}: not numbers")
    return x


def number(x: np.ndarray, what: str) -> Float[np.ndarray, " step"]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(column(numeric(x, what), what), np.float32)


def flag(x: np.ndarray, what: str, first: int) -> Bool[np.ndarray, " step"]:
    """Flags, which many formats hold as numbers."""
    x = column(numeric(x, what), what)
    odd = (x != 0) & (x != 1)
    if odd.any():
        at = int(np.flatnonzero(odd)[0])
        raise DataFault(f"{what} of step {first + at} is {x[at]}: neither 0 nor 1")
    return x.astype(bool)


def masks(x: np.ndarray, size: int) -> Bool[np.ndarray, "row choice"]:
    x = numeric(x, "mask")
    if x.shape[1:] != (size,):
        raise DataFault(f"the masks have shape {x.shape[1:]} for {size} choices")
    return x.astype(bool)


def column(x: np.ndarray, what: str) -> np.ndarray:
    """One number per row; some formats make a matrix of one column of it."""
    if x.shape not in ((len(x),), (len(x), 1)):
        raise DataFault(f"{what} has shape {x.shape}: must be one number per step")
    return x.reshape(-1)
