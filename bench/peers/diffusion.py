"""Diffusion Policy by its authors' code, from a folder that holds the repository:
named by DIFFUSION_POLICY (https://github.com/real-stanford/diffusion_policy, seen at
5ba07ac). Networks, loss, slow copy and scaling are theirs, sizes are told, and what
they leave to diffusers (the way back from noise, the pace of the step size) is too.
"""

import os
import sys
from importlib import metadata

import d3rlpy
import gymnasium
import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from offline import dataset, returns


sys.path.insert(0, os.environ["DIFFUSION_POLICY"])
from diffusion_policy.model.common.normalizer import LinearNormalizer
from diffusion_policy.model.diffusion.conditional_unet1d import ConditionalUnet1D
from diffusion_policy.model.diffusion.ema_model import EMAModel
from diffusion_policy.policy.diffusion_unet_lowdim_policy import (
    DiffusionUnetLowdimPolicy,
)


OBSERVED, HORIZON, EXECUTED = 2, 16, 8
NOISE_STEPS, DENOISING_STEPS, WARMUP = 100, 10, 500


class Planner:
    """Does the first part of each plan before it makes the next."""

    def __init__(self, policy: DiffusionUnetLowdimPolicy):
        self.policy = policy
        self.reset()

    def reset(self) -> None:
        self.seen: list[np.ndarray] = []
        self.todo: list[np.ndarray] = []

    def predict(self, x: np.ndarray, reward: float) -> np.ndarray:
        self.seen = [*(self.seen or [x]), x][-OBSERVED:]
        if not self.todo:
            obs = torch.from_numpy(np.stack(self.seen)[None])
            with torch.no_grad():
                plan = self.policy.predict_action({"obs": obs})["action"]
            self.todo = list(plan[0].numpy())
        return np.clip(self.todo.pop(0), -1, 1)


def windows(data: d3rlpy.dataset.MDPDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Observations and actions of every window there is, as in the authors' settings:
    from one step before an episode to as many after it as are planned in vain, where
    its first and last step are repeated."""
    seen, done = [], []
    for episode in data.episodes:
        last = len(episode.actions) - 1
        starts = np.arange(1 - OBSERVED, last + 1 - HORIZON + EXECUTED)
        at = np.clip(starts[:, None] + np.arange(HORIZON), 0, last)
        seen.append(episode.observations[at])
        done.append(episode.actions[at])
    return torch.from_numpy(np.concatenate(seen)), torch.from_numpy(
        np.concatenate(done)
    )


def built(obs: int, actions: int, widths: list[int], embed: int) -> torch.nn.Module:
    """The authors' policy of so many numbers in and out."""
    return DiffusionUnetLowdimPolicy(
        model=ConditionalUnet1D(
            actions,
            global_cond_dim=OBSERVED * obs,
            diffusion_step_embed_dim=embed,
            down_dims=widths,
            kernel_size=5,
            n_groups=8,
            cond_predict_scale=True,
        ),
        noise_scheduler=DDIMScheduler(
            num_train_timesteps=NOISE_STEPS,
            beta_schedule="squaredcos_cap_v2",
            clip_sample=True,
            set_alpha_to_one=True,
            steps_offset=0,
            prediction_type="epsilon",
        ),
        horizon=HORIZON,
        obs_dim=obs,
        action_dim=actions,
        n_action_steps=EXECUTED,
        n_obs_steps=OBSERVED,
        num_inference_steps=DENOISING_STEPS,
        obs_as_global_cond=True,
        oa_step_convention=True,
    )


def train(
    name: str,
    seed: int,
    *,
    widths: list[int],
    embed: int,
    rate: float,
    batch: int,
    updates: int,
    episodes: int,
) -> dict:
    """The row of one seed."""
    data, env = dataset(name)
    obs, action = windows(data)
    d3rlpy.seed(seed)
    sizes = (obs.shape[-1], action.shape[-1], widths, embed)
    policy, slow = built(*sizes), built(*sizes)
    slow.load_state_dict(policy.state_dict())
    scaling = LinearNormalizer()
    scaling.fit({"obs": obs, "action": action}, mode="limits")
    policy.set_normalizer(scaling)
    slow.set_normalizer(scaling)
    tx = torch.optim.AdamW(
        policy.model.parameters(), rate, betas=(0.95, 0.999), weight_decay=1e-6
    )
    pace = get_cosine_schedule_with_warmup(tx, WARMUP, updates)
    average = EMAModel(slow, power=0.75)
    for _ in range(updates):
        rows = torch.randint(len(obs), (batch,))
        policy.compute_loss({"obs": obs[rows], "action": action[rows]}).backward()
        tx.step()
        tx.zero_grad()
        pace.step()
        average.step(policy)
    world = gymnasium.make(env)
    return {
        "cell": f"{name}/diffusion-policy",
        "library": "diffusion_policy, diffusers",
        "version": metadata.version("diffusers"),
        "seed": seed,
        "step": updates,
        "returns": returns(Planner(slow), world, seed, episodes),
    }
