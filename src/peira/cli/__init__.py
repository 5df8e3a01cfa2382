"""The command line: `peira VERB ...`.

Nothing heavy is imported before a verb is chosen.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from .data_flags import data_flags
from .study_flags import study_flags


# Fields of a plan that may change when a run goes on.
LATER = (
    "steps",
    "online",
    "share",
    "checkpoint_every",
    "keep",
    "best",
    "on_fault",
    "on_nan",
    "patience",
    "memory",
    "resident",
)
OWN = {  # verbs whose flags depend on the algorithm
    "train": "train an algorithm: peira train ALGORITHM ENV [--field value ...]",
    "check": "check an algorithm: peira check NAME|MODULE:CLASS [--field value ...]",
    "sweep": "find settings: peira sweep run ALGORITHM ENV --grid|--search ...",
}
DOCTOR = (
    "examine an environment by playing it; exit code 1 where something would spoil "
    "learning"
)
STUDY = "claims of the field: run them, and see what comes out"
DATA = "build, look at, audit, convert, split and collect datasets"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. A person's mistake is one line on standard
    error and code 2, a stop is 130 (by SIGTERM 143), a check that fails 1, and a
    traceback is a bug of ours."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        run(words)
        sys.stdout.flush()
        return 0
    except SystemExit as stop:  # --help and --version; a check that fails
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        print(f"peira: stopped; {stop}".strip("; "), file=sys.stderr)
        return 130 if type(stop) is KeyboardInterrupt else 143
    except BrokenPipeError:  # the reader has seen enough, and so has the interpreter
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from .faults import explain

        print(f"peira: {explain(error)}", file=sys.stderr)
        return 2


def run(words: list[str]) -> None:
    """Find the verb and do it."""
    if words and words[0] in OWN:
        prepare()
        module = importlib.import_module(f".{words[0]}", __name__)
        return module.command(words[1:])
    said = parser().parse_args(words)
    prepare()
    from . import verbs

    getattr(verbs, said.verb.replace("-", "_"))(said)


def prepare() -> None:
    """What must be so before any work is done, here or in another process."""
    from .cache import keep_compiled

    keep_compiled()
    from ..core.checks import plain_warnings

    plain_warnings()


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        from ..core import BadConfig

        raise BadConfig(f"{message}; see {self.prog} --help")


def parser() -> Parser:
    """All verbs with their arguments."""
    top = Parser(prog="peira", description="Reinforcement learning in JAX.")
    top.add_argument("--version", action="version", version=f"peira {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, help: str, *, json: bool = True) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=help, description=help)
        if json:
            one.add_argument("--json", action="store_true", help="print JSON")
        return one

    for name, help in OWN.items():
        verb(name, help)

    resume_flags(verb("resume", "go on exactly where a run stopped"))

    evaluating_flags(verb("evaluate", "play fresh episodes with what was learned"))
    calibrating_flags(
        verb("calibrate", "see whether a policy earns what it is asked for")
    )

    watch = verb("watch", "film an episode of a run's first seed")
    watch.add_argument("path", help="a run, a seed of one, or a policy's folder")
    watch.add_argument("--out", help="file to write (RUN/episode.mp4)")
    watch.add_argument("--seed", type=int, default=0, help="of the episode (0)")
    watch.add_argument("--env", help="another environment than the run's")

    again = verb("replay-fault", "make a run's recorded faults happen again")
    again.add_argument("path", help="a run, or a seed of one")

    profile = verb("profile", "measure where the time of a run goes")
    profile.add_argument("run", help="the run's directory")
    profile.add_argument(
        "--seconds", type=float, default=2.0, help="of each measurement (2)"
    )

    export_flags(verb("export", "write a policy for use without Peira, and check it"))
    doctor_flags(verb("doctor", DOCTOR))

    data_flags(verb("data", DATA, json=False), count)
    study_flags(verb("study", STUDY, json=False), count)

    runs = verb("runs", "list runs")
    runs.add_argument("directory", nargs="?", default="runs", help="(runs)")

    comparing_flags(verb("compare", "compare runs with the first of them"))
    reporting_flags(verb("report", "write all about runs, a study or a sweep as HTML"))
    power_flags(verb("power", "how many seeds does it take to see a difference?"))
    judging_flags(verb("ope", "judge a policy by a dataset that another collected"))
    choosing_flags(verb("select", "choose one of several policies, and score it"))
    verb("algorithms", "list the algorithms and the actions they can choose")
    return top


def evaluating_flags(evaluate: argparse.ArgumentParser) -> None:
    playing_flags(evaluate)
    evaluate.add_argument(
        "--stochastic", action="store_true", help="let the policy explore"
    )


def calibrating_flags(calibrate: argparse.ArgumentParser) -> None:
    playing_flags(calibrate)
    calibrate.add_argument(
        "--asked", type=numbers, required=True, help="returns: --asked=-400,-200"
    )


def playing_flags(verb: argparse.ArgumentParser) -> None:
    """Whose episodes are played, and which."""
    verb.add_argument("path", help="a run, a seed of one, or a policy's folder")
    verb.add_argument("--episodes", type=count, default=100, help="of each (100)")
    verb.add_argument("--seed", type=int, default=0, help="of the episodes (0)")
    verb.add_argument("--env", help="another environment than the run's")


def resume_flags(resume: argparse.ArgumentParser) -> None:
    resume.add_argument("run", help="directory of the run")
    resume.add_argument("--quiet", action="store_true", help="no progress, no summary")
    resume.add_argument("--env", help="to go on in, after a dataset; needs --online")
    for field in LATER:
        flag = f"--{field.replace('_', '-')}"
        resume.add_argument(flag, help="as in `peira train`; changes the run's")


def export_flags(export: argparse.ArgumentParser) -> None:
    export.add_argument("path", help="a run, a seed of one, or a policy's folder")
    export.add_argument("--to", choices=("onnx", "stablehlo", "numpy"), required=True)
    export.add_argument("--out", help="what to write (beside the policy's folder)")
    export.add_argument("--env", help="another environment than the run's")
    export.add_argument(
        "--tolerance", type=float, default=1e-5, help="largest difference (1e-5)"
    )


def doctor_flags(doctor: argparse.ArgumentParser) -> None:
    doctor.add_argument("env", help="id, or module:function")
    doctor.add_argument("--episodes", type=count, default=20, help="(20)")
    doctor.add_argument("--seed", type=int, default=0, help="of the first episode (0)")
    doctor.add_argument(
        "--env-kwargs",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="arguments for the environment, the value JSON or text",
    )
    doctor.add_argument(
        "--backend",
        choices=["auto", "jax", "gymnasium"],
        default="auto",
        help="whose environment: our JAX one where there is one, or Gymnasium's",
    )


def comparing_flags(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("runs", nargs="+", metavar="run", help="two runs or more")
    compare.add_argument("--plot", default="compare.png", help="(compare.png)")
    scoring_flags(compare)


def reporting_flags(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "paths", nargs="+", metavar="path", help="runs, or one study or sweep"
    )
    report.add_argument(
        "--out", help="file to write (report.html: of one folder, in it)"
    )
    scoring_flags(report)


def scoring_flags(compare: argparse.ArgumentParser) -> None:
    compare.add_argument(
        "--by",
        choices=("final", "area", "best"),
        default="final",
        help="what a seed scores: its last evaluation, the mean of its curve, or its "
        "best checkpoint by episodes that did not choose it (final)",
    )
    compare.add_argument(
        "--paired",
        action="store_true",
        help="seed by seed, where a seed gives both runs something that decides",
    )


def power_flags(power: argparse.ArgumentParser) -> None:
    power.add_argument(
        "--difference", type=float, required=True, help="of the means, to be seen"
    )
    power.add_argument(
        "--spread",
        type=float,
        required=True,
        help="standard deviation over seeds; of the pairs' differences if --paired",
    )
    power.add_argument("--seeds", type=count, help="also say what so many see")
    power.add_argument("--chance", type=float, default=0.8, help="to see it (0.8)")
    power.add_argument("--level", type=float, default=0.95, help="of the test (0.95)")
    power.add_argument("--paired", action="store_true", help="seed by seed")


def judging_flags(ope: argparse.ArgumentParser) -> None:
    ope.add_argument("path", help="a run, a seed of one, or a policy's folder")
    ope.add_argument("--data", required=True, help="the dataset to judge by")
    ope.add_argument(
        "--method", default="fqe,wpdis,wdr,bound", help="(fqe,wpdis,wdr,bound)"
    )
    ope.add_argument(
        "--interval", choices=("t", "bootstrap"), default="t", help="over episodes (t)"
    )
    ope.add_argument(
        "--floor", type=float, help="least return of an episode, for bound"
    )
    effort_flags(ope)


def choosing_flags(select: argparse.ArgumentParser) -> None:
    select.add_argument("runs", nargs="+", metavar="run", help="runs, or policies")
    select.add_argument("--data", help="a dataset to judge by")
    select.add_argument(
        "--budget", type=int, default=0, help="environment episodes to spend (0)"
    )
    select.add_argument("--env", help="another environment than the runs'")
    select.add_argument("--method", default="fqe", help="that judges by the data (fqe)")
    effort_flags(select)


def effort_flags(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--gamma", type=float, help="discount (the algorithm's)")
    verb.add_argument(
        "--stochastic", action="store_true", help="judge the policy as it explores"
    )
    verb.add_argument("--members", type=count, default=5, help="networks of fqe (5)")
    verb.add_argument(
        "--updates", type=count, default=20_000, help="of each network (20000)"
    )
    verb.add_argument("--level", type=float, default=0.95, help="of intervals (0.95)")
    verb.add_argument("--seed", type=int, default=0, help="of everything drawn (0)")


def count(word: str) -> int:
    """A number of things, at least one."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def numbers(words: str) -> list[float]:
    """Numbers with commas between them."""
    return [float(word) for word in words.split(",")]
