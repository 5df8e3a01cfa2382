"""Checkpoints: what comes back, and that nothing which happens meanwhile loses it."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from peira.core import PeiraError, RunFault
from peira.engine import checkpoint


def tree(x: float = 1.0) -> dict:
    return {
        "half": jnp.full((2, 3), x, jnp.bfloat16),
        "host": np.arange(6.0).reshape(2, 3).T * x,
        "flags": (jnp.array([True, False]), None),
        "none": np.zeros((0, 4), np.int64),
        "key": jr.key(7),
        "keys": jr.split(jr.key(3, impl="rbg"), 4),
        "scalar": jnp.array(3, jnp.uint8),
    }


def equal(a, b) -> bool:
    raw = lambda x: (
        jr.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    )
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        x.dtype == y.dtype
        and isinstance(x, np.ndarray) == isinstance(y, np.ndarray)
        and np.array_equal(raw(x), raw(y))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    meta = {"step": 5, "world": [0.1, None, {"a": 1e-300}]}
    checkpoint.save(tmp_path, tree(1.5), meta=meta)
    back, said = checkpoint.latest(tmp_path, tree())
    assert equal(back, tree(1.5))
    assert said == meta
    assert not equal(back, tree())


def test_only_the_newest_two_are_kept(tmp_path):
    for step in (9, 10, 100):
        checkpoint.save(tmp_path, tree(), meta={"step": step})
    assert list(checkpoint.steps(tmp_path)) == [10, 100]
    assert checkpoint.latest(tmp_path, tree(), by=99)[1]["step"] == 10


def test_an_abandoned_future_is_forgotten(tmp_path):
    for step in (10, 20, 15):
        checkpoint.save(tmp_path, tree(), meta={"step": step})
    assert list(checkpoint.steps(tmp_path)) == [10, 15]


def test_the_same_step_can_be_saved_again(tmp_path):
    checkpoint.save(tmp_path, tree(1.0), meta={"step": 1})
    checkpoint.save(tmp_path, tree(2.0), meta={"step": 1})
    assert equal(checkpoint.latest(tmp_path, tree())[0], tree(2.0))


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, name, harm):
    for step in (1, 2):
        checkpoint.save(tmp_path, tree(step), meta={"step": step, "word": "hello"})
    file = tmp_path / "step-2" / name
    data = bytearray(file.read_bytes())
    match harm:
        case "flip":
            data[data.find(b"hello") if name.endswith("json") else -1] ^= 1
            file.write_bytes(data)
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "remove":
            file.unlink()
    if (name, harm) == ("state.json", "remove"):  # it was never finished
        assert checkpoint.latest(tmp_path, tree())[1]["step"] == 1
    else:
        with pytest.warns(UserWarning, match="going back to"):
            assert equal(checkpoint.latest(tmp_path, tree())[0], tree(1))


def test_nothing_good_is_one_line(tmp_path):
    with pytest.raises(RunFault, match="no checkpoint") as caught:
        checkpoint.latest(tmp_path / "nowhere", tree())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t | {"scalar": jnp.array(3, jnp.int8)}, r"scalar.*uint8\[\].*int8"),
        (lambda t: t | {"host": np.zeros((2, 3))}, r"host.*\[3, 2\].*\[2, 3\]"),
        (lambda t: t | {"new": jnp.zeros(2)}, "lacks.*new"),
        (lambda t: {k: v for k, v in t.items() if k != "half"}, "too many.*half"),
        (lambda t: t | {"key": jr.key(7, impl="rbg")}, "key"),
    ],
)
def test_another_tree_is_named_by_its_first_odd_leaf(tmp_path, change, said):
    checkpoint.save(tmp_path, tree(), meta={"step": 1})
    with pytest.raises(RunFault, match=said) as caught:
        checkpoint.latest(tmp_path, change(tree()))
    assert "\n" not in str(caught.value)


class Crash(BaseException):
    """The process dies here."""


CALLS = ["open", "fsync", "rename", "replace", "mkdir"]


def fail_at(monkeypatch, number: int, error: BaseException) -> list[int]:
    """Let the n-th call that touches the disk raise, and every later one too: the
    process is dead, or its disk is full."""
    count = [0]

    def guarded(real):
        def call(*args, **kwargs):
            count[0] += 1
            if count[0] >= number:
                raise error
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    monkeypatch.setattr(shutil, "rmtree", guarded(shutil.rmtree))
    monkeypatch.setattr(
        checkpoint.arrays, "save_file", guarded(checkpoint.arrays.save_file)
    )
    return count


@pytest.mark.parametrize("again", [False, True], ids=["new", "again"])
def test_a_crash_at_any_point_leaves_a_state_to_go_on_from(
    tmp_path, monkeypatch, again
):
    step = 2 if again else 3
    for number in range(1, 100):
        folder = tmp_path / str(number)
        for n in (1, 2):
            checkpoint.save(folder, tree(n), meta={"step": n})
        with monkeypatch.context() as patch:
            count = fail_at(patch, number, Crash())
            with contextlib.suppress(Crash):
                checkpoint.save(folder, tree(step), meta={"step": step})
            ended = count[0] < number
        back, meta = checkpoint.latest(folder, tree())
        assert meta["step"] in (2, step)
        assert equal(back, tree(meta["step"]))
        checkpoint.save(folder, tree(step), meta={"step": step})
        assert equal(checkpoint.latest(folder, tree())[0], tree(step))
        if ended:
            break
    assert number > len(CALLS)


def test_a_full_disk_is_one_line_and_leaves_the_last_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, tree(1), meta={"step": 1})

    def full(arrays, file):
        Path(file).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.arrays, "save_file", full)
        with pytest.raises(RunFault, match=r"No space.*last good.*step-1") as caught:
            checkpoint.save(tmp_path, tree(2), meta={"step": 2})
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]
    assert equal(checkpoint.latest(tmp_path, tree())[0], tree(1))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_file_can_do_more_than_be_refused(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    checkpoint.save(folder, tree(), meta={"step": 1})
    name = data.draw(st.sampled_from(["state.safetensors", "state.json"]))
    file = folder / "step-1" / name
    held = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(held) - 1))
    held[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    file.write_bytes(held)
    if name.endswith("safetensors"):  # an attacker would sign it
        path = folder / "step-1" / "state.json"
        about = json.loads(path.read_text())
        del about["sha256"]
        about["sha256"] = checkpoint.arrays.checksum(file, about)
        path.write_text(json.dumps(about))
    with contextlib.suppress(PeiraError):
        back, _ = checkpoint.latest(folder, tree())
        shapes = jax.tree.map(lambda x: (x.shape, x.dtype), back)
        assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), tree())
