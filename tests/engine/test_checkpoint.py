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
from hypothesis import given, HealthCheck, settings, strategies as st

from peira.core import PeiraError, RunFault
from peira.engine import checkpoint, pieces


@pytest.fixture(autouse=True, params=[2**22, 8], ids=["whole", "pieces"])
def size(monkeypatch, request):
    """Arrays in one file, or every one of 16 bytes in pieces of 8."""
    monkeypatch.setattr(pieces, "SIZE", request.param)
    return request.param


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
    monkeypatch.setattr(pieces, "save_file", guarded(pieces.save_file))
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
        patch.setattr(pieces, "save_file", full)
        with pytest.raises(
            RunFault, match=r"No space.* MiB needed.*last good.*step-1"
        ) as caught:
            checkpoint.save(tmp_path, tree(2), meta={"step": 2})
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-1"]
    assert not list(tmp_path.glob("*/*.tmp"))
    assert equal(checkpoint.latest(tmp_path, tree())[0], tree(1))


def test_only_what_has_changed_is_written_again(tmp_path, monkeypatch):
    """A ring of a thousand rows, ten of which change between two checkpoints."""
    monkeypatch.setattr(pieces, "SIZE", 1000)
    ring = np.random.default_rng(0).integers(0, 256, (1000, 100), np.uint8)
    like, folder = {"ring": ring}, tmp_path / "pieces"
    for step in range(5):
        before = {p: p.stat().st_mtime_ns for p in folder.glob("*")}
        checkpoint.save(tmp_path, {"ring": ring}, meta={"step": step}, keep=1)
        new = [p for p in folder.glob("*") if before.get(p) != p.stat().st_mtime_ns]
        assert len(new) == (100 if step == 0 else 1)
        assert len(list(folder.glob("*"))) == 100  # and nothing else is left
        np.testing.assert_array_equal(
            checkpoint.latest(tmp_path, like)[0]["ring"], ring
        )
        ring = ring.copy()
        ring[10 * step : 10 * step + 10] += 1


def test_a_damaged_piece_gives_way_to_the_checkpoint_before(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "SIZE", 100)
    for step in (1, 2):
        x = np.full(1000, step, np.uint8)
        checkpoint.save(tmp_path, {"x": x}, meta={"step": step})
    about = checkpoint.arrays.read_about(tmp_path / "step-2", "state")
    name = about["large"]["['x']"]["parts"][0]
    file = tmp_path / "pieces" / f"{name}.safetensors"
    whole = file.read_bytes()
    for harm in (whole[:-1], whole[:-1] + b"x", b"", None):
        file.unlink()
        if harm is not None:
            file.write_bytes(harm)
        with pytest.warns(UserWarning, match=r"going back to .*step-1"):
            back, meta = checkpoint.latest(tmp_path, {"x": x})
        assert meta["step"] == back["x"][0] == 1
        file.write_bytes(whole)
    assert checkpoint.latest(tmp_path, {"x": x})[1]["step"] == 2


def test_a_checkpoint_of_another_run_is_known(tmp_path):
    for owner in ("a", "b"):
        for step in (1, 2):
            place = tmp_path / owner
            checkpoint.save(place, tree(step), meta={"step": step}, owner=owner)
    shutil.rmtree(tmp_path / "a" / "step-2")
    shutil.copytree(tmp_path / "b" / "step-2", tmp_path / "a" / "step-2")
    with pytest.warns(UserWarning, match=r"step-2 is a checkpoint of another run"):
        assert checkpoint.latest(tmp_path / "a", tree(), owner="a")[1]["step"] == 1


def test_a_checkpoint_of_the_first_format_is_read_and_a_later_one_refused(tmp_path):
    checkpoint.save(tmp_path, tree(2.0), meta={"step": 1}, owner="me")
    folder = tmp_path / "step-1"
    about = checkpoint.arrays.read_about(folder, "state")
    leaves = checkpoint.arrays.named(tree(2.0))

    def write(**changes):
        first = {k: about[k] for k in ("format", "meta", "keys")} | changes
        data = lambda k, x: jr.key_data(x) if k in about["keys"] else x
        raw = {k: np.asarray(data(k, x), order="C") for k, x in leaves.items()}
        pieces.store(folder / "state.safetensors", raw)
        said = checkpoint.arrays.checksum(folder / "state.safetensors", first)
        (folder / "state.json").write_text(json.dumps(first | {"sha256": said}))

    write(format=1)
    assert equal(checkpoint.latest(tmp_path, tree(), owner="me")[0], tree(2.0))
    write(format=3)
    with pytest.raises(RunFault, match="upgrade Peira, or remove it"):
        checkpoint.latest(tmp_path, tree(), owner="me")


def test_as_many_are_kept_as_asked(tmp_path):
    for step in range(6):
        checkpoint.save(tmp_path, tree(), meta={"step": step}, keep=4)
    assert list(checkpoint.steps(tmp_path)) == [2, 3, 4, 5]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_file_can_do_more_than_be_refused(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    checkpoint.save(folder, tree(), meta={"step": 1})
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    file = data.draw(st.sampled_from(files))
    held = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(held) - 1))
    held[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    file.write_bytes(held)
    if file.name == "state.safetensors":  # an attacker would sign it
        path = folder / "step-1" / "state.json"
        about = json.loads(path.read_text())
        del about["sha256"]
        about["sha256"] = checkpoint.arrays.checksum(file, about)
        path.write_text(json.dumps(about))
    with contextlib.suppress(PeiraError):
        back, _ = checkpoint.latest(folder, tree())
        shapes = jax.tree.map(lambda x: (x.shape, x.dtype), back)
        assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), tree())
