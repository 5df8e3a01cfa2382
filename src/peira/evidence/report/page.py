"""The page itself: what it is put together from, and what it may do.

A policy in its head lets it load nothing, and run the scripts that are written into it
and no other: what came from files cannot act even if it were not escaped.
"""

import base64
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from ...core import BadConfig
from .html import escape, Html, Inside, join, tag


POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data:; base-uri 'none'; form-action 'none'"
)
# Plotly writes its styles into the page, hence 'unsafe-inline': styles, no scripts.


class Section(NamedTuple):
    """A part of the page."""

    title: str
    body: Html

    @property
    def anchor(self) -> str:
        return "-".join(self.title.lower().split())


def library() -> str:
    """What draws the curves. Raises `BadConfig` where it is not installed."""
    try:
        plotly = importlib.import_module("plotly.offline")
    except ImportError:
        raise BadConfig("a report needs: pip install 'peira[report]'") from None
    return plotly.get_plotlyjs()


def page(title: str, lead: Inside, sections: Sequence[Section], *, draws: str) -> str:
    """All of it as one text; `draws` is the library."""
    scripts = [as_parsed(text) for text in (draws, resource("page.js"))]
    allowed = " ".join(f"'sha256-{digest(text)}'" for text in scripts)
    links = (tag("a", one.title, href=f"#{one.anchor}") for one in sections)
    body = (
        tag("section", tag("h2", one.title), one.body, id=one.anchor)
        for one in sections
    )
    return Template(resource("page.html")).substitute(
        policy=escape(POLICY.format(scripts=allowed)),
        title=escape(title),
        lead=escape(lead),
        style=resource("page.css"),
        links=join(*links).text,
        body=join(*body).text,
        library=scripts[0],
        script=scripts[1],
    )


def resource(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def as_parsed(script: str) -> str:
    """A script as a reader of HTML sees it, so that its hash is that of what runs."""
    return script.replace("\r\n", "\n").replace("\r", "\n")


def digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
