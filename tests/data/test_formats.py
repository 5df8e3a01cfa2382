"""Every format, there and back; what is broken or hostile; Minari itself."""

import csv
import itertools
import json
from collections import Counter

import gymnasium
import h5py
import jax
import minari
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from episodes import IMAGE, made, REACH, same, VECTOR
from gymnasium import spaces
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from peira.core import (
    BadConfig,
    Box,
    DataFault,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Spec,
)
from peira.data import Columns, convert, FORMATS, formats, read, split, write
from peira.data.blocks import reading


SETS = {
    "vectors": made(),
    "images": made(IMAGE, Discrete(4)),
    "dict": made({"b": VECTOR, "a": (IMAGE, Discrete(3))}, MultiDiscrete((2, 3))),
    "flags": made(Discrete(7), MultiBinary((3,))),
    "likely": made(likely=True),
    "masked": made(VECTOR, Discrete(4), masked=True),
    "masked-many": made(VECTOR, MultiDiscrete((2, 3)), masked=True),
    "one": made(lengths=(4,)),
}
LACKS = {
    ("d4rl", "masked"),
    ("d4rl", "masked-many"),
    ("csv", "images"),
    ("csv", "dict"),
}


@pytest.mark.parametrize(
    ("to", "name"), [p for p in itertools.product(FORMATS, SETS) if p not in LACKS]
)
def test_there_and_back(to, name, tmp_path):
    data = SETS[name]
    write(data, tmp_path / "there", to=to)
    spec = data.spec if to == "csv" else None  # it does not say
    back = read(tmp_path / "there", spec=spec)
    assert same(back, data)
    convert(tmp_path / "there", tmp_path / "native", spec=spec)
    assert same(read(tmp_path / "native"), data)
    assert "notes" not in back.meta


@pytest.mark.parametrize(("to", "name"), sorted(LACKS))
def test_what_a_format_cannot_hold_is_refused(to, name, tmp_path):
    with pytest.raises(DataFault, match="choose"):
        write(SETS[name], tmp_path / "there", to=to)
    assert not list(tmp_path.iterdir())


def test_the_formats_are_those_that_are_written():
    assert ("native", *formats.WRITERS) == FORMATS
    with pytest.raises(BadConfig, match="did you mean minari"):
        write(SETS["one"], "nowhere", to="minary")


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_is_written_over(to, tmp_path):
    (tmp_path / "there").write_text("mine")
    with pytest.raises(DataFault, match="exists: choose another name"):
        write(SETS["one"], tmp_path / "there", to=to)
    assert (tmp_path / "there").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("to", FORMATS)
def test_many_blocks_are_as_one(to, tmp_path, monkeypatch):
    """With room for one row at a time, nothing changes."""
    data = made(lengths=(3, 1, 5, 2, 1, 1, 7), likely=True)
    monkeypatch.setattr("peira.data.dataset.CHUNK", 1)
    monkeypatch.setattr("peira.data.formats.d4rl.CHUNK", 1)
    monkeypatch.setattr("peira.data.formats.table.CHUNK", 1)
    spec = data.spec if to == "csv" else None
    formats.write(reading(data), tmp_path / "there", to)
    assert same(read(tmp_path / "there", spec=spec), data)


def test_meta_comes_along(tmp_path):
    data = made(meta={"env": "Some-v0", "env_kwargs": {"a": 1}})
    for to in FORMATS:
        write(data, tmp_path / to, to=to)
        back = read(tmp_path / to, spec=data.spec).meta
        assert back == ({} if to == "csv" else data.meta)


class TestD4RL:
    """Flat arrays, as the sets of the benchmark have them."""

    def flat(self, path, **changes):
        """Nine steps: a death after three, a time limit after three more, and three
        that nothing ends."""
        obs = np.arange(18, dtype=np.float32).reshape(9, 2)
        arrays = {
            "observations": obs,
            "actions": np.linspace(-0.5, 0.5, 9, dtype=np.float32)[:, None],
            "rewards": np.arange(9, dtype=np.float64),
            "terminals": np.arange(9) == 2,
            "timeouts": np.arange(9) == 5,
        } | changes
        with h5py.File(path, "w") as file:
            for name, x in arrays.items():
                if x is not None:
                    file[name] = x
        return path

    def test_without_last_observations(self, tmp_path):
        data = read(self.flat(tmp_path / "set"))
        assert data.lengths.tolist() == [3, 2, 2]
        assert data.reward.tolist() == [0, 1, 2, 3, 4, 6, 7]
        assert data.terminated.tolist() == [False, False, True, *[False] * 4]
        assert np.flatnonzero(data.truncated).tolist() == [4, 6]
        first = [row[0] for row in data.obs.tolist()]
        assert first == [0, 2, 4, 4, 6, 8, 10, 12, 14, 16]
        guess, unmarked, dropped, repeated = data.meta["notes"]
        assert dropped.startswith("2 truncated episodes")
        assert repeated.startswith("1 terminated episodes")
        assert unmarked.startswith("1 episodes without a mark")
        assert "guess" in guess

    def test_with_them_nothing_is_lost(self, tmp_path):
        led = np.arange(18, dtype=np.float32).reshape(9, 2) + 2
        led[[2, 5, 8]] = [[90, 91], [92, 93], [94, 95]]
        data = read(self.flat(tmp_path / "set", next_observations=led))
        assert data.lengths.tolist() == [3, 3, 3]
        assert data.obs[[3, 7, 11]].tolist() == led[[2, 5, 8]].tolist()
        steps = data.gather(np.arange(9))
        assert (steps.next_obs == led).all()

    def test_a_gap_ends_an_episode(self, tmp_path):
        led = np.arange(18, dtype=np.float32).reshape(9, 2) + 2
        led[7] += 50
        data = read(self.flat(tmp_path / "set", next_observations=led))
        assert data.lengths.tolist() == [3, 3, 2, 1]
        assert data.truncated[[5, 7, 8]].all()
        assert any(n.startswith("1 next observations") for n in data.meta["notes"])

    def test_spaces_are_a_guess_unless_they_are_known(self, tmp_path):
        path = self.flat(tmp_path / "set")
        guess = read(path).spec
        assert guess.obs == Box(np.full(2, -np.inf, "f4"), np.full(2, np.inf, "f4"))
        assert guess.action == Box(np.full(1, -0.5, "f4"), np.full(1, 0.375, "f4"))
        known = Spec(guess.obs, Box(np.full(1, -1, "f4"), np.full(1, 1, "f4")))
        assert read(path, spec=known).spec == known
        assert not any("guess" in n for n in read(path, spec=known).meta["notes"])

    def test_choices_are_seen_to_be_choices(self, tmp_path):
        own = {"actions": np.arange(9) % 4, "observations": np.arange(9) % 5}
        spec = read(self.flat(tmp_path / "set", **own)).spec
        assert (spec.obs, spec.action) == (Discrete(5), Discrete(4))

    def test_columns_of_one(self, tmp_path):
        """Some sets have matrices where vectors would do."""
        flags = (np.arange(9) == 2)[:, None].astype(np.float32)
        path = self.flat(
            tmp_path / "set", terminals=flags, rewards=np.arange(9.0)[:, None]
        )
        plain = read(self.flat(tmp_path / "other"))
        assert read(path).fingerprint() == plain.fingerprint()

    def test_what_else_there_is_is_passed_over(self, tmp_path):
        more = {"infos/qpos": np.zeros((9, 5)), "metadata/algorithm": "SAC"}
        path = self.flat(tmp_path / "set", **more, **{"infos/propensity": np.ones(9)})
        assert (read(path).propensity == 1).all()

    def test_without_time_limits(self, tmp_path):
        data = read(self.flat(tmp_path / "set", timeouts=None))
        assert data.lengths.tolist() == [3, 5]
        assert "time limits are not known" in data.meta["notes"][0]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"rewards": None}, "rewards is missing"),
            ({"terminals": np.zeros(8)}, "not equally long"),
            ({"terminals": np.full(9, 0.5)}, "terminated of step 0 is 0.5"),
            ({"actions": np.arange(9) - 1}, "down to -1"),
            ({"actions": np.arange(9) * 10**6}, "too many for choices"),
            ({"observations": np.full((9, 1), b"x")}, "not numbers"),
            ({"observations": np.zeros((0, 2))}, "not equally long"),
            ({"observations/a": np.zeros((9, 2))}, None),
        ],
    )
    def test_broken(self, changes, why, tmp_path):
        if why is None:  # two forms of one thing: HDF5 itself refuses
            return
        refused(self.flat(tmp_path / "set", **changes), why)

    def test_empty(self, tmp_path):
        none = {
            "observations": np.zeros((0, 2)),
            "actions": np.zeros((0, 1)),
            "rewards": np.zeros(0),
            "terminals": np.zeros(0, bool),
            "timeouts": np.zeros(0, bool),
        }
        refused(self.flat(tmp_path / "set", **none), "holds no step")

    def test_one_step_that_leads_nowhere(self, tmp_path):
        none = {
            "observations": np.zeros((1, 2)),
            "actions": np.zeros((1, 1)),
            "rewards": np.zeros(1),
            "terminals": np.zeros(1, bool),
            "timeouts": np.ones(1, bool),
        }
        refused(self.flat(tmp_path / "set", **none), "holds no step")

    def test_half_a_file(self, tmp_path):
        path = self.flat(tmp_path / "set")
        path.write_bytes(path.read_bytes()[:3000])
        refused(path, "not an HDF5 file, or a part of one")

    def test_a_file_of_something_else(self, tmp_path):
        with h5py.File(tmp_path / "set", "w") as file:
            file["weights"] = np.zeros(3)
        refused(tmp_path / "set", "observations is missing: there are weights")

    def test_objects(self, tmp_path):
        path = self.flat(tmp_path / "set", rewards=None)
        with h5py.File(path, "a") as file:
            file.create_dataset("rewards", (9,), h5py.special_dtype(vlen=str))
        refused(path, "rewards is object: not numbers")

    def test_other_files_are_not_opened(self, tmp_path):
        self.flat(tmp_path / "other")
        path = self.flat(tmp_path / "set", rewards=None)
        with h5py.File(path, "a") as file:
            file["rewards"] = h5py.ExternalLink(str(tmp_path / "other"), "rewards")
        refused(path, "rewards is a link to elsewhere")
        with h5py.File(path, "a") as file:
            del file["rewards"]
            raw = [(str(tmp_path / "other"), 0, 72)]
            file.create_dataset("rewards", (9,), "f8", external=raw)
        refused(path, "lies in another file")
        layout = h5py.VirtualLayout((9,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other"), "rewards", (9,))
        with h5py.File(path, "a") as file:
            del file["rewards"]
            file.create_virtual_dataset("rewards", layout)
        refused(path, "lies in another file")


class TestTable:
    """Rows of a log, as people have them."""

    HEAD = ("episode", "obs_0", "obs_1", "action", "reward", "terminated", "truncated")
    ROWS = (
        (7, 0.0, 0.5, 1, 1.0, 0, 0),
        (7, 0.1, 0.6, 0, 2.0, 1, 0),
        (3, 0.2, 0.7, 2, 3.0, 0, 0),
        (3, 0.3, 0.8, 1, 4.0, 0, 0),
        (3, 0.4, 0.9, 0, 5.0, 0, 1),
    )

    def log(self, path, head=HEAD, rows=ROWS, *, kind="csv"):
        if kind == "csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([head, *rows])
        else:
            columns = zip(*rows, strict=True)
            parquet.write_table(
                pa.table(dict(zip(head, map(list, columns), strict=True))), path
            )
        return path

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_log(self, kind, tmp_path):
        data = read(self.log(tmp_path / "log", kind=kind))
        assert data.lengths.tolist() == [2, 2]
        assert data.reward.tolist() == [1, 2, 3, 4]
        assert data.action.tolist() == [1, 0, 2, 1]
        assert data.spec.action == Discrete(3)
        assert data.obs[:, 0] == pytest.approx([0, 0.1, 0.1, 0.2, 0.3, 0.4])
        assert data.terminated.tolist() == [False, True, False, False]
        assert data.truncated.tolist() == [False, False, False, True]
        assert data.obs.dtype == data.reward.dtype == np.float32

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_names_of_ones_own(self, kind, tmp_path):
        head = ("trip", "x", "v", "push", "gain", "died", "late")
        path = self.log(tmp_path / "log", head, kind=kind)
        said = ["episode=trip", "obs=v,x", "action=push", "reward=gain"]
        columns = Columns.said([*said, "terminated=died", "truncated=late"])
        data = read(path, columns=columns)
        own = read(self.log(tmp_path / "usual", kind=kind))
        assert (data.obs == own.obs[:, ::-1]).all()
        assert (data.action == own.action).all()
        refused(path, "no column 'obs' for obs: there are died")
        with pytest.raises(DataFault, match="no column 'lost' for truncated"):
            read(path, columns=Columns.said([*said, "truncated=lost"]))

    @pytest.mark.parametrize("said", ["obs", "obs=", "seen=x"])
    def test_words_that_say_no_column(self, said):
        with pytest.raises(BadConfig, match="must be ROLE=NAME; roles: episode"):
            Columns.said([said])

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_ends_without_numbers_or_flags(self, kind, tmp_path):
        flags = [row[1:] for row in self.ROWS]
        by_flags = read(self.log(tmp_path / "a", self.HEAD[1:], flags, kind=kind))
        numbers = [row[:5] for row in self.ROWS]
        by_number = read(self.log(tmp_path / "b", self.HEAD[:5], numbers, kind=kind))
        assert by_flags.lengths.tolist() == [2, 2]
        assert by_number.lengths.tolist() == [1, 2]  # nothing says that it died
        assert by_number.truncated[[0, 2]].all()
        neither = self.log(
            tmp_path / "c", self.HEAD[1:5], [r[1:5] for r in self.ROWS], kind=kind
        )
        refused(neither, "nothing tells where an episode ends")

    def test_episodes_may_have_names(self, tmp_path):
        rows = [("ab"[row[0] == 3], *row[1:]) for row in self.ROWS]
        data = read(self.log(tmp_path / "log", rows=rows))
        assert same(data, read(self.log(tmp_path / "other")))

    def test_a_folder_of_episodes(self, tmp_path):
        (tmp_path / "set").mkdir()
        for name, rows in (("b", self.ROWS[2:]), ("a", self.ROWS[:2])):
            rows = [row[1:] for row in rows]
            file = tmp_path / f"set/{name}.parquet"
            self.log(file, self.HEAD[1:], rows, kind="parquet")
        whole = read(self.log(tmp_path / "log", kind="parquet"))
        assert same(read(tmp_path / "set"), whole)

    @pytest.mark.parametrize("kind", ["list", "fixed", "columns"])
    def test_lists(self, kind, tmp_path):
        x = np.arange(12, dtype=np.float32).reshape(4, 3)
        columns = {
            "list": {"obs": x.tolist()},
            "fixed": {"obs": pa.FixedSizeListArray.from_arrays(x.ravel(), 3)},
            "columns": {f"obs_{i}": x[:, i] for i in range(3)},
        }[kind]
        over = [False, True, False, True]
        log = {"action": [0, 1, 2, 0], "reward": [0.0] * 4, "terminated": over}
        parquet.write_table(pa.table(columns | log), tmp_path / "log")
        data = read(tmp_path / "log")
        assert data.obs.tolist() == x[[0, 1, 1, 2, 3, 3]].tolist()

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ((1, 4, None), "row 1 is empty"),
            ((2, 5, 1), "episode 3 goes on after its end"),
            ((1, 5, 3), "terminated of step 1 is 3"),
            ((4, 0, 7), "episode 7 comes back after another"),
            ((1, 4, "much"), "reward|conver|Conver"),
        ],
    )
    def test_broken(self, kind, change, why, tmp_path):
        row, column, value = change
        rows = [list(r) for r in self.ROWS]
        rows[row][column] = value
        if value == "much" and kind == "parquet":
            for r in rows:
                r[column] = "much"
        refused(self.log(tmp_path / "log", rows=rows, kind=kind), why)

    def test_ragged(self, tmp_path):
        log = {"obs": [[1.0], [1.0, 2.0]], "action": [0, 1], "reward": [0.0] * 2}
        table = pa.table(log | {"terminated": [False, True]})
        parquet.write_table(table, tmp_path / "log")
        refused(tmp_path / "log", "obs is ragged: lists of 1 and 2")
        (tmp_path / "csv").write_text("obs_0,action,reward,terminated\n1,2,3,0\n4,5\n")
        refused(tmp_path / "csv", "csv cannot be read: .*Expected 4 columns")

    def test_mixed(self, tmp_path):
        rows = [("x" if i == 3 else i, 0, 0.0, i % 2) for i in range(4)]
        head = ("obs_0", "action", "reward", "terminated")
        refused(self.log(tmp_path / "a", head, rows), "a cannot be read: .*float")
        spec = Spec(VECTOR, REACH)
        with pytest.raises(DataFault, match=r"have shape \(2,\), their space \(3,\)"):
            read(self.log(tmp_path / "log"), spec=spec)

    def test_numbered_with_a_gap(self, tmp_path):
        head = ("obs_0", "obs_2", "action", "reward", "terminated")
        path = self.log(tmp_path / "a", head, [(0.0, 1.0, 0, 0.0, 1)])
        refused(path, "not numbered from 0 without a gap")

    def test_nothing_but_a_head(self, tmp_path):
        refused(self.log(tmp_path / "a", rows=()), "holds no step")

    def test_a_name_that_looks_like_an_entry(self, tmp_path):
        data = made({"joint_1": VECTOR})
        with pytest.raises(DataFault, match="would be taken for an entry"):
            write(data, tmp_path / "there", to="parquet")
        assert not list(tmp_path.iterdir())


class TestNpz:
    def put(self, folder, name="0", **changes):
        folder.mkdir(exist_ok=True)
        arrays = {
            "obs": np.arange(4.0),
            "action": np.zeros((3, 1)),
            "reward": np.ones(3),
            "terminated": np.array([0, 0, 1]),
        } | changes
        arrays = {k: v for k, v in arrays.items() if v is not None}
        np.savez(folder / f"{name}.npz", **arrays)
        return folder

    def test_with_and_without_the_last_observation(self, tmp_path):
        folder = self.put(tmp_path / "set")
        self.put(folder, "1", obs=np.arange(3.0), next_obs=np.arange(1.0, 4.0))
        self.put(folder, "2", obs=np.arange(3.0))
        data = read(folder)
        assert data.lengths.tolist() == [3, 3, 3]
        assert data.obs.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 2]
        assert "1 terminated episodes" in data.meta["notes"][1]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"reward": None}, "reward is missing: there are action, obs, terminated"),
            ({"action": None}, "action is missing"),
            ({"obs": np.arange(7.0)}, "1.npz: the columns are not equally long: 7"),
            ({"obs": np.zeros((4, 2))}, "observations are ragged: shapes"),
            ({"obs": np.arange(4)}, "observations are mixed: float64 in one place"),
            ({"obs.a": np.arange(4)}, "both whole and in parts"),
            ({"propensity": np.ones(3)}, "propensity is known of some episodes only"),
            ({"terminated": np.array([1, 0, 1])}, "ends but its episode goes on"),
            ({"obs": np.zeros(1), "action": np.zeros((0, 1)), "reward": np.zeros(0),
              "terminated": None}, "1.npz: it holds no step"),
            ({"action": np.array([[object()]] * 3)}, "1.npz: cannot be read: Object"),
        ],
    )  # fmt: skip
    def test_broken(self, changes, why, tmp_path):
        folder = self.put(tmp_path / "set")
        self.put(folder, "1", **changes)
        refused(folder, why)

    def test_half_a_file(self, tmp_path):
        folder = self.put(tmp_path / "set")
        file = folder / "0.npz"
        file.write_bytes(file.read_bytes()[:200])
        refused(folder, "0.npz: cannot be read")

    def test_a_pickle_is_not_opened(self, tmp_path):
        folder = self.put(tmp_path / "set")
        np.save(folder / "x.npy", np.array([object()]))
        (folder / "x.npy").rename(folder / "1.npz")
        refused(folder, "1.npz: cannot be read")


class TestNative:
    @pytest.mark.parametrize(
        ("file", "change", "why"),
        [
            ("reward.npy", None, "reward.npy is missing"),
            ("reward.npy", np.zeros(10, "f4"), "reward is float32"),
            ("reward.npy", np.zeros(11, int), "float.11. is what"),
            ("reward.npy", np.array([object()] * 11), "Object|object"),
            ("terminated.npy", np.zeros(11, bool), "is an end unmarked"),
            ("truncated.npy", np.ones(11, bool), "ends but its episode goes on"),
            ("truncated.npy", np.ones(11), "bool.11. is what"),
            ("starts.npy", np.array([0, 3, 11, 11]), "do not add up"),
            ("starts.npy", np.array([0, 3, 4, 9, 12]), "reward is float32"),
            ("obs.npy", np.zeros((15, 2), "f4"), "observations have shape"),
            ("obs.npy", np.zeros((15, 3)), "observations are float64"),
            ("action.npy", np.full(11, 4, "i4"), r"action 0 is 4, which is not in"),
            ("dataset.json", "{}", "is not a dataset"),
            ("dataset.json", "[" * 100_000, "is not a dataset"),
        ],
    )
    def test_broken(self, file, change, why, tmp_path):
        write(made(VECTOR, Discrete(4)), tmp_path / "set")
        place = tmp_path / "set" / file
        place.unlink()
        if isinstance(change, str):
            place.write_text(change)
        elif change is not None:
            np.save(place, change)
        refused(tmp_path / "set", why)

    def test_masks_have_their_size(self, tmp_path):
        write(made(VECTOR, Discrete(4), masked=True), tmp_path / "set")
        np.save(tmp_path / "set/legal.npy", np.ones((15, 3), bool))
        refused(tmp_path / "set", "legal is bool")

    def test_a_later_format(self, tmp_path):
        write(SETS["one"], tmp_path / "set")
        file = tmp_path / "set/dataset.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
        refused(tmp_path / "set", "newer Peira")

    def test_it_is_mapped(self, tmp_path):
        write(SETS["vectors"], tmp_path / "set")
        assert isinstance(read(tmp_path / "set").obs, np.memmap)


class TestSplit:
    def test_every_episode_goes_to_one_part(self):
        data = made(lengths=(2,) * 40)
        parts = split(data, [0.7, 0.2, 0.1], seed=3)
        assert [len(part) for part in parts] == [28, 8, 4]
        assert sorted(np.concatenate(parts)) == list(range(40))
        assert all((a == b).all() for a, b in zip(
            parts, split(data, [7, 2, 1], seed=3), strict=True
        ))  # fmt: skip
        assert list(parts[2]) != list(split(data, [7, 2, 1], seed=4)[2])

    @pytest.mark.parametrize("shares", [[1, 0], [1, -1], [1, float("nan")], [99, 1]])
    def test_a_part_of_nothing(self, shares):
        with pytest.raises(BadConfig, match=r"above zero|too few"):
            split(made(), shares)

    def test_parts_are_handed_on_in_order(self, tmp_path):
        data = made(IMAGE, lengths=(3, 1, 5, 2, 4))
        which = np.array([0, 1, 3])
        formats.write(reading(data, which), tmp_path / "part", "native")
        assert same(read(tmp_path / "part"), data.subset(which))


def test_paths_that_lead_nowhere(tmp_path):
    refused(tmp_path / "nothing", "does not exist")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 8)
    for name in ("empty", "bytes"):
        refused(tmp_path / name, "not a dataset of a known format")


def refused(path, why):
    """Reading and converting say why, in one line, and nothing is written."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(DataFault, match=why) as first:
        read(path)
    with pytest.raises(DataFault, match=why) as again:
        convert(path, path.parent / "out")
    for said in (str(first.value), str(again.value)):
        assert "\n" not in said
        assert str(path) in said
    assert sorted(path.parent.rglob("*")) == before


class TestMinari:
    """Against the package itself."""

    @pytest.mark.parametrize("kind", ["hdf5", "arrow", "parquet"])
    @pytest.mark.parametrize("jpeg", [False, True])
    def test_what_it_writes_is_read(self, kind, jpeg, tmp_path):
        frames = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
        obs = spaces.Dict(
            pixels=spaces.Box(0, 255, (32, 32, 3), np.uint8),
            pair=spaces.Tuple(
                [spaces.Discrete(3, start=2), spaces.Box(-1, 1, (2,), np.float64)]
            ),
        )
        action = spaces.MultiDiscrete([2, 3])
        storage = MinariStorage.new(
            tmp_path / "data", obs, action, data_format=kind, jpeg_encoding=jpeg
        )
        pair = (np.array([2, 3, 4, 2, 3]), np.linspace(-1, 1, 10).reshape(5, 2))
        masks = np.ones((5, 5), np.int8)
        likely = np.array([0, 0.1, 0.2, 0.3, 0.4])
        one = EpisodeBuffer(
            id=0,
            observations={"pixels": list(frames), "pair": pair},
            actions=np.array([[0, 1], [1, 2], [0, 0], [1, 1]]),
            rewards=[1.0, 2.0, 3.0, 4.0],
            terminations=[False] * 4,
            truncations=[False, False, False, True],
            infos={"action_mask": masks, "propensity": likely.tolist()},
        )
        storage.update_episodes([one])
        data = read(tmp_path)
        assert data.spec.obs["pair"][0] == Discrete(3)
        assert data.obs["pair"][0].tolist() == [0, 1, 2, 0, 1]
        assert data.obs["pair"][1] == pytest.approx(pair[1])
        assert data.action.tolist() == one.actions.tolist()
        assert data.propensity == pytest.approx(likely[1:])
        assert data.legal.all()
        assert data.reward.tolist() == [1, 2, 3, 4]
        assert data.truncated.tolist() == [False, False, False, True]
        (episode,) = storage.get_episodes([0])
        pixels = data.obs["pixels"]
        assert (pixels == episode["observations"]["pixels"]).all()
        assert (pixels == frames).all() == (not jpeg)

    @pytest.mark.parametrize("name", sorted(SETS))
    @pytest.mark.parametrize("to", ["minari", "minari-arrow"])
    def test_it_reads_what_is_written(self, to, name, tmp_path):
        data = SETS[name]
        write(data, tmp_path / "data", to=to)
        theirs = MinariDataset(str(tmp_path / "data"))
        assert theirs.total_steps == data.steps
        assert len(theirs) == data.episodes
        ours = (e for b in reading(data).blocks(Counter()) for e in b.episodes())
        for one, own in zip(theirs.iterate_episodes(), ours, strict=True):
            assert equal(one.observations, own.obs)
            assert equal(one.actions, own.action)
            assert equal(one.rewards, own.reward)
            assert equal(one.terminations, own.terminated)
            assert equal(one.truncations, own.truncated)

    @pytest.mark.filterwarnings("ignore")  # it leaves folders to the interpreter
    def test_its_collector(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
        env = minari.DataCollector(gymnasium.make("CartPole-v1", max_episode_steps=9))
        env.action_space.seed(0)
        for seed in range(3):
            env.reset(seed=seed)
            over = False
            while not over:
                *_, terminated, truncated, _ = env.step(env.action_space.sample())
                over = terminated or truncated
        env.create_dataset("toy/cartpole-v0")
        env.close()
        data = read(tmp_path / "toy/cartpole-v0")
        assert data.episodes == 3
        assert data.meta["env"] == "CartPole-v1"
        assert data.meta["name"] == "toy/cartpole-v0"
        write(data, tmp_path / "again", to="minari")
        made = MinariDataset(str(tmp_path / "again")).recover_environment()
        assert made.spec.max_episode_steps == 9
        made.close()


def equal(a, b):
    same = lambda x, y: x.shape == y.shape and bool((x == y).all())
    return jax.tree.all(jax.tree.map(same, a, b))
