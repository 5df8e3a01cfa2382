"""Pictures on machines that can and cannot draw."""

import os

import numpy as np
import pytest

from peira.core import EnvironmentFault
from peira.envs.render import picture


class Drawn:
    """Draws with one of MuJoCo's backends only."""

    render_mode = "rgb_array"

    def __init__(self, backend, shape=(2, 3, 3)):
        self.backend, self.shape = backend, shape

    def render(self):
        if os.environ.get("MUJOCO_GL") != self.backend:
            raise RuntimeError("no context\nat all")
        return np.zeros(self.shape)


@pytest.fixture(autouse=True)
def headless(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_the_backend_that_works_is_found(backend):
    image = picture(Drawn(backend))
    assert image.shape == (2, 3, 3)
    assert image.dtype == np.uint8
    assert "MUJOCO_GL" not in os.environ


def test_a_chosen_backend_is_kept(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert picture(Drawn("glfw")).shape == (2, 3, 3)
    assert os.environ["MUJOCO_GL"] == "glfw"


def test_a_display_is_used_where_there_is_one(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    assert picture(Drawn(None)).shape == (2, 3, 3)


def test_what_cannot_be_drawn_is_said_in_one_line():
    with pytest.raises(EnvironmentFault) as caught:
        picture(Drawn("none of them"))
    assert str(caught.value) == "it cannot be drawn on this machine: no context"
    with pytest.raises(EnvironmentFault, match=r"its picture has shape \(2, 3\)"):
        picture(Drawn("egl", shape=(2, 3)))
