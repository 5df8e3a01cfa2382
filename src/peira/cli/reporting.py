"""`peira report`: everything about runs, a study or a sweep on one page."""

from collections.abc import Mapping
from pathlib import Path

from .. import __version__
from ..core import BadConfig
from ..engine.files import write_file
from ..engine.provenance import now
from ..engine.run import Run
from ..evidence.report import library, page, Section, Shelf
from . import report_runs, report_study, report_sweep
from .comparing import BY, distinct, side_by_side


WHOLE = {"study": report_study.sections, "sweep": report_sweep.sections}
"""What a page is made of by one folder alone."""


def report(
    *paths: Run | str | Path,
    out: str | Path | None = None,
    by: str = "final",
    paired: bool = False,
) -> Path:
    """Write one page of HTML about runs of one environment, about a study or about a
    sweep, that opens from the disk and loads nothing; where it is.

    `paths` are runs, the folder of one study (or a file of its rows), or that of one
    sweep. `by` and `paired` are those of `compare`. `out` is `report.html` in the
    folder, or here for several runs. Raises `PeiraError`, with nothing written.
    """
    if not paths:
        raise BadConfig("a report needs a run, a study or a sweep")
    draws = library()
    places = [p.path if isinstance(p, Run) else Path(p) for p in paths]
    alone = [p for p in places if kind_of(p) != "run"]
    home = places[0] if len(places) == 1 else Path()
    file = Path(
        out or (home.parent if home.suffix == ".jsonl" else home) / "report.html"
    )
    if file.suffix not in (".html", ".htm"):
        raise BadConfig(f"--out {file}: a report is HTML; name it something.html")
    if not alone:
        title, sections = of_runs(paths, Shelf(file), by=by, paired=paired)
    elif len(places) > 1:
        kind = kind_of(alone[0])
        raise BadConfig(f"{alone[0]} is a {kind}: a report is of one, or of runs")
    elif paired or by != "final":
        kind = kind_of(alone[0])
        raise BadConfig(f"{alone[0]} is a {kind}: its file says what is compared")
    else:
        title, sections = WHOLE[kind_of(alone[0])](alone[0])
    lead = f"Written {now()} by Peira {__version__}; needs no network."
    text = page(title, lead, sections, draws=draws)
    try:
        write_file(file, text.encode())
    except OSError as error:
        raise BadConfig(f"--out {file} cannot be written: {error}") from None
    return file


def kind_of(path: Path) -> str:
    """What lies there: a study (perhaps only its rows), a sweep, or else a run."""
    if path.suffix == ".jsonl" or (path / "study.json").exists():
        return "study"
    return "sweep" if (path / "sweep.json").exists() else "run"


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
