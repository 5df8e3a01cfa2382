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
from peira.engine.devices import CRASHES, deal
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


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "bc"])
def test_a_seed_on_a_device_of_its_own_learns_what_it_learns_alone(said, algorithm):
    assert said["alone"][algorithm] == 0


@pytest.mark.parametrize("algorithm", ["ppo", "bc"])
def test_seeds_that_share_a_device_differ_in_the_last_digits(said, algorithm):
    assert said["compared"][algorithm]["devices"] == [2, 4]
    assert said["compared"][algorithm]["seeds"] < 1e-6


@pytest.mark.parametrize("algorithm", ["ppo", "bc"])
def test_shared_batches_are_added_up_in_another_order(said, algorithm):
    assert said["compared"][algorithm]["batches"] < 1e-6


def test_an_uneven_batch_is_refused(said):
    assert said["uneven"] == (
        "Plan.devices: batches of 30 cannot be shared evenly by the 4 devices of a seed"
    )


def test_a_run_goes_on_where_it_was_on_other_devices(said):
    assert said["resumed"] == 0


COUNTED = """
import jax, sys
from peira.engine.devices import spread
from peira.engine.plan import Plan
spread(Plan(seeds=tuple(range(int(sys.argv[1])))))
print(jax.device_count())
spread(Plan(seeds=(0, 1)))
"""


unasked = pytest.mark.skipif(CRASHES, reason="JAX 0.11 crashes")


@unasked
@pytest.mark.parametrize(
    ("seeds", "said_before", "count"),
    [
        (1, {}, 1),
        (3, {}, 3),
        (130, {}, 26),
        (3, {"JAX_NUM_CPU_DEVICES": "2"}, 2),
        (3, {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}, 4),
    ],
)
def test_a_processor_is_a_device_for_each_seed(seeds, said_before, count):
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(seeds)],
        env=os.environ | {"XLA_FLAGS": ""} | said_before,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == count


@unasked
def test_a_run_of_several_seeds_makes_them_devices(tmp_path):
    words = "train ppo CartPole-v1 --seeds 3 --steps 600 --episodes 1 --quiet --runs"
    subprocess.run(
        [sys.executable, "-m", "peira", *words.split(), tmp_path, "--name", "three"],
        check=True,
    )
    born = json.loads((tmp_path / "three" / "provenance.json").read_text())
    assert born["devices"] == ["3 x cpu: cpu"]


def test_everything_stays_where_it_is(said):
    assert said["stays"]


def test_a_dataset_lies_on_devices_of_a_processor_only_where_all_copies_fit(said):
    assert said["streamed"]["streams"] == [True, False]
    assert said["streamed"]["apart"] < 1e-6


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
    assert deal(Plan(devices=1), (3, 4), None) is None


def test_a_host_environment_learns_on_one(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    world = make("CartPole-v1", backend="gymnasium")
    with pytest.raises(BadConfig, match="no world in JAX"):
        deal(Plan(devices=2), (0, 1), world)
    assert deal(Plan(), (0, 1), world) is None
    world.close()
