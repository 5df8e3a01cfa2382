"""Episodes as films."""

import contextlib
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

from ..core import BadConfig, RunFault


def write_video(path: Path, frames: Sequence[np.ndarray], fps: int = 30) -> Path:
    """Write frames `(H, W, 3)` uint8 as `.mp4`, or `.gif` where that fails or is asked
    for; the path that was written. Sides are rounded up to even numbers, as the codec
    wants."""
    if not frames:
        raise RunFault(f"{path}: there are no frames to write")
    if path.suffix not in (".mp4", ".gif"):
        raise BadConfig(f"{path}: a film's name ends in .mp4 or .gif")
    if not path.parent.is_dir():
        raise RunFault(f"cannot write {path}: {path.parent} is not a folder")
    images = [even(frame) for frame in frames]
    if path.suffix == ".gif":
        return write_gif(path, images, fps)
    try:
        write_mp4(path, images, fps)
        return path
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
    path.unlink(missing_ok=True)
    path = path.with_suffix(".gif")
    warnings.warn(f"no mp4 could be made ({reason}): writing {path}", stacklevel=2)
    return write_gif(path, images, fps)


def write_gif(path: Path, images: Sequence[np.ndarray], fps: int) -> Path:
    try:
        iio.imwrite(path, np.stack(images), duration=1000 / fps, loop=0)
    except OSError as error:
        raise RunFault(f"cannot write {path}: {error}") from None
    return path


def write_mp4(path: Path, images: Sequence[np.ndarray], fps: int) -> None:
    """Hand the frames to ffmpeg; raises `RuntimeError` with its words."""
    height, width, _ = images[0].shape
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
    coded = "-c:v libx264 -pix_fmt yuv420p -fflags +bitexact -flags:v +bitexact"
    # Not imageio's own writer: it forks, which JAX's threads do not bear.
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    words += [*raw.split(), *coded.split(), str(path.absolute())]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ffmpeg:
        assert ffmpeg.stdin is not None
        assert ffmpeg.stderr is not None
        with contextlib.suppress(BrokenPipeError):  # what it says matters more
            for image in images:
                ffmpeg.stdin.write(np.ascontiguousarray(image))
            ffmpeg.stdin.close()
        said = ffmpeg.stderr.read().decode()
    if ffmpeg.returncode:
        raise RuntimeError(said)


def even(frame: np.ndarray) -> np.ndarray:
    """The frame with its last row and column doubled where the count is odd."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
