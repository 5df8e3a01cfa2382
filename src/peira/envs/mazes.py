"""Mazes in JAX: a point with inertia, and a walker from cell to cell.

Both are paid -1 a step until the goal of the maze, where the episode terminates. In
drawings `#` is a wall and `G` the goal; cell (row, column) is the square of side 1
whose upper left corner is (column, row).
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.sparse.csgraph import shortest_path

from ..core import Box, Discrete, Env, Key, Outcome, Spec
from .classic import TimeLimit


# The first two are Maze2D's of D4RL (Fu et al., 2020); the rooms Sutton's, 1999.
UMAZE = (
    "#####",
    "#G  #",
    "### #",
    "#   #",
    "#####",
)
MEDIUM = (
    "########",
    "#  ##  #",
    "#  #   #",
    "##   ###",
    "#  #   #",
    "# #  # #",
    "#   # G#",
    "########",
)
ROOMS = (
    "#############",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#     #     #",
    "## ####     #",
    "#     ### ###",
    "#     #     #",
    "#     #     #",
    "#          G#",
    "#     #     #",
    "#############",
)
WAYS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # up, right, down, left
RADIUS = 0.2  # half the side of the point's body, in cells


class Chart(NamedTuple):
    """A maze measured: its free cells are numbered row by row."""

    number: Int[np.ndarray, "rows columns"]
    """Of every cell; -1 for walls."""
    place: Int[np.ndarray, "cell 2"]
    """Row and column."""
    goal: int
    beside: Int[np.ndarray, "cell 4"]
    """Where each way leads; the cell itself where a wall stands."""
    distance: Int[np.ndarray, "cell cell"]
    """Steps on a shortest path."""
    onward: Int[np.ndarray, "cell cell"]
    """The way from the first cell that begins a shortest path to the second."""


@functools.cache
def chart(drawing: tuple[str, ...]) -> Chart:
    """Measure a maze, whose outermost cells must be walls."""
    signs = np.array([list(row) for row in drawing])
    free = signs != "#"
    number = np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)
    place = np.argwhere(free)
    there = number[tuple(np.moveaxis(place[:, None] + WAYS, -1, 0))]
    own = np.arange(len(place))
    beside = np.where(there < 0, own[:, None], there)
    joined = np.zeros((len(place), len(place)), bool)
    joined[own[:, None], beside] = True
    distance = shortest_path(joined, unweighted=True)
    onward = distance[beside].argmin(axis=1)
    return Chart(
        number,
        place,
        int(number[signs == "G"][0]),
        beside,
        distance.astype(int),
        onward,
    )


class PointMaze(Env[Float[Array, "4"]]):
    """Drive a point to within half a cell of the goal's centre, by a force in two
    directions. The state is (x, y) and the velocity; an episode begins at rest in the
    cell (row, column) of `start`, or in any cell but the goal's.

    The body is a small square, and walls stop it in the direction it hits them.
    """

    drawing: tuple[str, ...] = UMAZE
    dt: float = 0.1
    force: float = 2.0
    drag: float = 1.0
    start: tuple[int, int] | None = None

    @property
    def chart(self) -> Chart:
        return chart(self.drawing)

    @property
    def spec(self) -> Spec:
        rows, columns = self.chart.number.shape
        fast = self.force / self.drag
        high = np.array([columns, rows, fast, fast], np.float32)
        low = np.array([0, 0, -fast, -fast], np.float32)
        one = np.ones(2, np.float32)
        return Spec(Box(low, high), Box(-one, one))

    def centre(self, cell: Int[Array, ""]) -> Float[Array, "2"]:
        """The middle of a cell, as (x, y)."""
        return jnp.asarray(self.chart.place, jnp.float32)[cell][::-1] + 0.5

    def cell(self, position: Float[Array, "2"]) -> Int[Array, ""]:
        """The cell that (x, y) lies in; -1 for a wall."""
        column, row = jnp.floor(position).astype(int)
        return jnp.asarray(self.chart.number)[row, column]

    def fits(self, position: Float[Array, "2"]) -> Bool[Array, ""]:
        """Whether the body would stand in free cells only."""
        corners = [(dx, dy) for dx in (-RADIUS, RADIUS) for dy in (-RADIUS, RADIUS)]
        cells = [self.cell(position + jnp.array(c)) for c in corners]
        return (jnp.stack(cells) >= 0).all()

    def reset(self, *, key: Key) -> tuple[Float[Array, "4"], Float[Array, "4"], None]:
        k_cell, k_place = jr.split(key)
        cell = jr.randint(k_cell, (), 0, len(self.chart.place) - 1)
        cell = cell + (cell >= self.chart.goal)
        if self.start is not None:
            cell = jnp.array(self.chart.number[self.start])
        jitter = jr.uniform(k_place, (2,), minval=-RADIUS, maxval=RADIUS)
        state = jnp.concatenate([self.centre(cell) + jitter, jnp.zeros(2)])
        return state, state, None

    def step(
        self, world: Float[Array, "4"], action: Float[Array, "2"], *, key: Key
    ) -> tuple[Float[Array, "4"], Outcome]:
        position, velocity = world[:2], world[2:]
        push = self.force * jnp.clip(action, -1, 1)
        velocity = velocity + self.dt * (push - self.drag * velocity)
        for axis in (0, 1):  # one after the other, so that it slides along walls
            moved = position.at[axis].add(self.dt * velocity[axis])
            free = self.fits(moved)
            position = jnp.where(free, moved, position)
            velocity = velocity.at[axis].multiply(free)
        goal = self.centre(jnp.array(self.chart.goal))
        there = jnp.linalg.norm(position - goal) < 0.5
        state = jnp.concatenate([position, velocity])
        return state, Outcome(state, -jnp.ones(()), there, jnp.array(False))


class Rooms(Env[Int[Array, ""]]):
    """Walk to the goal's cell; a step goes astray, in one of the three other ways,
    with probability `slip`. The observation is the number of the cell.

    Sutton, Precup & Singh, 1999, section 2, with slips in a third of the steps.
    """

    drawing: tuple[str, ...] = ROOMS
    slip: float = 1 / 3

    @property
    def chart(self) -> Chart:
        return chart(self.drawing)

    @property
    def spec(self) -> Spec:
        return Spec(Discrete(len(self.chart.place)), Discrete(len(WAYS)))

    def reset(self, *, key: Key) -> tuple[Int[Array, ""], Int[Array, ""], None]:
        cell = jr.randint(key, (), 0, len(self.chart.place) - 1)
        cell = cell + (cell >= self.chart.goal)
        return cell, cell, None

    def step(
        self, world: Int[Array, ""], action: Int[Array, ""], *, key: Key
    ) -> tuple[Int[Array, ""], Outcome]:
        k_whether, k_way = jr.split(key)
        other = (action + jr.randint(k_way, (), 1, len(WAYS))) % len(WAYS)
        astray = jr.uniform(k_whether) < self.slip
        way = jnp.where(astray, other, action)
        cell = jnp.asarray(self.chart.beside, world.dtype)[world, way]
        there = cell == self.chart.goal
        return cell, Outcome(cell, -jnp.ones(()), there, jnp.array(False))


MAZES: dict[str, TimeLimit] = {
    "PointMaze-umaze": TimeLimit(PointMaze(UMAZE), 150),
    "PointMaze-medium": TimeLimit(PointMaze(MEDIUM), 300),
    "PointMaze-medium-corner": TimeLimit(PointMaze(MEDIUM, start=(1, 1)), 300),
    "FourRooms": TimeLimit(Rooms(), 200),
}
