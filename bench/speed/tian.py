"""Tianshou's side: its own trainer, an epoch of which is a turn.

What our settings leave out is as our defaults have it. After every collection that
trainer searches the whole replay for missing values, the longer the fuller it is.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import DQN, SAC, TD3
from tianshou.algorithm.modelfree.ddpg import ContinuousDeterministicPolicy
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.sac import AutoAlpha, SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, ReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.exploration import GaussianNoise
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import (
    ContinuousActorDeterministic,
    ContinuousActorProbabilistic,
    ContinuousCritic,
)
from turns import serve


JUDGES = 10  # environments side by side in which to look


class Model:
    def __init__(self, library: str, algorithm: str, env: str, threads: int, **rest):
        torch.set_num_threads(threads)
        seed = rest.get("seed", 0)
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (theirs is the global one)
        self.open = lambda: gymnasium.make(env)
        world = self.open()
        spaces = (world.observation_space, world.action_space)
        create = {"sac": sac, "td3": td3, "dqn": dqn}[algorithm]
        self.algorithm = create(*spaces, rest)
        collector = Collector(
            self.algorithm,
            DummyVectorEnv([lambda: world]),
            ReplayBuffer(rest["capacity"], random_seed=seed),
            exploration_noise=True,
        )
        collector.reset(gym_reset_kwargs={"seed": seed})
        collector.collect(n_step=rest["warmup"], random=True)
        self.params = OffPolicyTrainerParams(
            training_collector=collector,
            collection_step_num_env_steps=rest.get("block", 1),
            update_step_num_gradient_steps_per_sample=1 / rest.get("every", 1),
            batch_size=rest["batch"],
            show_progress=False,
        )
        self.trainer = self.algorithm.create_trainer(self.params)
        self.judge: Any = None

    def go(self, n: int) -> None:
        self.params.epoch_num_steps = n
        self.trainer.execute_epoch()

    def look(self, n: int) -> float:
        if self.judge is None:
            worlds = DummyVectorEnv([self.open] * min(n, JUDGES))
            worlds.seed(10**6)
            self.judge = Collector(self.algorithm, worlds)
        played = self.judge.collect(n_episode=n, reset_before_collect=True)
        return float(played.returns.mean())


def sac(obs: gymnasium.Space, action: gymnasium.Space, rest: dict) -> SAC:
    adam = AdamOptimizerFactory(rest.get("learning_rate", 3e-4))
    actor = ContinuousActorProbabilistic(
        preprocess_net=Net(state_shape=obs.shape, hidden_sizes=rest["hidden"]),
        action_shape=action.shape,
        unbounded=True,
        conditioned_sigma=True,
    )
    entropy = -float(np.prod(action.shape))
    return SAC(
        policy=SACPolicy(actor=actor, action_space=action),
        policy_optim=adam,
        alpha=AutoAlpha(target_entropy=entropy, log_alpha=0.0, optim=adam),
        **twins(obs, action, rest, adam),
    )


def td3(obs: gymnasium.Space, action: gymnasium.Space, rest: dict) -> TD3:
    adam = AdamOptimizerFactory(rest.get("learning_rate", 3e-4))
    actor = ContinuousActorDeterministic(
        preprocess_net=Net(state_shape=obs.shape, hidden_sizes=rest["hidden"]),
        action_shape=action.shape,
    )
    policy = ContinuousDeterministicPolicy(
        actor=actor, exploration_noise=GaussianNoise(sigma=0.1), action_space=action
    )
    return TD3(policy=policy, policy_optim=adam, **twins(obs, action, rest, adam))


def twins(
    obs: gymnasium.Space,
    action: gymnasium.Space,
    rest: dict,
    adam: AdamOptimizerFactory,
) -> dict[str, Any]:
    """Two critics that begin apart."""
    one, other = (
        ContinuousCritic(
            preprocess_net=Net(
                state_shape=obs.shape,
                action_shape=action.shape,
                hidden_sizes=rest["hidden"],
                concat=True,
            )
        )
        for _ in range(2)
    )
    return {"critic": one, "critic_optim": adam, "critic2": other}


def dqn(obs: gymnasium.Space, action: gymnasium.Space, rest: dict) -> DQN:
    net = Net(state_shape=obs.shape, action_shape=action.n, hidden_sizes=rest["hidden"])
    policy = DiscreteQLearningPolicy(model=net, action_space=action, eps_training=0.05)
    return DQN(
        policy=policy,
        optim=AdamOptimizerFactory(rest.get("learning_rate", 1e-3)),
        n_step_return_horizon=rest.get("n", 3),
        target_update_freq=rest.get("target_every", 100),
        is_double=False,
        huber_loss_delta=1.0,
    )


if __name__ == "__main__":
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    serve(Model)
