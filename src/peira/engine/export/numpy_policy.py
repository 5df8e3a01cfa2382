"""Runs an exported policy with NumPy alone: neither JAX nor Peira is needed.

    policy = NumpyPolicy()          # what lies beside this file, or in a folder
    action = policy(obs)            # one observation, or a batch of them
    action = policy(obs, legal)     # where actions are masked

Observations are arrays, or dicts and tuples of arrays, as the environment gives them.
The policies of PPO, TRPO, DQN, TD3, SAC and discrete SAC can be run where they see
numbers and choices; images need a CNN, and so another format.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file


FORMAT = 1
NETS = {  # by algorithm: its version, and the network that chooses
    "dqn": (1, ".net.value"),
    "ppo": (1, ".net.actor"),
    "sac": (1, ".actor.body"),
    "sac-discrete": (1, ".actor.body"),
    "td3": (1, ".actor.body"),
    "trpo": (1, ".net.actor"),
}


class NumpyPolicy:
    """The greedy policy in a folder with policy.json and policy.safetensors; raises
    `ValueError` for one that cannot be run here."""

    def __init__(self, folder: str | Path = Path(__file__).parent):
        about = json.loads((Path(folder) / "policy.json").read_text())
        self.algorithm, self.hyper = about["algorithm"], about["hyper"]
        version, self.net = NETS.get(self.algorithm, (None, ""))
        if (about["format"], about["version"]) != (FORMAT, version):
            raise ValueError(
                f"{self.algorithm} (version {about['version']}) is not among the "
                f"algorithms that run in NumPy: {', '.join(NETS)}"
            )
        how = self.hyper.get("value_loss", "huber")
        if self.algorithm == "dqn" and how not in ("huber", "mse"):
            raise ValueError(f"value_loss = {how}: NumPy reads no histograms of values")
        if self.hyper.get("dueling"):  # the value of the state changes no choice
            self.net = ".net.advantage"
        self.seen = [*parts(about["obs"])]
        for path, space in self.seen:
            if len(space.get("shape", ())) == 3:
                name = ".".join(map(str, ("obs", *path)))
                raise ValueError(f"{name} is an image, and NumPy runs no CNN")
        self.action = about["action"]
        self.arrays = load_file(Path(folder) / "policy.safetensors")

    def __call__(self, obs: Any, legal: np.ndarray | None = None) -> np.ndarray:
        out = self.mlp(self.net, np.concatenate([*self.encode(obs)], axis=-1))
        if self.algorithm == "sac":  # the mean, and beside it how sure it is
            out = np.split(out, 2, axis=-1)[0]
        if self.action["space"] == "Box":
            squash = self.algorithm in ("sac", "td3")
            return self.scale(np.tanh(out) if squash else np.clip(out, -1, 1))
        if legal is not None:
            out = np.where(legal, out, np.float32(-1e9))
        if self.action["space"] == "Discrete":
            return np.asarray(out.argmax(axis=-1), np.int32)
        choices = np.split(out, np.cumsum(self.action["nvec"])[:-1], axis=-1)
        return np.stack([x.argmax(axis=-1) for x in choices], -1).astype(np.int32)

    def encode(self, obs: Any) -> Iterator[np.ndarray]:
        """Each part of an observation as rows of numbers."""
        real = 0
        for path, space in self.seen:
            x = obs
            for key in path:
                x = x[key]
            x, kind = np.asarray(x), space["space"]
            if kind == "Discrete":
                yield one_hot(x, space["n"])
            elif kind == "MultiDiscrete":
                for i, n in enumerate(space["nvec"]):
                    yield one_hot(x[..., i], n)
            else:
                shape = space["shape"] if kind == "Box" else space["sides"]
                y, dtype = x.astype(np.float32), space.get("dtype", "")
                if dtype.startswith("float") and self.hyper.get("normalize_obs"):
                    y, real = self.normalize(y, f".moments[{real}]"), real + 1
                y = y / np.float32(255) if dtype == "uint8" else y
                yield y.reshape(*y.shape[: y.ndim - len(shape)], -1)

    def normalize(self, x: np.ndarray, name: str) -> np.ndarray:
        """To zero mean and unit variance, as in training."""
        count = self.arrays[f"{name}.count"]
        variance = self.arrays[f"{name}.deviation"] / np.maximum(count, 1)
        variance = variance if count > 0 else np.ones_like(variance)
        z = (x - self.arrays[f"{name}.mean"]) / np.sqrt(variance + np.float32(1e-8))
        return np.clip(z, -10, 10) if self.hyper["clip_obs"] else z

    def mlp(self, name: str, x: np.ndarray) -> np.ndarray:
        layer = 0
        while f"{name}.layers[{layer}].weight" in self.arrays:
            if layer:
                tanh = self.hyper.get("activation") == "tanh"
                x = np.tanh(x) if tanh else np.maximum(x, 0)
            x = x @ self.arrays[f"{name}.layers[{layer}].weight"]
            x = x + self.arrays[f"{name}.layers[{layer}].bias"]
            layer += 1
        return x

    def scale(self, unit: np.ndarray) -> np.ndarray:
        """From [-1, 1] to the bounds of the action."""
        shape = tuple(self.action["shape"])
        bounds = (np.array(self.action[k], np.float32) for k in ("low", "high"))
        low, high = (x.reshape(shape) if x.ndim else x for x in bounds)
        half = (unit.reshape(*unit.shape[:-1], *shape) + 1) / 2
        return low * (1 - half) + high * half


def parts(space: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """The parts of a space with their paths, those of a dict by the order of keys."""
    if "dict" in space:
        for key in sorted(space["dict"]):
            yield from parts(space["dict"][key], (*path, key))
    elif "tuple" in space:
        for i, inner in enumerate(space["tuple"]):
            yield from parts(inner, (*path, i))
    else:
        yield path, space


def one_hot(x: np.ndarray, n: int) -> np.ndarray:
    return np.eye(n, dtype=np.float32)[x]
