"""What a page says is what `compare` and `study verdict` say, and nothing that it shows
can act."""

import base64
import hashlib
import html
import json
import math
import re
import sys
from urllib.parse import unquote

import numpy as np
import pytest
from made_runs import made_run, made_study, STUDY
from pages import Page

import peira
from peira.cli import main, parser, report_runs, reporting, train
from peira.core import RunFault
from peira.evidence import interval, typical
from peira.evidence.curves import area
from peira.evidence.report import films, Shelf
from peira.evidence.report.figures import in_script
from peira.evidence.report.html import cell, Html, table, tag
from peira.evidence.studies import judged


RNG = np.random.default_rng(0)
TWELVE = RNG.normal(50, 9, (12, 3, 4))
FIVE = RNG.normal(80, 9, (5, 3, 4))
BAD = "<script>bad()<script>"


@pytest.fixture(autouse=True)
def draws(monkeypatch):
    monkeypatch.setattr(reporting, "library", lambda: "var Plotly = {};\r\n1 < 2;")


@pytest.fixture
def two(tmp_path):
    made_run(tmp_path / "a", TWELVE)
    made_run(tmp_path / "b", FIVE, hyper={"gamma": 0.9})
    return tmp_path / "a", tmp_path / "b"


def written(*paths, **more):
    return Page(peira.report(*paths, **more).read_text())


def test_its_numbers_are_those_of_compare(two, tmp_path):
    page = written(*two, out=tmp_path / "r.html", by="area")
    found = peira.compare(*two, by="area")
    shown = [text for _, _, text in page.all("td")]
    heights = area(np.array([100, 200, 300]), TWELVE.mean(axis=2))
    assert str(interval(heights).estimate) in shown
    for name in "ab":
        assert str(found.means[name].estimate) in shown
        assert str(found.medians[name].estimate) in shown
    assert str(found.differences["b"].estimate) in shown
    assert str(found.improvements["b"]) in shown
    assert f"{found.differences['b'].p:.4g}" in shown
    verdict = page.all("p", **{"class": "verdict"})[0][2]
    assert verdict == f"higher: b minus a is {found.differences['b'].estimate}"
    assert "b: no interval of the mean: 5 runs of one task are too few" in page.text()
    keys = {said.get("data-key") for _, said, _ in page.all("td")}
    for earned in [*found.scores["a"], *found.scores["b"]]:
        assert repr(float(earned)) in keys


def test_curves_have_the_intervals_there_are(two, tmp_path):
    (chart,) = written(*two, out=tmp_path / "r.html").charts()
    many, few = chart["curves"]
    returns = TWELVE.mean(axis=2)
    assert many["steps"] == [100, 200, 300]
    assert np.allclose(many["returns"], returns)
    for i in range(3):
        value, low, high = typical(returns[:, i]).estimate
        assert (many["middle"][i], many["low"][i]) == pytest.approx((value, low))
        assert many["high"][i] == pytest.approx(high)
    assert len(few["returns"]) == 5
    assert few["low"] == pytest.approx(FIVE.mean(axis=2).min(axis=0))


def test_too_few_seeds_have_no_band(tmp_path):
    run = made_run(tmp_path / "a", FIVE[:4])
    (chart,) = written(run, out=tmp_path / "r.html").charts()
    (four,) = chart["curves"]
    assert four["low"] is four["high"] is None
    assert "4 runs" in four["note"]


def test_one_run_has_an_outcome(tmp_path):
    made_run(tmp_path / "alone", TWELVE[:1, :, :1])
    page = written(tmp_path / "alone")
    assert (tmp_path / "alone/report.html").exists()
    assert page.all("h2")[0][2] == "Outcome"
    heads = [text for _, _, text in page.all("th")]
    assert "final" in heads
    assert "best" not in heads  # one episode cannot choose and score
    assert "alone is not finished: every seed has come to step 0" in page.text()


def test_only_what_differs_is_in_the_table_of_settings(two, tmp_path):
    page = written(*two, out=tmp_path / "r.html")
    (section,) = page.all("section", id="settings")
    rows = [text for _, _, text in page.all("tr")]
    assert "hyper.gamma0.9" in rows
    assert not [row for row in rows if row.startswith("algorithm")]
    assert "gamma = 0.9" in section[2]


def test_what_files_say_is_shown_and_never_acts(tmp_path):
    name = "<img src=x onerror=bad()>"
    evil = {"platform": BAD, "command": ["peira", "</code>" + BAD, "$(bad)"]}
    evil |= {"code": "'\"><b onclick=bad()>", "versions": {BAD: "</td>"}}
    made_run(tmp_path / name, FIVE, env="</script>" + BAD, born=evil, hyper={"x": BAD})
    plain = made_run(tmp_path / "b", FIVE, env="</script>" + BAD)
    (tmp_path / name / "episode.mp4").write_bytes(b"film")
    page = written(tmp_path / name, plain, out=tmp_path / "r.html")
    assert len(page.scripts()) == 2
    assert not page.all("b")
    assert not page.all("img")
    assert not [s for _, said, _ in page.elements for s in said if s.startswith("on")]
    assert page.charts()[0]["curves"][0]["name"] == name
    for text in (name, evil["code"], "</code>" + BAD, f"{BAD} </td>", f'x = "{BAD}"'):
        assert text in page.text()
    assert page.all("title")[0][2].endswith("on </script>" + BAD)


def test_the_page_loads_nothing(two, tmp_path):
    (two[0] / "episode.gif").write_bytes(b"film")
    page = written(*two, out=tmp_path / "r.html")
    for name, said, _ in page.elements:
        for attribute in ("src", "href", "srcset", "data", "action", "poster"):
            link = said.get(attribute) or ""
            assert not re.match(r"(?i)\s*([a-z]+:)?//|(?!data:)[a-z]+:", link), name
    style = page.all("style")[0][2]
    assert "url(" not in style
    assert "@import" not in style
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0][1]
    assert "default-src 'none'" in policy["content"]
    assert "connect-src" not in policy["content"]
    scripts = re.search("script-src (.+?);", policy["content"])[1].split()
    as_run = [text.replace("\r\n", "\n").encode() for text in page.scripts()]
    assert scripts == [
        f"'sha256-{base64.b64encode(hashlib.sha256(t).digest()).decode()}'"
        for t in as_run
    ]
    assert "\r" not in (tmp_path / "r.html").read_bytes().decode()


def test_links_lead_somewhere(two, tmp_path):
    page = written(*two, out=tmp_path / "r.html")
    anchors = {said["id"] for _, said, _ in page.elements if "id" in said}
    links = [said["href"] for _, said, _ in page.all("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert len([link for link in links if link.startswith("#")]) == 7


def test_recordings_are_inside_while_there_is_room(tmp_path):
    runs = [tmp_path / "one run#1" / n for n in ("a", "b", "c", "d")]
    for run, size in zip(runs, (60, 60, 30, 0), strict=True):
        run.mkdir(parents=True)
        if size:
            (run / "episode.mp4").write_bytes(b"x" * size)
    shelf = Shelf(tmp_path / "page" / "r.html", room=100)
    a, b, c, d = [shelf.film(run, "said") for run in runs]
    assert base64.b64encode(b"x" * 60).decode() in a.text
    assert base64.b64encode(b"x" * 30).decode() in c.text
    assert d is None
    assert "video" not in b.text
    (link,) = Page(b.text).all("a")
    assert link[1]["href"].startswith("../one%20run%231/b/")
    there = (tmp_path / "page").resolve() / unquote(link[1]["href"])
    (tmp_path / "page").mkdir()
    assert there.exists()


def test_a_film_called_like_an_address_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "javascript:bad()"
    run.mkdir()
    (run / "episode.mp4").write_bytes(b"x" * 9)
    found = Shelf(tmp_path / "r.html", room=0).film(run, "said")
    assert 'href="javascript%3Abad' in found.text


def test_the_command_that_repeats_a_run_does(tmp_path, monkeypatch):
    hyper = {"gamma": 0.5}
    made_run(tmp_path / "a", FIVE, hyper=hyper, born={"command": ["__main__.py", "x"]})
    page = written(tmp_path / "a")
    (link,) = page.all("a", download="a.toml")
    kind, _, content = link[1]["href"].partition(",")
    assert kind == "data:application/toml;base64"
    (tmp_path / "a.toml").write_bytes(base64.b64decode(content))
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "train", lambda task, options: asked.append(task))
    again, begun, this = [line for line in page.commands() if line[0] == "peira"]
    assert begun == ["peira", "x"]
    assert main(again[1:]) == 0
    (task,) = asked
    assert task.algorithm.gamma == 0.5
    assert task.plan.seeds == (0, 1, 2, 3, 4)
    assert parser().parse_args(this[1:]).paths == [str(tmp_path / "a")]


def test_a_study_begins_with_its_verdict(tmp_path):
    path = made_study(tmp_path)
    page = written(path)
    _, found = judged(path)
    assert found.found.word == "supported"
    first = page.all("section")[0]
    assert first[1]["id"] == "verdict"
    assert page.all("p", **{"class": "verdict"})[0][2] == (
        f"supported: {found.found.why}"
    )
    for said in (
        "Small steps are better than <b>large</b> ones.",
        "Nobody & Sons, 2026",
        f"{found.found.effect}: small minus large, final, 95.0% interval",
        "6 of small, 6 of large",
        "18 s of training",
    ):
        assert said in first[2]
    rows = [text for _, _, text in page.all("tr")]
    assert "learning_rate0.0010.01" in rows
    (chart,) = page.charts()
    small, large = chart["curves"]
    assert (small["name"], small["seeds"]) == ("small", [0, 2, 4, 6, 8, 10])
    assert large["middle"] == pytest.approx([1.0, 3.6])


def test_a_study_can_be_repeated_from_its_page(tmp_path):
    page = written(made_study(tmp_path))
    (link,) = page.all("a", download="steps.toml")
    text = base64.b64decode(link[1]["href"].partition(",")[2]).decode()
    assert text == STUDY
    for line in page.commands():
        assert parser().parse_args(line[1:]).verb in ("study", "report")
    assert page.commands()[0][1:] == ["study", "run", "steps.toml", "--tier", "quick"]


def test_rows_alone_have_a_page_without_curves(tmp_path):
    path = made_study(tmp_path, runs=False)
    page = written(path / "rows.jsonl", out=tmp_path / "r.html")
    assert "supported" in page.text()
    assert "there are no curves" in page.text()
    assert not page.charts()


def test_a_row_cannot_name_a_folder_elsewhere(tmp_path, capsys):
    path = made_study(tmp_path, runs=False)
    rows = (path / "rows.jsonl").read_text()
    (path / "rows.jsonl").write_text(rows.replace('"small-0"', '"../../other"'))
    assert main(["report", str(path)]) == 2
    assert "'../../other', and not the name of one" in capsys.readouterr().err


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Everything that reports can be asked for and cannot be made of."""
    home = tmp_path_factory.mktemp("others")
    made_run(home / "a", TWELVE)
    made_run(home / "b", FIVE)
    made_run(home / "pendulum", FIVE, env="Pendulum-v1")
    made_run(home / "offline", FIVE, data={"path": "d", "fingerprint": "f"})
    made_run(home / "empty", FIVE[:1, :0])
    made_run(home / "odd", FIVE, born={"command": "rm"})
    made_study(home, runs=False)
    (home / "folder").mkdir()
    (home / "rows.jsonl").write_text("")
    (home / "list").mkdir()
    (home / "list/config.toml").write_bytes((home / "a/config.toml").read_bytes())
    (home / "list/provenance.json").write_text("[]")
    return home


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nowhere", "nowhere does not exist"),
        ("folder", "folder is not a run: it has no config.toml"),
        ("a nowhere", "nowhere does not exist"),
        ("a a", "a run is compared with itself"),
        (
            "a pendulum",
            "these runs are of different environments: CartPole-v1 (a), Pendulum-v1 "
            "(pendulum); make a report of each",
        ),
        ("a offline", "different kinds of step: environment steps (a), updates (off"),
        ("empty", "not every seed has been evaluated yet"),
        ("list", "list is not a run: provenance.json holds no table"),
        ("odd", "odd/provenance.json: command makes no sense"),
        ("steps-quick a", "steps-quick is a study: a report is of one, or of runs"),
        ("steps-quick --by area", "is a study: its file says what is compared"),
        ("rows.jsonl", "rows.jsonl holds no rows"),
        ("a b --paired", "pairs need the same seeds"),
        ("a --by worst", "invalid choice: 'worst'"),
        ("a --out r.toml", "a report is HTML; name it something.html"),
        ("a --out no/where.html", "--out no/where.html cannot be written"),
        ("", "required: path"),
    ],
)
def test_what_cannot_be_is_one_line(words, said, others, monkeypatch, capsys):
    monkeypatch.chdir(others)
    there = sorted(others.rglob("*"))
    assert main(["report", *words.split()]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("peira: ")
    assert told.count("\n") == 1
    assert sorted(others.rglob("*")) == there


def test_without_the_library_it_says_how_to_get_it(two, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert main(["report", str(two[0])]) == 2
    assert capsys.readouterr().err == (
        "peira: a report needs: pip install 'peira[report]'\n"
    )
    assert not (two[0] / "report.html").exists()


def test_where_it_is_is_printed(two, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "a", "b"]) == 0
    assert capsys.readouterr().out == "report.html\n"
    assert main(["report", "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "a/report.html"}
    assert sorted(tmp_path.glob("**/*.html")) == [
        tmp_path / "a/report.html",
        tmp_path / "report.html",
    ]


def test_text_is_escaped_and_markup_is_not():
    found = tag("p", "<&>", Html("<b>x</b>"), title='"<', class_=None)
    assert found.text == '<p title="&quot;&lt;">&lt;&amp;&gt;<b>x</b></p>'
    assert tag("img", alt="a").text == '<img alt="a">'
    assert html.unescape(tag("p", "a\0b").text) == "<p>a\ufffdb</p>"


def test_numbers_in_a_script_cannot_end_it():
    said = {"</script><!--<script>&": [1.5, math.inf, math.nan, None]}
    text = in_script(said)
    assert not {"<", ">", "&"} & set(text)
    assert json.loads(text) == {"</script><!--<script>&": [1.5, None, None, None]}


def test_cells_are_sorted_by_what_they_count_as():
    keys = lambda *values: [
        re.findall('data-key="(.+?)"', cell(v).text) for v in values
    ]
    assert keys(0.1 + 0.2, 3, "3", True) == [["0.30000000000000004"], ["3.0"], [], []]
    assert keys(interval(FIVE[:, 0, 0]).estimate) == [
        [repr(float(FIVE[:, 0, 0].mean()))]
    ]
    assert cell(math.nan).text == "<td></td>"
    page = Page(table([{"a": 1}, {"b": "x"}]).text)
    assert [text for _, _, text in page.all("th")] == ["a", "b"]
    assert [text for _, _, text in page.all("td")] == ["1", "", "", "x"]


def test_no_recording_is_said():
    assert "peira watch RUN" in films.films([]).text


def test_a_run_whose_data_is_no_table_is_refused(tmp_path):
    run = made_run(tmp_path / "a", FIVE, data="x")
    with pytest.raises(RunFault, match="data makes no sense"):
        report_runs.check_said({"a": run})
