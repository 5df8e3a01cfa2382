"""PureJaxRL's own script (`purejaxrl/ppo.py`), from a folder that holds the repository:
named by PUREJAXRL."""

import os
import sys
from typing import Any

import jax
from turns import serve


sys.path.insert(0, os.path.join(os.environ["PUREJAXRL"], "purejaxrl"))
from ppo import make_train


class Script:
    def __init__(self, library: str, algorithm: str, env: str, threads: int, **rest):
        self.config = {
            "LR": rest["learning_rate"],
            "NUM_ENVS": rest["envs"],
            "NUM_STEPS": rest["rollout"],
            "UPDATE_EPOCHS": rest["epochs"],
            "NUM_MINIBATCHES": rest["minibatches"],
            "GAMMA": rest["gamma"],
            "GAE_LAMBDA": rest["gae_lambda"],
            "CLIP_EPS": rest["clip"],
            "ENT_COEF": rest["entropy_cost"],
            "VF_COEF": rest["value_cost"],
            "MAX_GRAD_NORM": rest["max_gradient"],
            "ACTIVATION": "tanh",
            "ENV_NAME": env,
            "ANNEAL_LR": True,
        }
        self.programs: dict[int, Any] = {}

    def go(self, n: int) -> None:
        """A whole run of so many steps: the script knows no other."""
        if n not in self.programs:
            run = make_train(self.config | {"TOTAL_TIMESTEPS": n})
            self.programs[n] = jax.jit(run).lower(jax.random.key(0)).compile()
        jax.block_until_ready(self.programs[n](jax.random.key(0)))


if __name__ == "__main__":
    serve(Script)
