"""What is said of runs side by side, and of how many seeds a comparison takes."""

import json

import numpy as np
import pytest

import peira
from peira.cli import comparing, main
from peira.cli.comparing import Comparison, differences, notes, say
from peira.core import BadConfig
from peira.evidence import compared, interval, probability_of_improvement, typical
from peira.evidence.curves import Curve


def side_by_side(paired=False, **scores):
    """A comparison of runs with these final scores, as `compare` makes it."""
    seeds = {n: list(range(len(x))) for n, x in scores.items()}
    curves = {
        n: Curve(seeds[n], np.array([9]), x[:, None], 10) for n, x in scores.items()
    }
    first, *others = scores
    return Comparison(
        scores,
        {n: interval(x) for n, x in scores.items()},
        {n: typical(x) for n, x in scores.items()},
        differences(scores, curves, paired=paired),
        {n: probability_of_improvement(scores[n], scores[first]) for n in others},
        curves,
    )


NORMAL = np.array([-1.5, -1, -0.7, -0.4, -0.1, 0.1, 0.4, 0.7, 1, 1.5])


def said(found, capsys):
    say(found, by="final", plot="p.png", json=True)
    return json.loads(capsys.readouterr().out)["runs"]


def test_ten_seeds_have_every_interval(capsys):
    found = side_by_side(a=NORMAL, b=NORMAL + 4, c=NORMAL + 0.1)
    a, b, c = said(found, capsys)
    assert (a["mean"]["method"], a["median"]["method"]) == ("t", "order")
    assert a["mean"]["low"] < 0 < a["mean"]["high"]
    assert b["difference"]["verdict"] == "higher"
    assert c["difference"]["verdict"] == "cannot tell"
    assert c["difference"]["p"] > b["difference"]["p"]
    say(found, by="final", plot="p.png", json=False)
    told = capsys.readouterr().out
    assert "return of the last evaluation, n seeds each" in told
    assert "intervals of the mean like this one (t) covered" in told
    assert "c: so many seeds see a difference of" in told
    assert "b: so many" not in told


def test_several_comparisons_hold_together():
    alone = side_by_side(a=NORMAL, b=NORMAL + 1).differences["b"]
    three = side_by_side(a=NORMAL, b=NORMAL + 1, c=NORMAL).differences["b"]
    assert alone.estimate == compared(NORMAL + 1, NORMAL).estimate
    assert three.estimate == compared(NORMAL + 1, NORMAL, level=0.975).estimate
    assert three.p == pytest.approx(2 * alone.p)


def test_pairs_take_the_seeds_apart():
    noise = np.array([0.1, 0.2, 0.1, 0.3, 0.1, 0.2, 0.1, 0.2, 0.3, 0.1])
    found = side_by_side(paired=True, a=NORMAL, b=NORMAL + noise)
    assert found.differences["b"].verdict == "higher"
    assert found.differences["b"].paired
    with pytest.raises(BadConfig, match="same seeds, but only one of both has 9"):
        side_by_side(paired=True, a=NORMAL, b=NORMAL[:9])


def test_what_five_seeds_do_not_support_is_said():
    found = side_by_side(a=NORMAL[:5], b=NORMAL[:4])
    told = notes(found)
    assert "a: no interval of the mean: 5 runs of one task are too few" in told[0]
    assert any(line.startswith("b: no interval of the median: 4 runs") for line in told)
    assert "b: no verdict: 4 runs are too few; 5 of each will do" in told


def test_equal_scores_have_nothing_to_see():
    found = side_by_side(a=np.ones(6), b=np.ones(6))
    assert not [line for line in notes(found) if "see a difference" in line]


def test_an_unknown_score_is_named(tmp_path):
    with pytest.raises(BadConfig, match="no score 'worst'; there are final, area"):
        peira.compare(tmp_path, tmp_path, by="worst")


def test_power_is_told(capsys):
    assert main(["power", "--difference", "1", "--spread", "1", "--seeds", "7"]) == 0
    assert "17 seeds of each show a true difference of 1" in capsys.readouterr().out
    words = "power --difference 1 --spread 1 --paired --json"
    assert main(words.split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seeds"] == 10
    assert [row["seeds of each"] for row in found["table"]] == [3, 5, 10, 20]
    assert comparing.CHANCE == 0.8
