"""A page of HTML taken apart, as a reader's browser would."""

import json
import shlex
from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements with their attributes, and the text in them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, name, attributes):
        self.elements.append([name, dict(attributes), ""])
        if name not in ("meta", "img", "input"):
            self.open.append(self.elements[-1])

    def handle_endtag(self, name):
        assert self.open.pop()[0] == name

    def handle_data(self, text):
        for one in self.open:
            one[2] += text

    def all(self, name, **attributes):
        return [
            one
            for one in self.elements
            if one[0] == name and attributes.items() <= one[1].items()
        ]

    def text(self):
        return self.all("body")[0][2]

    def scripts(self):
        """Those that are run."""
        return [text for _, said, text in self.all("script") if "type" not in said]

    def charts(self):
        return [
            json.loads(t) for _, _, t in self.all("script", type="application/json")
        ]

    def commands(self):
        """The command lines by which it can be made again."""
        (section,) = self.all("section", id="repeat")
        codes = [t for n, _, t in self.elements if n == "code" and t in section[2]]
        return [shlex.split(line) for text in codes for line in text.splitlines()]
