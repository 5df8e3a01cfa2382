"""Plays Gymnasium with an exported policy, where neither JAX nor Peira is installed.

pip install gymnasium onnxruntime
python exported_policy.py policy.onnx CartPole-v1
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import onnxruntime


def actor(file: str) -> Callable[[Any, dict[str, Any], float, bool], np.ndarray]:
    """A function from what one actor is handed to its action: the observation, the
    `info` beside it, the last reward, and whether an episode opens."""
    session = onnxruntime.InferenceSession(file)
    about = json.loads(session.get_modelmeta().custom_metadata_map["peira"])
    outputs = [port["name"] for port in about["outputs"]]
    carry = about["begin"]  # what it remembers from step to step, if anything

    def act(obs: Any, info: dict[str, Any], reward: float, first: bool) -> np.ndarray:
        nonlocal carry
        known = {"reward": reward, "first": first, **carry}
        if "action_mask" in info:
            known["legal"] = info["action_mask"]
        inputs = {}
        for port in about["inputs"]:
            name, *path = port["name"].split(
                "."
            )  # "obs", or "obs.<key of a Dict or Tuple>"
            x = known.get(port["name"], obs)
            for key in path if name == "obs" else ():
                x = x[int(key)] if isinstance(x, tuple) else x[key]
            inputs[port["name"]] = np.asarray(x, port["dtype"])[None]
        made = dict(zip(outputs, session.run(outputs, inputs), strict=True))
        carry = {name: made[f"next_{name}"][0] for name in carry}
        return made["action"][0]

    return act


def play(file: str, name: str, episodes: int = 10) -> list[float]:
    """What each episode earned."""
    env, act, returns = gymnasium.make(name), actor(file), []
    for episode in range(episodes):
        obs, info = env.reset(seed=episode)
        reward, first, over, total = 0.0, True, False, 0.0
        while not over:
            action = act(obs, info, reward, first)
            obs, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            first, over = False, terminated or truncated
        returns.append(total)
    return returns


if __name__ == "__main__":
    earned = play(*sys.argv[1:3])
    print(f"mean return {np.mean(earned):.1f} over {len(earned)} episodes")
