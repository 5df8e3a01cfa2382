"""How signatures are checked in tests: by beartype, where a whole number is a float,
and so is an array, because every float of an algorithm may be swept under `vmap`.
"""

import jax
from beartype import beartype, BeartypeConf, BeartypeHintOverrides


check = beartype(
    conf=BeartypeConf(
        hint_overrides=BeartypeHintOverrides({float: float | int | jax.Array})
    )
)
