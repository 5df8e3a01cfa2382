"""Recordings of episodes: inside the page while there is room, else beside it."""

import base64
import os
from pathlib import Path
from urllib.parse import quote

from .html import Html, paragraphs, tag


ROOM = 16 * 2**20  # bytes of recordings inside a page
KINDS = {"episode.mp4": "video/mp4", "episode.gif": "image/gif"}


def data(kind: str, content: bytes) -> str:
    """A link that holds what it leads to."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class Shelf:
    """Takes recordings into a page that is written to `out` until `room` bytes are
    full; smaller ones that come later still find a place."""

    def __init__(self, out: Path, *, room: int = ROOM):
        self.out, self.room = out, room

    def film(self, run: Path, caption: str) -> Html | None:
        """The recording of a run, or None where there is none."""
        for name, kind in KINDS.items():
            if (path := run / name).is_file():
                return self._shown(path, kind, caption)
        return None

    def _shown(self, path: Path, kind: str, caption: str) -> Html:
        size = path.stat().st_size
        if size > self.room:
            link = tag("a", f"{path.name} ({size / 2**20:.1f} MiB)", href=self.to(path))
            return tag("figure", tag("figcaption", f"{caption}: ", link), class_="film")
        self.room -= size
        source = data(kind, path.read_bytes())
        if kind.startswith("video"):
            moving = tag("video", src=source, controls="", loop="", aria_label=caption)
        else:
            moving = tag("img", src=source, alt=caption)
        return tag("figure", moving, tag("figcaption", caption), class_="film")

    def to(self, path: Path) -> str:
        """A link from the page to a file, without a scheme."""
        return quote(os.path.relpath(path, self.out.parent))


def films(shown: list[Html]) -> Html:
    if not shown:
        return paragraphs("No episode was recorded; `peira watch RUN` records one.")
    return tag("div", *shown, class_="films")
