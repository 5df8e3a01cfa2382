"""`peira report`: everything about runs, or about a study, on one page."""

from collections.abc import Mapping
from pathlib import Path

from .. import __version__
from ..core import BadConfig
from ..engine.files import write_file
from ..engine.provenance import now
from ..engine.run import Run
from ..evidence.report import library, page, Section, Shelf
from . import report_runs, report_study
from .comparing import BY, distinct, side_by_side


def report(
    *paths: Run | str | Path,
    out: str | Path | None = None,
    by: str = "final",
    paired: bool = False,
) -> Path:
    """Write one page of HTML about runs of one environment, or about a study, that
    opens from the disk and loads nothing; where it is.

    `paths` are runs, or the folder of one study (or a file of its rows). `by` and
    `paired` are those of `compare`. `out` is `report.html` in the run or the study, or
    here for several runs. Raises `PeiraError`, with nothing written.
    """
    if not paths:
        raise BadConfig("a report needs a run or a study")
    draws = library()
    places = [p.path if isinstance(p, Run) else Path(p) for p in paths]
    studies = [p for p in places if is_study(p)]
    home = places[0] if len(places) == 1 else Path()
    file = Path(
        out or (home.parent if home.suffix == ".jsonl" else home) / "report.html"
    )
    if file.suffix not in (".html", ".htm"):
        raise BadConfig(f"--out {file}: a report is HTML; name it something.html")
    if not studies:
        title, sections = of_runs(paths, Shelf(file), by=by, paired=paired)
    elif len(places) > 1:
        raise BadConfig(f"{studies[0]} is a study: a report is of one, or of runs")
    elif paired or by != "final":
        raise BadConfig(f"{studies[0]} is a study: its file says what is compared")
    else:
        title, sections = report_study.sections(studies[0])
    lead = f"Written {now()} by Peira {__version__}; needs no network."
    text = page(title, lead, sections, draws=draws)
    try:
        write_file(file, text.encode())
    except OSError as error:
        raise BadConfig(f"--out {file} cannot be written: {error}") from None
    return file


def is_study(path: Path) -> bool:
    """Whether a study lies there, or only its rows."""
    return path.suffix == ".jsonl" or (path / "study.json").exists()


def of_runs(
    paths: tuple[Run | str | Path, ...], shelf: Shelf, *, by: str, paired: bool
) -> tuple[str, list[Section]]:
    """What a page about runs says."""
    if by not in BY:
        raise BadConfig(f"no score {by!r}; there are {', '.join(BY)}")
    found = [p if isinstance(p, Run) else Run.open(p) for p in paths]
    runs = dict(zip(distinct([run.path for run in found]), found, strict=True))
    report_runs.check_said(runs)
    report_runs.check_axes(runs)
    compared = side_by_side(runs, by=by, paired=paired)
    return titled(runs), report_runs.sections(runs, compared, shelf, by=by)


def titled(runs: Mapping[str, Run]) -> str:
    first = next(iter(runs.values())).config
    if len(runs) == 1:
        return f"{first['algorithm']} on {first['env']}"
    return f"{', '.join(runs)} on {first['env']}"
