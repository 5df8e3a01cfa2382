"""The verb that lets a policy leave home, in Python: export."""

import importlib
import json
import shutil
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ..core import Algorithm, BadConfig, ExportFault, PeiraError, RunFault, unknown
from ..core.spaces import to_json
from ..engine.export import numpy_policy
from ..engine.export.greedy import Greedy, greedy, Port, together
from ..engine.export.parity import Arrays, compare, Parity, Runner
from ..engine.export.seen import ENVS, seen
from ..engine.files import new_folder, write_file
from ..engine.policies import LoadedPolicy
from ..engine.run import Run
from ..envs import shut
from .showing import Shelf, shelf


PAGE = Path(numpy_policy.__file__)


class Exported(NamedTuple):
    """A policy that has left home."""

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parity: Parity


class Draft(NamedTuple):
    """An export before it is written."""

    run: Runner
    write: Callable[[Path], None]


def export(
    path: Run | str | Path,
    *,
    to: str,
    out: str | Path | None = None,
    env: Any = None,
    tolerance: float = 1e-5,
    algorithm: type[Algorithm] | None = None,
) -> Exported:
    """Write the greedy policy at a path (of a run: its first seed's) as `onnx`,
    `stablehlo` or `numpy`; `out` is beside the policy's folder when not given.

    It is first held against the policy on thousands of observations, drawn from its
    spaces and taken from the environment where there is one. Raises `ExportFault`,
    with nothing written, for a policy that cannot be exported or whose export differs
    by more than the tolerance.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    found = shelf(path, algorithm)
    one, folder = found.policies[0], found.folders[0]
    beside = folder if folder.name not in ("", "..") else folder.resolve()
    place = Path(out) if out else beside.with_name(f"{beside.name}.{to}")
    check_place(place, to)
    with jax.default_matmul_precision("highest"):
        policy = greedy(one.policy, one.spec)
        draft = FORMATS[to](policy, one, folder)
        parity = checked(found, policy, draft.run, env, tolerance)
    try:
        draft.write(place)
    except OSError as error:
        raise RunFault(f"cannot write {place}: {error}") from None
    return Exported(place, policy.inputs, policy.outputs, parity)


def check_place(place: Path, to: str) -> None:
    """Refuse what cannot be written, or is there and is not an export of this kind,
    before any work is done."""
    if not place.parent.is_dir():
        raise RunFault(f"cannot write {place}: {place.parent} is not a directory")
    again = (place / PAGE.name).is_file() if to == "numpy" else place.is_file()
    if place.exists() and not again:
        raise BadConfig(f"{place} exists: say with --out where to write")


def checked(
    found: Shelf, policy: Greedy, run: Runner, env: Any, tolerance: float
) -> Parity:
    """The comparison with the policy, also on what it sees in its environment; one
    that is not named and cannot be made is left out."""
    try:
        world = found.make(env, ENVS)
    except PeiraError as error:
        if env is not None:
            raise
        if found.run is not None:
            said = f"nothing is compared in the run's environment: {error}"
            warnings.warn(said, stacklevel=3)
        return compare(policy, run, (), tolerance=tolerance)
    try:
        steps = seen(policy.policy, world)
        return compare(policy, run, steps, tolerance=tolerance)
    finally:
        shut(world)


def about(policy: Greedy, one: LoadedPolicy) -> dict[str, Any]:
    """What there is to say about an exported policy, as plain JSON."""
    return {
        "algorithm": one.name,
        "version": type(one.algorithm).version,
        "inputs": [p._asdict() for p in policy.inputs],
        "outputs": [p._asdict() for p in policy.outputs],
        "begin": {name: x.tolist() for name, x in policy.begin.items()},
        "obs": to_json(one.spec.obs),
        "action": to_json(one.spec.action),
        "meta": one.meta,
    }


def as_onnx(policy: Greedy, one: LoadedPolicy, _: Path) -> Draft:
    onnx = extra("onnx_file", "onnx")
    model = onnx.model(policy, about(policy, one))
    return Draft(onnx.runner(model), lambda out: write_file(out, model))


def as_stablehlo(policy: Greedy, one: LoadedPolicy, _: Path) -> Draft:
    stablehlo = extra("stablehlo", "stablehlo")
    program = stablehlo.program(policy)

    def write(out: Path) -> None:
        write_file(out, program)
        said = json.dumps(about(policy, one), indent=1) + "\n"
        write_file(out.with_name(out.name + ".json"), said.encode())

    return Draft(stablehlo.runner(program), write)


def as_numpy(policy: Greedy, one: LoadedPolicy, folder: Path) -> Draft:
    """A folder with the policy's own files and the page that runs them."""
    try:
        runs = numpy_policy.NumpyPolicy(folder)
    except ValueError as error:
        raise ExportFault(f"{error}; --to onnx or stablehlo can") from None

    def run(inputs: Arrays) -> Arrays:
        obs = together("obs", one.spec.obs, inputs)
        return {"action": runs(obs, inputs.get("legal"))}

    def write(out: Path) -> None:
        with new_folder(out) as new:
            for file in (PAGE, *folder.glob("policy.*")):
                shutil.copyfile(file, new / file.name)

    return Draft(run, write)


def extra(module: str, name: str) -> types.ModuleType:
    """A module of the engine that needs an extra; raises `BadConfig` without it."""
    try:
        return importlib.import_module(f"..engine.export.{module}", __package__)
    except ModuleNotFoundError as error:
        raise BadConfig(
            f"--to {name} needs: pip install 'peira[{name}]' ({error})"
        ) from None


FORMATS: dict[str, Callable[[Greedy, LoadedPolicy, Path], Draft]] = {
    "numpy": as_numpy,
    "onnx": as_onnx,
    "stablehlo": as_stablehlo,
}
