"""Jobs come to their end whoever dies, and no more at once than there is room for."""

import os
import signal
from functools import partial

import jobs
import pytest

from peira.core import PeiraError
from peira.engine.schedule import cores, Ended, Here, Local, TRIES, work_off


def test_here_one_after_the_other(tmp_path):
    done = []
    names = {n: partial(jobs.alone, tmp_path, n) for n in "abc"}
    work_off(names, Here(), ended=done.append)
    assert done == ["a", "b", "c"]


def test_what_goes_wrong_is_said_when_the_others_have_ended(tmp_path):
    done = []
    names = {"a": partial(jobs.mistaken, tmp_path, "a")}
    names["b"] = partial(jobs.alone, tmp_path, "b")
    with pytest.raises(PeiraError, match="a: no such thing"):
        work_off(names, Here(), ended=done.append)
    assert done == ["b"]
    assert jobs.begun(tmp_path, "a") == 1


def test_who_is_killed_is_begun_again_but_not_for_ever(tmp_path):
    done, looked = [], []
    names = {"twice": partial(jobs.mortal, tmp_path, "twice", 2)}
    names["never"] = partial(jobs.mortal, tmp_path, "never", TRIES + 1)
    look = lambda: looked.append(None)
    with pytest.raises(PeiraError, match="never: its process was killed by SIGKILL"):
        work_off(names, Local(), ended=done.append, look=look)
    assert done == ["twice"]
    assert jobs.begun(tmp_path, "twice") == 2
    assert jobs.begun(tmp_path, "never") == TRIES
    assert looked


def test_never_more_at_once_than_asked_and_each_on_one_core(tmp_path):
    done = []
    names = {n: partial(jobs.alone, tmp_path, n) for n in "ab"}
    work_off(names, Local(1), ended=done.append)
    assert sorted(done) == ["a", "b"]
    on = {(tmp_path / f"{n}.begun").read_text() for n in "ab"}
    assert on == {f"[{cores()[0]}]\n"}
    assert len(Local()._free) == len(os.sched_getaffinity(0))


def test_asked_to_stop_it_stops_what_is_under_way(tmp_path):
    stopped = []

    class Endless(Here):
        def wait(self, seconds):
            os.kill(os.getpid(), signal.SIGTERM)
            return [Ended("a", died=True)]

        def stop(self):
            stopped.append(True)

    with pytest.raises(KeyboardInterrupt):
        work_off({"a": print}, Endless(), ended=print)
    assert stopped == [True]
