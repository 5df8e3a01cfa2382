"""Four devices made of one processor, in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from peira.cli import main
from peira.core import BadConfig
from peira.engine.devices import deal
from peira.engine.plan import Plan
from peira.envs import make


@pytest.fixture(scope="module")
def said():
    four = "--xla_force_host_platform_device_count=4"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {four}"
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("on_devices.py")],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("algorithm", ["ppo", "bc"])
def test_seeds_on_several_devices_learn_what_they_learn_on_one(said, algorithm):
    assert said[algorithm]["devices"] == [2, 4]
    assert said[algorithm]["seeds"] == 0


@pytest.mark.parametrize("algorithm", ["ppo", "bc"])
def test_shared_batches_are_added_up_in_another_order(said, algorithm):
    assert said[algorithm]["batches"] < 1e-6


def test_an_uneven_batch_is_refused(said):
    assert said["uneven"] == (
        "Plan.devices: batches of 30 cannot be shared evenly by the 4 devices of a seed"
    )


def test_a_run_goes_on_where_it_was_on_other_devices(said):
    assert said["resumed"] == 0


def test_more_devices_than_there_are_are_refused():
    many = jax.device_count() + 1
    with pytest.raises(BadConfig, match=rf"Plan.devices = {many}: there are"):
        deal(Plan(devices=many), (0,), None)


def test_a_run_that_asks_for_more_is_not_begun(tmp_path, capsys):
    words = ["train", "ppo", "CartPole-v1", "--devices", "99", "--runs"]
    assert main([*words, str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Plan.devices = 99" in said
    assert not (tmp_path / "runs").exists()


def test_one_device_is_left_to_jax():
    assert deal(Plan(devices=1), (3, 4), None) == [((3, 4), None)]


def test_a_host_environment_learns_on_one(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    world = make("CartPole-v1", backend="gymnasium")
    with pytest.raises(BadConfig, match="no world in JAX"):
        deal(Plan(devices=2), (0, 1), world)
    assert deal(Plan(), (0, 1), world) == [((0, 1), None)]
    world.close()
