"""The words of `peira study ...`."""

import argparse
from collections.abc import Callable


Count = Callable[[str], int]


def study_flags(study: argparse.ArgumentParser, count: Count) -> None:
    """All that can be done with studies; `count` reads a number of things."""
    verbs = study.add_subparsers(dest="study_verb", metavar="VERB", required=True)

    def verb(name: str, help: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=help, description=help)
        one.add_argument("--json", action="store_true", help="print JSON")
        return one

    verb("list", "list the studies that come with Peira")

    show = verb("show", "what a study claims and compares, and how it is decided")
    show.add_argument("study", help="a name, or a file.toml")

    run = verb("run", "run a study to its verdict")
    run.add_argument("study", help="a name, or a file.toml")
    run.add_argument("--tier", default="smoke", help="smoke, quick or full (smoke)")
    run.add_argument(
        "--seeds", type=int, default=0, metavar="FIRST", help="the first seed (0)"
    )
    run.add_argument("--out", default="studies", help="where its folder lies (studies)")
    work_flags(run, count)

    resume = verb("resume", "go on with a study that was stopped")
    resume.add_argument("path", help="its folder")
    work_flags(resume, count)

    verdict = verb("verdict", "recompute the verdict from the rows")
    verdict.add_argument("rows", help="a file of rows, or the folder of a study")
    verdict.add_argument(
        "--study", help="its file (beside the rows, or the one of its name)"
    )


def place_flags(verb: argparse.ArgumentParser, count: Count) -> None:
    verb.add_argument(
        "--at-once", type=count, help="runs side by side (as many as there are cores)"
    )
    verb.add_argument(
        "--on", default="local", help="local, ray (started here) or ray://HOST:PORT"
    )


def work_flags(verb: argparse.ArgumentParser, count: Count) -> None:
    place_flags(verb, count)
    verb.add_argument(
        "--data", default="datasets", help="where datasets lie, or are built (datasets)"
    )
    verb.add_argument("--quiet", action="store_true", help="no progress")
