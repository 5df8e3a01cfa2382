"""Every format, there and back; what is broken or hostile; Minari itself."""

import itertools

import numpy as np
import pytest
from episodes import IMAGE, made, REACH, same, VECTOR

from peira.core import Box, DataFault, Discrete, MultiBinary, MultiDiscrete
from peira.data import convert, FORMATS, read, write


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
