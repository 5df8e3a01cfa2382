"""HTML that cannot be broken by what it shows: text is escaped, and only `Html` is not.

Where text comes from a file it may say anything, and a page is opened by people.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..statistics import Estimate


class Html(NamedTuple):
    """Markup, as opposed to text."""

    text: str


Inside = Html | str
LONG = 32  # letters of an entry that may be broken into lines
VOID = ("img", "input")  # elements that hold nothing and are not closed


def escape(inside: Inside) -> str:
    """Markup as it is, text so that it shows as it is."""
    if isinstance(inside, Html):
        return inside.text
    return html.escape(inside.replace("\0", "\ufffd"))


def join(*parts: Inside) -> Html:
    return Html("".join(map(escape, parts)))


def tag(name: str, *inside: Inside, **attributes: str | None) -> Html:
    """An element. Of an attribute's name trailing underscores are dropped and others
    are dashes; one that is None is left out."""
    said = "".join(
        f' {k.rstrip("_").replace("_", "-")}="{escape(v)}"'
        for k, v in attributes.items()
        if v is not None
    )
    close = "" if name in VOID else f"{join(*inside).text}</{name}>"
    return Html(f"<{name}{said}>{close}")


def paragraphs(*lines: Inside) -> Html:
    return join(*(tag("p", line) for line in lines))


def table(rows: Sequence[Mapping[str, Any]]) -> Html:
    """Rows with the names of their entries as heads; its columns can be sorted."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    top = (tag("th", tag("button", head, type="button"), scope="col") for head in heads)
    body = (tag("tr", *(cell(row.get(head, "")) for head in heads)) for row in rows)
    inside = tag("table", tag("thead", tag("tr", *top)), tag("tbody", *body))
    return tag("div", inside, class_="wide", tabindex="0")


def cell(value: Any) -> Html:
    """An entry, with the number that it is sorted by where it is one."""
    key = number(value)
    if key is None:
        inside = in_words(value)
        return tag("td", inside, class_="long" if len(escape(inside)) > LONG else None)
    return tag("td", in_words(value), class_="number", data_key=repr(key))


def number(value: Any) -> float | None:
    """What a value counts as; None for what is not a number."""
    if isinstance(value, Estimate):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if math.isnan(value) else float(value)


def in_words(value: Any) -> Inside:
    """A value as it is shown; nothing for a number that is not there."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, Html) else str(value)


def definitions(rows: Mapping[str, Any]) -> Html:
    """Names and what they stand for."""
    parts = (
        tag("div", tag("dt", name), tag("dd", in_words(value)))
        for name, value in rows.items()
    )
    return tag("dl", *parts)


def folded(head: str, *inside: Inside) -> Html:
    """What opens when asked to."""
    return tag("details", tag("summary", head), *inside)


def code(text: str) -> Html:
    return tag("pre", tag("code", text), tabindex="0")


def listed(lines: Sequence[Inside]) -> Html:
    """One line each; nothing for none."""
    return tag("ul", *(tag("li", line) for line in lines)) if lines else Html("")
