"""The page in a real browser: it draws, it obeys, and it complains of nothing."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from made_runs import made_run, made_study

import peira


NAMES = ("chromium-headless-shell", "chromium", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
if BROWSER is None:
    pytest.skip("no Chromium", allow_module_level=True)
pytest.importorskip("plotly")

RNG = np.random.default_rng(0)
NAME = "<b onclick=bad()>&amp;<script>"
ASK = """<script>addEventListener("load", async () => {
  const all = (what) => [...document.querySelectorAll(what)];
  const settle = () => new Promise((done) => setTimeout(done, 300));
  let told;
  try { told = await (async () => { %s })(); } catch (error) { told = String(error); }
  const place = document.createElement("pre");
  place.id = "told";
  place.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(told))));
  document.body.append(place);
});</script>"""


def browse(path, *flags):
    """Run the browser on a page; what it says, and what it complains of."""
    profile = path.parent / "profile"
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *flags]
    words += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--v=0"]
    words += ["--virtual-time-budget=10000", path.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout, [x for x in done.stderr.splitlines() if "CONSOLE" in x]


def with_more(page, markup):
    """The page's text with something at its end."""
    return page.read_text().removesuffix("</body>\n</html>\n") + markup


def ask(page, script, *flags):
    """What a script finds on a copy of the page that lets it run; the page may not
    complain of anything."""
    asked = ASK % script
    inside = re.search("<script>(.+)</script>", asked, re.S)[1].encode()
    own = base64.b64encode(hashlib.sha256(inside).digest()).decode()
    allowed = f"script-src &#x27;sha256-{own}&#x27; "
    copy = page.with_name("copy.html")
    copy.write_text(with_more(page, asked).replace("script-src ", allowed))
    shown, complaints = browse(copy, "--dump-dom", *flags)
    told = re.search('<pre id="told">(.*?)</pre>', shown)
    assert told, complaints
    return json.loads(base64.b64decode(told[1])), complaints


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("pages")
    made_run(home / NAME, RNG.normal(50, 9, (12, 5, 4)))
    made_run(home / "b", RNG.normal(80, 9, (3, 5, 4)), hyper={"gamma": 0.9})
    return peira.report(home / NAME, home / "b", out=home / "report.html")


TOGGLE = """
  const button = document.getElementById("theme");
  const look = () => [button.textContent,
    getComputedStyle(document.body).backgroundColor,
    document.querySelector(".chart .main-svg").style.background,
    getComputedStyle(document.querySelector(".legendtext")).fill];
  const looks = [look()];
  for (const i of [1, 2]) { button.click(); await settle(); looks.push(look()); }
"""
EVERYTHING = (
    TOGGLE
    + """
  const count = () => all(".scatterlayer .trace").length;
  const traces = [count()];
  const box = document.querySelector(".seeds");
  for (const i of [1, 2]) { box.click(); await settle(); traces.push(count()); }

  const table = document.querySelector("#seeds table");
  const heads = [...table.querySelectorAll("button")];
  const column = (i) =>
    [...table.tBodies[0].rows].map((row) => row.cells[i].textContent);
  const columns = [["final", 2], ["final", 2], ["run", 0]].map(([name, i]) => {
    heads.find((one) => one.textContent === name).click();
    return column(i);
  });

  const seen = [];
  for (const one of all("nav a")) {
    one.click();
    await settle();
    const place = document.querySelector(location.hash).getBoundingClientRect();
    seen.push(place.top < innerHeight && place.bottom > 0);
  }
  return {
    looks, traces, columns, seen,
    legend: all(".legendtext").map((one) => one.textContent),
    bands: all(".scatterlayer .fills path").length,
    bold: all("b, [onclick]").length,
    buttons: all(".modebar-btn").map((one) => one.dataset.title),
    fetched: performance.getEntriesByType("resource").length,
    files: all("a[download]").map((one) => atob(one.href.split(",")[1])),
  };"""
)


@pytest.fixture(scope="module")
def told(page):
    """What is found on the page when everything on it is used."""
    found, complaints = ask(page, EVERYTHING)
    assert complaints == []
    return found


def test_it_draws_what_is_there_and_fetches_nothing(told):
    assert told["legend"] == [NAME, "b"]
    assert told["bands"] == 1
    assert told["bold"] == told["fetched"] == 0


def test_no_button_sends_the_numbers_away(told):
    assert len(told["buttons"]) == 6
    assert not re.search("(?i)share|cloud|edit", " ".join(told["buttons"]))


LIGHT, DARK = ["rgb(255, 255, 255)"] * 2, ["rgb(20, 23, 26)"] * 2


def test_the_toggle_changes_page_and_charts(told):
    one, two, again = told["looks"]
    assert (one[0], two[0], again) == ("Dark", "Light", one)
    assert (one[1:3], two[1:3]) == (LIGHT, DARK)
    assert one[3] != two[3]


def test_it_begins_dark_where_that_is_preferred(page):
    dark = "--blink-settings=preferredColorScheme=0"
    (one, two, again), complaints = ask(page, f"{TOGGLE} return looks;", dark)
    assert (one[0], one[1:3], two[1:3]) == ("Light", DARK, LIGHT)
    assert again == one
    assert complaints == []


def test_seeds_can_be_hidden(told):
    seeds, edges, means = 12 + 3, 2, 2
    means_only = edges + means
    assert told["traces"] == [means_only + seeds, means_only, means_only + seeds]


def test_tables_sort_by_number_and_by_name(told):
    up, down, names = told["columns"]
    assert len(up) == 15
    assert up == sorted(up, key=float)
    assert down == up[::-1]
    assert names == sorted(names)


def test_links_move_and_downloads_hold_the_file(told, page):
    assert told["seen"] == [True] * 7
    files = [page.parent / name / "config.toml" for name in (NAME, "b")]
    assert told["files"] == [file.read_text() for file in files]


def test_what_was_not_written_into_it_does_not_run(page):
    """And complaints are heard."""
    copy = page.with_name("other.html")
    evil = "<script>document.title = 'bad'</script>"
    copy.write_text(with_more(page, evil))
    shown, complaints = browse(copy, "--dump-dom")
    assert "<title>bad" not in shown
    assert any("Content Security Policy" in line for line in complaints)


def test_a_study_fits_on_a_phone(tmp_path):
    told, complaints = ask(
        peira.report(made_study(tmp_path)),
        """return [document.querySelector(".word").textContent,
          all(".legendtext").map((one) => one.textContent),
          innerWidth, document.documentElement.scrollWidth,
          document.querySelector(".main-svg").getBoundingClientRect().right];""",
        "--window-size=360,800",
    )
    assert told[:2] == ["supported", ["small", "large"]]
    width, needed, chart = told[2:]
    assert max(needed, chart) <= width < 600
    assert complaints == []


def test_it_prints(page):
    pdf = page.with_name("report.pdf")
    browse(page, f"--print-to-pdf={pdf}")
    assert pdf.read_bytes().startswith(b"%PDF")
