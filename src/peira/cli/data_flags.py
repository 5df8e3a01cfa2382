"""The words of `peira data ...`."""

import argparse
from collections.abc import Callable


Count = Callable[[str], int]
AUDIT = (
    "look for faults of a dataset before it is learned from; exit code 1 where "
    "something would spoil learning"
)


def data_flags(data: argparse.ArgumentParser, count: Count) -> None:
    """All that can be done with datasets; `count` reads a number of things."""
    verbs = data.add_subparsers(dest="data_verb", metavar="VERB", required=True)

    def verb(name: str, help: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=help, description=help)
        one.add_argument("--json", action="store_true", help="print JSON")
        return one

    build = verb("build", "build standard datasets from their recipes")
    build.add_argument("names", nargs="*", metavar="NAME", help="sets to build")
    build.add_argument(
        "--out", default="datasets", help="where they are built, and trained (datasets)"
    )
    build.add_argument("--list", action="store_true", help="list all there are")
    build.add_argument("--quiet", action="store_true", help="no progress")

    info = verb("info", "what a dataset holds")
    info.add_argument("path", help="a file or folder of any format")
    source_flags(info)

    audit = verb("audit", AUDIT)
    audit.add_argument("path", help="a file or folder of any format")
    audit.add_argument("--against", metavar="OTHER", help="another split of the same")
    source_flags(audit)

    convert = verb("convert", "write a dataset in another format")
    convert.add_argument("path", help="a file or folder of any format")
    out_flags(convert)
    source_flags(convert)

    split = verb("split", "deal whole episodes out into several datasets")
    split.add_argument("path", help="a file or folder of any format")
    split.add_argument("out", nargs="+", help="what to write, two or more")
    split.add_argument(
        "--shares", nargs="*", type=float, help="of the episodes for each (equal)"
    )
    split.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    split.add_argument("--to", default="native", metavar="FORMAT", help="(native)")
    source_flags(split)

    collect = verb("collect", "play a policy and keep its episodes")
    collect.add_argument(
        "policy", nargs="?", help="a run, a seed of one, or a policy's folder"
    )
    out_flags(collect)
    collect.add_argument("--random", action="store_true", help="act at random instead")
    collect.add_argument("--episodes", type=count, help="so many episodes")
    collect.add_argument(
        "--steps", type=count, help="or so many steps; the last episode is cut off"
    )
    collect.add_argument(
        "--stochastic", action="store_true", help="let the policy explore"
    )
    collect.add_argument("--seed", type=int, default=0, help="of the episodes (0)")
    collect.add_argument("--env", help="another environment than the run's")


def out_flags(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("out", help="what to write; must not be there yet")
    verb.add_argument(
        "--to",
        default="native",
        metavar="FORMAT",
        help="native, minari, minari-arrow, d4rl, npz, parquet, parquet-episodes or "
        "csv (native)",
    )


def source_flags(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--env", help="whose spaces it has, where the format does not say"
    )
    verb.add_argument(
        "--columns",
        nargs="*",
        default=[],
        metavar="ROLE=NAME",
        help="what the columns of a table are called: obs=x,y reward=r",
    )
