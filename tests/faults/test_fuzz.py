"""A few damaged files; `python tests/faults/fuzz.py` makes ten thousand."""

import subprocess
import sys

import fuzz
import pytest

from peira.engine import pieces


def test_damaged_files_are_refused_or_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "SIZE", pieces.SIZE)  # the campaign makes it small
    score = fuzz.campaign(70, seed=1, home=tmp_path.resolve())
    assert not score.bad
    assert score.outcomes.total() == 70
    assert len(score.outcomes) > 9  # most loaders have refused and have loaded


@pytest.mark.parametrize(
    "deed",
    [
        lambda folder: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda folder: (folder.parent / "elsewhere").write_text(""),
        lambda folder: (folder.parent / "elsewhere").read_text(),
    ],
)
def test_what_a_loader_must_not_do_is_seen(deed, tmp_path):
    (tmp_path / "elsewhere").write_text("")
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "file").write_text("")
    watch = fuzz.Watch()
    watch.folder = folder.resolve()
    (folder / "file").read_text()
    assert not watch.seen
    deed(folder)
    watch.folder = None
    assert watch.seen
