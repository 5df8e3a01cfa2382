"""Films: the frames come back, whatever their sides."""

import imageio.v3 as iio
import numpy as np
import pytest

from peira.core import RunFault
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
    reader = record.imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (48, 32 + height % 2 * 2)
    seen = [np.frombuffer(data, np.uint8).mean() for data in reader]
    np.testing.assert_allclose(seen, [40, 100, 160, 220], atol=4)


def test_a_gif_where_no_mp4_can_be_made(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("no codec\nand a long story")

    monkeypatch.setattr(record, "write_mp4", fail)
    path = write_video(tmp_path / "a.mp4", frames(32, 48))
    assert path == tmp_path / "a.gif"
    np.testing.assert_allclose(brightness(path), [40, 100, 160, 220], atol=4)
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_to_film_is_one_line(tmp_path):
    with pytest.raises(RunFault, match="no frames"):
        write_video(tmp_path / "a.mp4", [])
