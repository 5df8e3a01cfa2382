"""How many small mistakes would the tests notice? (`make mutate`)

Draws mutants of the mathematics, the stores, the algorithms and some more by seed, runs
for each the tests of its own file in a copy of the repository, and prints those that
survive.

    python tests/mutate.py [--mutants 60] [--seed 0] [--only ops/returns.py]
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).parents[1]
LEAST = 0.8  # of the mutants must be noticed
PATIENCE = 300  # seconds per mutant: one that never ends is noticed, too
TESTS = {
    "ops/bins.py": "tests/ops/test_bins.py",
    "ops/diffusion.py": "tests/ops/test_noise.py",
    "ops/distributions.py": "tests/ops/test_distributions.py",
    "ops/divergences.py": "tests/ops/test_divergences.py",
    "ops/histogram.py": "tests/ops/test_histogram.py",
    "ops/history.py": "tests/algos/test_q_transformer.py",
    "ops/learning.py": "tests/ops/test_learning.py",
    "ops/moments.py": "tests/ops/test_learning.py",
    "ops/proposals.py": "tests/ops/test_proposals.py",
    "ops/regression.py": "tests/ops/test_regression.py",
    "ops/returns.py": "tests/ops/test_returns.py",
    "ops/standard.py": "tests/algos/test_rebrac_edac.py",
    "ops/trust_region.py": "tests/ops/test_trust_region.py",
    "nets/autoregressive.py": "tests/algos/test_heads.py",
    "nets/decoder.py": "tests/nets/test_decoder.py",
    "nets/diffusion.py": "tests/nets/test_unet.py",
    "nets/transformer.py": "tests/nets/test_transformer.py",
    "nets/vae.py": "tests/nets/test_vae.py",
    "data/deal.py": "tests/data/test_deal.py",
    "data/quantiles.py": "tests/data/test_quantiles.py",
    "data/replay.py": "tests/data/test_replay.py",
    "data/ring.py": "tests/data/test_replay.py",
    "data/rollout.py": "tests/data/test_rollout.py",
    "data/sumtree.py": "tests/data/test_sumtree.py",
    "data/to_come.py": "tests/data/test_hindsight.py",
    "envs/noisy.py": "tests/envs/test_make.py",
    "envs/riddles.py": "tests/envs/test_riddles.py",
    "algos/online/actor_critic.py": "tests/algos/test_ppo.py",
    "algos/online/arsq.py": "tests/algos/test_arsq.py",
    "algos/online/dqn.py": "tests/algos/test_dqn.py",
    "algos/online/ppo.py": "tests/algos/test_ppo.py",
    "algos/online/sac.py": "tests/algos/test_td3_sac.py",
    "algos/online/sac_discrete.py": "tests/algos/test_td3_sac.py",
    "algos/online/td3.py": "tests/algos/test_td3_sac.py",
    "algos/online/trpo.py": "tests/algos/test_trpo.py",
    "algos/online/values.py": "tests/algos/test_td3_sac.py",
    "algos/offline/awac.py": "tests/algos/test_awac.py",
    "algos/offline/bc.py": "tests/algos/test_cloning.py",
    "algos/offline/bcq.py": "tests/algos/test_bcq.py",
    "algos/offline/bcq_discrete.py": "tests/algos/test_bcq.py",
    "algos/offline/beams.py": "tests/algos/test_tt.py",
    "algos/offline/bear.py": "tests/algos/test_bear.py",
    "algos/offline/behaviour.py": "tests/algos/test_brac.py",
    "algos/offline/brac.py": "tests/algos/test_brac.py",
    "algos/offline/cql.py": "tests/algos/test_cql.py",
    "algos/offline/cql_discrete.py": "tests/algos/test_cql.py",
    "algos/offline/denoiser.py": "tests/algos/test_diffusion.py",
    "algos/offline/diffusion.py": "tests/algos/test_diffusion.py",
    "algos/offline/dt.py": "tests/algos/test_dt.py",
    "algos/offline/edac.py": "tests/algos/test_rebrac_edac.py",
    "algos/offline/iql.py": "tests/algos/test_iql.py",
    "algos/offline/kl_control.py": "tests/algos/test_kl_control.py",
    "algos/offline/q_transformer.py": "tests/algos/test_q_transformer.py",
    "algos/offline/rebrac.py": "tests/algos/test_rebrac_edac.py",
    "algos/offline/rvs.py": "tests/algos/test_cloning.py",
    "algos/offline/sac_n.py": "tests/algos/test_rebrac_edac.py",
    "algos/offline/sentences.py": "tests/algos/test_tt.py",
    "algos/offline/td3_bc.py": "tests/algos/test_rebrac_edac.py",
    "algos/offline/tt.py": "tests/algos/test_tt.py",
    "evidence/calibration.py": "tests/cli/test_calibrating.py",
    "evidence/lives.py": "tests/evidence/test_grids.py",
    "evidence/studies/coverage.py": "tests/evidence/test_grids.py",
    "evidence/sweeps/outcome.py": "tests/evidence/test_sweeps.py",
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.And: ast.Or,
}
NAMES = {
    "terminated": "truncated",
    "truncated": "terminated",
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "mean": "sum",
    "argmax": "argmin",
    "next_obs": "obs",
    "target_critic": "critic",
    "cos": "sin",
}


class Mutant(NamedTuple):
    file: str
    line: int
    change: str
    source: str


def changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """One node with one mistake, and what the mistake is."""
    new = copy.copy(node)
    match node:
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) if type(op) in OPERATORS:
            new.op = OPERATORS[type(op)]()
            yield f"{type(op).__name__} to {type(new.op).__name__}", new
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"dropped {type(node.op).__name__}", operand
        case ast.Compare(ops=[op]) if type(op) in OPERATORS:
            new.ops = [OPERATORS[type(op)]()]
            yield f"{type(op).__name__} to {type(new.ops[0]).__name__}", new
        case ast.Constant(value=bool(x)):
            yield f"{x} to {not x}", ast.Constant(not x)
        case ast.Constant(value=int(x) | float(x)):
            yield f"{x} to {x + 1}", ast.Constant(x + 1)
        case ast.Attribute(attr=name, ctx=ast.Load()) if name in NAMES:
            new.attr = NAMES[name]
            yield f"{name} to {new.attr}", new
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            new.id = NAMES[name]
            yield f"{name} to {new.id}", new
        case ast.Call(args=[first, second, *rest]):
            new.args = [second, first, *rest]
            yield "swapped the first two arguments", new


def bodies(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs inside functions: no defaults of fields, no types, no messages."""
    for f in ast.walk(tree):
        if isinstance(f, ast.FunctionDef):
            for statement in f.body:
                if not isinstance(statement, ast.FunctionDef):
                    yield statement


def sites(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every expression below a node, and the place it hangs from."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.FunctionDef):
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                yield node, field, i if isinstance(value, list) else None, child
                yield from sites(child)


def mutants(file: str) -> Iterator[Mutant]:
    tree = ast.parse((ROOT / "src/peira" / file).read_text())
    for statement in bodies(tree):
        for parent, field, i, child in sites(statement):
            for change, new in changed(child):
                slot = getattr(parent, field)
                if i is None:
                    setattr(parent, field, new)
                else:
                    slot[i] = new
                source = ast.unparse(ast.fix_missing_locations(tree))
                yield Mutant(file, getattr(child, "lineno", 0), change, source)
                if i is None:
                    setattr(parent, field, child)
                else:
                    slot[i] = child


def noticed(mutant: Mutant, home: Path) -> bool:
    """Whether the tests of its file fail with the mutant in place."""
    path = home / "src/peira" / mutant.file
    original = path.read_text()
    path.write_text(mutant.source)
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        done = subprocess.run(
            [*words, TESTS[mutant.file]],
            cwd=home,
            env=os.environ | {"PYTHONPATH": str(home / "src")},
            timeout=PATIENCE,
            check=False,
            **quiet,
        )
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutants", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TESTS, default=None)
    args = parser.parse_args()
    pool = [m for f in ([args.only] if args.only else TESTS) for m in mutants(f)]
    drawn = random.Random(args.seed).sample(pool, min(args.mutants, len(pool)))
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for part in ("src", "tests", "pyproject.toml"):
            place = ROOT / part
            copy_of = shutil.copytree if place.is_dir() else shutil.copy
            copy_of(place, home / part)
        for i, mutant in enumerate(drawn, 1):
            killed = noticed(mutant, home)
            survivors += [] if killed else [mutant]
            where = f"{mutant.file}:{mutant.line}  {mutant.change}"
            word = "noticed " if killed else "SURVIVED"
            print(f"{i}/{len(drawn)}  {word}  {where}", flush=True)
    rate = 1 - len(survivors) / len(drawn)
    print(f"{rate:.0%} of {len(drawn)} mutants noticed ({len(pool)} possible)")
    return 0 if rate >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
