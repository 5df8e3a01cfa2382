"""Jobs on Ray: a cluster, or this machine.

Every machine has Peira, in one version, and sees the files of the driver at the same
paths. A job has a process of its own and one core, which Ray keeps account of, so that
no machine has more jobs than cores.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ..core import BadConfig, PeiraError
from ..core.checks import plain_warnings
from .schedule import BUG, cores, Ended, Job, Scheduler
from .sinks import optional


# Read when Ray is imported: who may connect to what is started here, and whether
# anything is told to anybody.
QUIET = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback address, as there
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leave JAX its devices
}
# XLA's threads: as many as `Local` gives, because sums depend on how many there are.
ONE_CORE = {"env_vars": {"NPROC": "1", "OMP_NUM_THREADS": "1"}}


@contextlib.contextmanager
def on_ray(address: str, at_once: int | None = None) -> Iterator["OnRay"]:
    """Workers of the cluster at `ray://HOST:PORT`; or, at `ray`, of this machine, where
    Ray is started and stopped again. Raises `BadConfig`."""
    here = address == "ray"
    if here:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
    ray = optional("ray", "peira[ray]")
    room = {"num_cpus": len(cores()[:at_once]), "include_dashboard": False}
    try:
        ray.init(
            address="local" if here else address,
            log_to_driver=False,
            logging_level="ERROR",
            **(room if here else {}),
        )
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadConfig(f"--on {address}: {reason}") from None
    try:
        yield OnRay(ray, at_once)
    finally:
        ray.shutdown()


class OnRay(Scheduler):
    """Tasks of the Ray that this process is connected to, as many as it has room for,
    or `at_once`."""

    def __init__(self, ray: Any, at_once: int | None = None):
        self._ray, self._most = ray, at_once
        self._waiting: dict[str, Job] = {}
        self._running: dict[Any, str] = {}
        options = {"num_cpus": 1, "max_retries": 0, "max_calls": 1}
        self._work = ray.remote(**options, runtime_env=ONE_CORE)(work)

    def submit(self, name: str, job: Job) -> None:
        self._waiting[name] = job
        self._begin()

    def wait(self, seconds: float) -> list[Ended]:
        under_way = list(self._running)
        ready, _ = self._ray.wait(under_way, num_returns=len(under_way), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(under_way, timeout=seconds)
        found = [self._end(one) for one in ready]
        self._begin()
        return found

    def stop(self) -> None:
        self._waiting.clear()
        for one in self._running:
            self._ray.cancel(one)
        for one in list(self._running):
            self._end(one)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < (self._most or float("inf")):
            name, job = next(iter(self._waiting.items()))
            del self._waiting[name]
            self._running[self._work.remote(name, job, os.getcwd())] = name

    def _end(self, one: Any) -> Ended:
        name, wrong = self._running.pop(one), self._ray.exceptions
        try:
            return Ended(name, self._ray.get(one))
        except wrong.TaskCancelledError:
            return Ended(name, "stopped")
        except wrong.RayTaskError as error:
            said = str(error).strip().splitlines()[-1]
            return Ended(name, f"{said}: {BUG}")
        except wrong.RayError as error:
            how = str(error).partition("\n")[0]
            return Ended(name, f"its process was lost: {how}", died=True)


def work(name: str, job: Job, home: str) -> str:
    """In a worker: do the job where the driver stands; what went wrong."""
    os.chdir(home)
    plain_warnings(f"{name}: ")
    try:
        job()
    except KeyboardInterrupt:
        return "stopped"
    except PeiraError as error:
        return str(error)
    return ""
