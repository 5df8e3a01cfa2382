"""A few kills; `python tests/faults/kills.py` makes hundreds."""

import kills


def test_killed_runs_end_as_if_they_had_not_been(tmp_path):
    score = kills.campaign(5, seed=3, home=tmp_path, names=["dqn", "td3-host"])
    assert score.kills == 5
    assert score.exact == score.runs
