"""Catch: a ball falls, a paddle must be under it. A world written in JAX.

The ball starts somewhere in the top row of a board and falls one row per step; when it
lands the reward is 1 if the paddle is there, else -1. The best return is 1.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from peira.core import Box, Discrete, Env, Outcome, Spec


ROWS, COLUMNS = 10, 5


class Board(eqx.Module):
    row: jax.Array
    ball: jax.Array
    paddle: jax.Array

    def picture(self) -> jax.Array:
        empty = jnp.zeros((ROWS, COLUMNS), jnp.float32)
        return empty.at[self.row, self.ball].set(1.0).at[-1, self.paddle].set(1.0)


class Catch(Env[Board]):
    @property
    def spec(self) -> Spec:
        low = np.zeros((ROWS, COLUMNS), np.float32)
        return Spec(obs=Box(low, low + 1), action=Discrete(3))  # left, stay, right

    def reset(self, *, key: Any) -> tuple[Board, jax.Array, None]:
        ball = jax.random.randint(key, (), 0, COLUMNS)
        board = Board(jnp.array(0), ball, jnp.array(COLUMNS // 2))
        return board, board.picture(), None  # every action is legal

    def step(self, world: Board, action: Any, *, key: Any) -> tuple[Board, Outcome]:
        paddle = jnp.clip(world.paddle + action - 1, 0, COLUMNS - 1)
        board = Board(world.row + 1, world.ball, paddle)
        landed = board.row == ROWS - 1
        caught = jnp.where(paddle == world.ball, 1.0, -1.0)
        return board, Outcome(
            board.picture(),
            reward=jnp.where(landed, caught, 0.0),
            terminated=landed,
            truncated=jnp.array(False),  # no time limit
        )
