"""What SB3, SBX and d3rlpy do when something breaks: the table of `docs/trust.md`.

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
    "d3rlpy": ("d3rlpy", "d3rlpy"),
}
Found = tuple[bool, str]


def make(library: str, env: Any, home: Path) -> Any:
    """A small SAC."""
    if library == "d3rlpy":
        return D3(env, home)
    create = importlib.import_module(LIBRARIES[library][0]).SAC
    small = {"learning_starts": 100, "buffer_size": 1000, "batch_size": 32}
    small |= {"policy_kwargs": {"net_arch": [16]}, "device": "cpu", "seed": 0}
    return create("MlpPolicy", env, **small)


class D3:
    """d3rlpy's SAC under the names that SB3 gives to things."""

    def __init__(self, env: Any, home: Path, algorithm: Any = None):
        import d3rlpy

        d3rlpy.seed(0)
        env.reset(seed=0)
        layers = d3rlpy.models.VectorEncoderFactory([16])
        small = {"actor_encoder_factory": layers, "critic_encoder_factory": layers}
        config = d3rlpy.algos.SACConfig(batch_size=32, **small)
        self.env, self.home = env, home
        self.algorithm = algorithm or config.create(device=False)
        if algorithm is None:
            self.algorithm.build_with_env(env)
        self.replay = d3rlpy.dataset.create_fifo_replay_buffer(limit=1000, env=env)

    def learn(self, steps: int, reset_num_timesteps: bool = True) -> None:
        from d3rlpy.logging import FileAdapterFactory

        self.algorithm.fit_online(
            self.env,
            self.replay,
            n_steps=steps,
            n_steps_per_epoch=steps,
            update_start_step=100 if reset_num_timesteps else 0,
            logger_adapter=FileAdapterFactory(root_dir=str(self.home / "logs")),
            show_progress=False,
        )

    def save(self, path: Path) -> None:
        self.algorithm.save(str(path.with_suffix(".zip")))

    def save_replay_buffer(self, path: Path) -> None:
        with path.open("w+b") as file:
            self.replay.dump(file)

    def load_replay_buffer(self, path: Path) -> None:
        from d3rlpy.dataset import FIFOBuffer, ReplayBuffer

        with path.open("rb") as file:
            self.replay = ReplayBuffer.load(file, buffer=FIFOBuffer(limit=1000))

    def predict(self, obs: Any, deterministic: bool) -> tuple[Any, None]:
        return self.algorithm.predict(obs), None


def load(model: Any, home: Path, name: str, env: Any = None) -> Any:
    """What was saved under a name, by the library's own function."""
    if isinstance(model, D3):
        import d3rlpy

        found = d3rlpy.load_learnable(str(home / f"{name}.zip"))
        return D3(env or world(), home, found)
    return type(model).load(home / name, env=env, device="cpu")


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

    whole = make(library, world(), home)
    whole.learn(400)
    part = make(library, world(), home)
    part.learn(200)
    part.save(home / "model")
    part.save_replay_buffer(home / "replay")
    again = load(part, home, "model", world())
    again.load_replay_buffer(home / "replay")
    again.learn(200, reset_num_timesteps=False)
    apart = float(np.abs(actions(whole) - actions(again)).max())
    return apart == 0, f"actions differ by up to {apart:.2g}"


def nan_reward(library: str, home: Path) -> Found:
    """One reward of 600 is not a number."""
    import numpy as np

    model = make(library, world("reward"), home)
    try:
        model.learn(600)
    except Exception as error:
        return False, f"{type(error).__name__} from within the policy, later"
    good = bool(np.isfinite(actions(model)).all())
    now = "finite" if good else "nan"
    return good, f"training went on; the policy's actions are {now}"


def raising(library: str, home: Path) -> Found:
    """The environment raises in step 300 of 600."""
    model = make(library, world("raises"), home)
    try:
        model.learn(600)
    except Exception as error:
        models = [p.name for kind in ("zip", "d3") for p in home.rglob(f"*.{kind}")]
        left = ", ".join(models) or "no model"
        return bool(models), f"{type(error).__name__} as raised; on disk: {left}"
    return True, "training went on"


def killed(library: str, home: Path) -> Found:
    """No more may be written, halfway through saving over a good file."""
    model = make(library, world(), home)
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
        load(model, home, "model")
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

    model = make(library, world(), home)
    model.save(home / "model")
    trap_inside = replaced(home / "model.zip", cloudpickle.dumps(Trap()))
    (home / "bad.zip").write_bytes(trap_inside)
    try:
        load(model, home, "bad")
    except Exception as error:
        said = f"{type(error).__name__}"
    else:
        said = "loaded"
    ran = trap.exists()
    return not ran, f"{said}; its code {'ran' if ran else 'did not run'}"


def replaced(file: Path, code: bytes) -> bytes:
    """A saved model whose pickled part is another."""
    if file.read_bytes()[:2] != b"PK":  # no archive: all of it is pickled
        return code
    bad = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "data":
                said = json.loads(data)
                hidden = base64.b64encode(code).decode()
                said["extra"] = {":type:": "x", ":serialized:": hidden}
                data = json.dumps(said).encode()
            new.writestr(name, data)
    return bad.getvalue()


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
