"""Episodes as films."""

import sys
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

from ..core import RunFault


def write_video(path: Path, frames: Sequence[np.ndarray], fps: int = 30) -> Path:
    """Write frames `(H, W, 3)` uint8 as an mp4, or as a gif where that fails; the path
    that was written. Sides are rounded up to even numbers, as the codec wants."""
    if not frames:
        raise RunFault(f"{path}: there are no frames to write")
    images = [even(frame) for frame in frames]
    try:
        write_mp4(path, images, fps)
        return path
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
    path.unlink(missing_ok=True)
    path = path.with_suffix(".gif")
    print(f"no mp4 could be made ({reason}): writing {path}", file=sys.stderr)
    try:
        iio.imwrite(path, np.stack(images), duration=1000 / fps, loop=0)
    except OSError as error:
        raise RunFault(f"cannot write {path}: {error}") from None
    return path


def write_mp4(path: Path, images: Sequence[np.ndarray], fps: int) -> None:
    height, width, _ = images[0].shape
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        macro_block_size=1,
        ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for image in images:
            writer.send(np.ascontiguousarray(image))
    finally:
        writer.close()


def even(frame: np.ndarray) -> np.ndarray:
    """The frame with its last row and column doubled where the count is odd."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
