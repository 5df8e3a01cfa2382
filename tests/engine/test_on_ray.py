"""Jobs on a Ray that is started here: they end as they do in processes, and who is
killed is begun again."""

import importlib.util
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import jobs
import pytest

from peira.core import PeiraError
from peira.engine.on_ray import on_ray
from peira.engine.schedule import Local, work_off
from peira.evidence.progress import heard
from peira.evidence.studies import advance, Board, Place, rows as kept


# Not by importing it: `on_ray` says first how it is to be imported.
there = importlib.util.find_spec("ray")
pytestmark = pytest.mark.skipif(not there, reason="needs Ray: pip install 'peira[ray]'")


@pytest.fixture(autouse=True)
def where_jobs_are(monkeypatch):
    """Workers find the module of the jobs, as they would an algorithm of one's own."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, sys.path)))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


def test_jobs_end_and_who_is_killed_is_begun_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = []
    names = {n: partial(jobs.alone, Path(), n) for n in "abc"}
    names["twice"] = partial(jobs.mortal, Path(), "twice", 2)
    names["wrong"] = partial(jobs.mistaken, Path(), "wrong")
    names["bug"] = partial(jobs.note, Path("nowhere"), "bug")
    with (
        on_ray("ray", 1) as scheduler,
        pytest.raises(PeiraError, match="wrong: no such thing") as fault,
    ):
        work_off(names, scheduler, ended=done.append)
    assert "bug: FileNotFoundError" in str(fault.value)
    assert sorted(done) == ["a", "b", "c", "twice"]
    assert jobs.begun(tmp_path, "twice") == 2
    assert jobs.begun(tmp_path, "wrong") == 1


def test_what_it_starts_is_for_this_machine_and_ends_with_it():
    with on_ray("ray", 1):
        import ray

        assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
        assert ray.cluster_resources()["CPU"] == 1
    assert not ray.is_initialized()


STUDY = """
claim = "A larger step size ends higher."
source = "Nobody"
direction = "higher"
matters = 0.5
algorithm = "dqn"
about = ["learning_rate"]
hyper = { warmup = 100, hidden = [8] }

[arms]
large = { learning_rate = 1e-2 }
small = { learning_rate = 1e-3 }

[tiers.smoke]
tasks = ["CartPole-v1"]
runs = 10
plan = { steps = 400, episodes = 2, evaluate_every = 100, checkpoint_every = 100 }
"""


def lasting(path):
    """Rows without what a clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in kept.read(path)]


def kill_one(runs, stopped, killed):
    """Kill the first worker that is seen in the middle of its run."""
    while not killed and not stopped.wait(0.002):
        for folder in runs.glob("*"):
            said = heard(folder)
            if not killed and 0 < said.get("step", 0) < said.get("steps", 0):
                os.kill(said["process"], signal.SIGKILL)
                killed.append(folder.name)


@pytest.mark.usefixtures("_batched_keys")
def test_a_study_whose_worker_is_killed_ends_with_the_rows_of_a_local_one(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("rates.toml").write_text(STUDY)
    begun = lambda out: Place.begin("rates.toml", "smoke", first=0, out=Path(out))
    here, there = begun("here"), begun("there")
    killed, stopped = [], threading.Event()
    args = (there.path / "runs", stopped, killed)
    killer = threading.Thread(target=kill_one, args=args)
    with on_ray("ray", 2) as scheduler, Board(quiet=True) as board:
        killer.start()
        try:
            advance(there, scheduler, board, data=Path("datasets"))
        finally:
            stopped.set()
            killer.join()
    with Board(quiet=True) as board:
        advance(here, Local(2), board, data=Path("datasets"))
    assert len(killed) == 1
    rows = lasting(there.path / "rows.jsonl")
    assert len(rows) == 20
    assert rows == lasting(here.path / "rows.jsonl")
    assert there.verdict().found == here.verdict().found
