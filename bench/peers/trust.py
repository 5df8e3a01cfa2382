"""What SB3 and SBX do when something breaks: the table of `docs/trust.md`.

    python bench/peers/trust.py

To be run in the peers' environment; the rows go to bench/results/trust.jsonl. Each
probe runs in a process of its own. `holds` says whether the promise was kept, `saw`
what happened.
"""

import base64
import importlib
import io
import json
import multiprocessing
import resource
import tempfile
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any


OUT = Path(__file__).resolve().parents[1] / "results" / "trust.jsonl"
LIBRARIES = {
    "SB3": ("stable_baselines3", "stable-baselines3"),
    "SBX": ("sbx", "sbx-rl"),
}
Found = tuple[bool, str]


def make(library: str, env: Any, **fields: Any) -> Any:
    """A small SAC."""
    create = importlib.import_module(LIBRARIES[library][0]).SAC
    small = {"learning_starts": 100, "buffer_size": 1000, "batch_size": 32}
    small |= {"policy_kwargs": {"net_arch": [16]}, "device": "cpu", "seed": 0}
    return create("MlpPolicy", env, **small | fields)


def world(fault: str | None = None, at: int = 300) -> Any:
    """Pendulum that breaks in its `at`-th step."""
    import gymnasium

    class Breaking(gymnasium.Wrapper):
        steps = 0

        def step(self, action: Any) -> Any:
            self.steps += 1
            obs, reward, *rest = self.env.step(action)
            if self.steps == at and fault == "reward":
                reward = float("nan")
            if self.steps == at and fault == "raises":
                raise RuntimeError("broken")
            return obs, reward, *rest

    return Breaking(gymnasium.make("Pendulum-v1"))


def actions(model: Any) -> Any:
    """What the policy does in a hundred states."""
    import numpy as np

    obs = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    return np.asarray(model.predict(obs, deterministic=True)[0])


def resume(library: str, home: Path) -> Found:
    """Trained for 400 steps, and for 200, saved, loaded and trained for 200 more."""
    import numpy as np

    whole = make(library, world())
    whole.learn(400)
    part = make(library, world())
    part.learn(200)
    part.save(home / "model")
    part.save_replay_buffer(home / "replay")
    again = type(part).load(home / "model", env=world(), device="cpu")
    again.load_replay_buffer(home / "replay")
    again.learn(200, reset_num_timesteps=False)
    apart = float(np.abs(actions(whole) - actions(again)).max())
    return apart == 0, f"actions differ by up to {apart:.2g}"


def nan_reward(library: str, home: Path) -> Found:
    """One reward of 600 is not a number."""
    import numpy as np

    model = make(library, world("reward"))
    try:
        model.learn(600)
    except Exception as error:
        return False, f"{type(error).__name__} from within the policy, later"
    good = bool(np.isfinite(actions(model)).all())
    now = "finite" if good else "nan"
    return good, f"training went on; the policy's actions are {now}"


def raising(library: str, home: Path) -> Found:
    """The environment raises in step 300 of 600."""
    model = make(library, world("raises"))
    try:
        model.learn(600)
    except Exception as error:
        left = [p.name for p in home.iterdir()] or "nothing"
        return left != "nothing", f"{type(error).__name__} as raised; on disk: {left}"
    return True, "training went on"


def killed(library: str, home: Path) -> Found:
    """No more may be written, halfway through saving over a good file."""
    model = make(library, world())
    model.save(home / "model")
    size = (home / "model.zip").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
    try:
        model.save(home / "model")
    except Exception as error:
        said = type(error).__name__
    else:
        said = "no error"
    try:
        type(model).load(home / "model", device="cpu")
    except Exception as error:
        return False, f"{said}; the old file is gone ({type(error).__name__})"
    return True, f"{said}; the old file is whole"


def hostile(library: str, home: Path) -> Found:
    """A stranger's file that makes a file when it is loaded."""
    import cloudpickle

    trap = home / "trap"

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (trap,))

    model = make(library, world())
    model.save(home / "model")
    bad = io.BytesIO()
    with zipfile.ZipFile(home / "model.zip") as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "data":
                said = json.loads(data)
                code = base64.b64encode(cloudpickle.dumps(Trap())).decode()
                said["extra"] = {":type:": "x", ":serialized:": code}
                data = json.dumps(said).encode()
            new.writestr(name, data)
    (home / "bad.zip").write_bytes(bad.getvalue())
    try:
        type(model).load(home / "bad", device="cpu")
    except Exception as error:
        said = f"{type(error).__name__}"
    else:
        said = "loaded"
    ran = trap.exists()
    return not ran, f"{said}; its code {'ran' if ran else 'did not run'}"


PROBES: dict[str, Callable[[str, Path], Found]] = {
    "a resumed run is the run never stopped": resume,
    "a reward that is not a number does no harm": nan_reward,
    "an environment that raises leaves something to go on from": raising,
    "a save that breaks off leaves the old file": killed,
    "a stranger's file runs no code": hostile,
}


def run(library: str, probe: str) -> None:
    """One probe, appended to the rows."""
    with tempfile.TemporaryDirectory() as home:
        holds, saw = PROBES[probe](library, Path(home))
    version = metadata.version(LIBRARIES[library][1])
    row = {"library": library, "version": version, "probe": probe}
    with OUT.open("a") as file:
        file.write(json.dumps(row | {"holds": holds, "saw": saw}) + "\n")


def main() -> None:
    OUT.unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    for library in LIBRARIES:
        for probe in PROBES:
            child = context.Process(target=run, args=(library, probe))
            child.start()
            child.join()
    print(OUT.read_text())


if __name__ == "__main__":
    main()
