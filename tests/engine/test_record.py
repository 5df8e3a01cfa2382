"""Films: the frames come back, whatever their sides."""

import subprocess

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest

from peira.core import BadConfig, RunFault
from peira.engine import record
from peira.engine.record import write_video


def frames(height: int, width: int) -> list[np.ndarray]:
    grey = np.full((height, width, 3), 40, np.uint8)
    return [grey + np.uint8(60 * i) for i in range(4)]


def brightness(path) -> list[float]:
    return [float(frame[..., :3].mean()) for frame in iio.imiter(path)]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47)])
def test_an_mp4_holds_the_frames(tmp_path, height, width):
    path = write_video(tmp_path / "a.mp4", frames(height, width), fps=10)
    assert path == tmp_path / "a.mp4"
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    words = f"{exe} -loglevel error -i {path} -f rawvideo -pix_fmt rgb24 -".split()
    data = subprocess.run(words, capture_output=True, check=True).stdout
    seen = np.frombuffer(data, np.uint8).reshape(4, height + height % 2, 48, 3)
    np.testing.assert_allclose(seen.mean(axis=(1, 2, 3)), [40, 100, 160, 220], atol=4)


def test_the_same_frames_make_the_same_file(tmp_path):
    a, b = (write_video(tmp_path / f"{x}.mp4", frames(32, 48)) for x in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(RunFault, match="cannot write") as caught:
        write_video(tmp_path / "nowhere" / "a.mp4", frames(32, 48))
    assert "\n" not in str(caught.value)


def test_a_gif_is_made_where_one_is_asked_for(tmp_path):
    path = write_video(tmp_path / "a.gif", frames(32, 48))
    assert path == tmp_path / "a.gif"
    np.testing.assert_allclose(brightness(path), [40, 100, 160, 220], atol=4)
    with pytest.raises(BadConfig, match=r"a.webm: .* \.mp4 or \.gif"):
        write_video(tmp_path / "a.webm", frames(32, 48))


def test_a_gif_where_no_mp4_can_be_made(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no codec\nand a long story")

    monkeypatch.setattr(record, "write_mp4", fail)
    with pytest.warns(UserWarning, match=r"\(no codec\): writing .*a.gif"):
        path = write_video(tmp_path / "a.mp4", frames(32, 48))
    assert path == tmp_path / "a.gif"
    np.testing.assert_allclose(brightness(path), [40, 100, 160, 220], atol=4)


def test_nothing_to_film_is_one_line(tmp_path):
    with pytest.raises(RunFault, match="no frames"):
        write_video(tmp_path / "a.mp4", [])
