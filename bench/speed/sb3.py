"""Stable-Baselines3's side, and SBX's, which is made to be called alike.

Both are given our settings; the network of PPO is one for the policy and one for the
value in all three. Their classic environments are Gymnasium's, eight side by side in
one process where nothing else is said; Atari is preprocessed by their own wrappers.
"""

import importlib
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from turns import serve


MODULES = {"sb3": "stable_baselines3", "sbx": "sbx"}
JUDGES = 10  # environments side by side in which to look


class Model:
    def __init__(self, library: str, algorithm: str, env: str, threads: int, **rest):
        torch.set_num_threads(threads)
        envs = rest.get("envs", 1) if rest.get("backend") != "jax" else 8
        frames = env.startswith("ALE/")
        self.open = open_atari if frames else make_vec_env
        self.env, self.judge = env, None
        world = self.open(env, n_envs=envs if algorithm == "ppo" else 1)
        create = getattr(importlib.import_module(MODULES[library]), algorithm.upper())
        settings = {"ppo": rollouts, "dqn": values}.get(algorithm, replayed)(rest, envs)
        if algorithm == "td3":
            settings["action_noise"] = noise(world.action_space.shape)
        self.model = create(
            "CnnPolicy" if frames else "MlpPolicy",
            world,
            seed=rest.get("seed", 0),
            device="cpu",
            policy_kwargs={"net_arch": list(rest["hidden"])},
            **settings,
        )
        if "warmup" in rest:
            self.model.learn(rest["warmup"])

    def go(self, n: int) -> None:
        self.model.learn(n, reset_num_timesteps=False)

    def look(self, n: int) -> float:
        if self.judge is None:
            self.judge = self.open(self.env, n_envs=min(n, JUDGES), seed=10**6)
        mean, _ = evaluate_policy(self.model, self.judge, n_eval_episodes=n)
        return float(mean)


def open_atari(env: str, **options: Any) -> VecEnv:
    """Every action for four frames, 84 x 84 greys, the last four of them: as ours."""
    import ale_py

    gymnasium.register_envs(ale_py)
    game = {"frameskip": 1, "repeat_action_probability": 0.0}
    whole = {"terminal_on_life_loss": False, "clip_reward": False}
    world = make_atari_env(env, env_kwargs=game, wrapper_kwargs=whole, **options)
    return VecFrameStack(world, n_stack=4)


def noise(shape: tuple[int, ...]) -> Any:
    from stable_baselines3.common.noise import NormalActionNoise

    return NormalActionNoise(np.zeros(shape), np.full(shape, 0.1))


def replayed(rest: dict, envs: int) -> dict[str, Any]:
    """SAC and TD3: one update per step."""
    return {
        "learning_rate": rest.get("learning_rate", 3e-4),
        "batch_size": rest["batch"],
        "buffer_size": rest["capacity"],
        "learning_starts": rest["warmup"],
        "train_freq": 1,
        "gradient_steps": 1,
    }


def values(rest: dict, envs: int) -> dict[str, Any]:
    """DQN: as many updates per block as ours. Theirs counts the steps between copies to
    the target network, ours the updates."""
    copies = rest["every"] * rest["target_every"] if "target_every" in rest else 10
    return {
        "learning_rate": rest.get("learning_rate", 2.3e-3),
        "batch_size": rest["batch"],
        "buffer_size": rest["capacity"],
        "learning_starts": rest["warmup"],
        "train_freq": rest["block"],
        "gradient_steps": rest["block"] // rest["every"],
        "target_update_interval": copies,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
    }


def rollouts(rest: dict, envs: int) -> dict[str, Any]:
    """PPO: batches of the same size."""
    return {
        "learning_rate": rest["learning_rate"],
        "n_steps": rest["rollout"],
        "batch_size": rest["rollout"] * rest["envs"] // rest["minibatches"],
        "n_epochs": rest["epochs"],
        "gamma": rest["gamma"],
        "gae_lambda": rest["gae_lambda"],
        "ent_coef": rest["entropy_cost"],
        "vf_coef": rest["value_cost"],
        "max_grad_norm": rest["max_gradient"],
        "clip_range": rest["clip"],
    }


if __name__ == "__main__":
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    serve(Model)
