"""The shape of the source: floors, one parent per class, short files, nothing unsafe.

Read from the syntax alone; nothing is imported. Every rule is also shown a snippet
that breaks it.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest


ROOT = Path(__file__).parents[1]
FLOORS = ["core", "nets", "ops", "data", "envs", "algos", "engine", "evidence", "cli"]
# Two floors that meet in core's protocols only.
STRANGERS = {("algos", "envs"), ("engine", "algos")}
LONGEST_FUNCTION, LONGEST_FILE = 60, 400
UNSAFE = {"eval", "exec", "os.system", "os.popen", "__import__"}
ABSOLUTE = re.compile(r"/(home|tmp|root|work|Users|usr|opt|var)/|[A-Z]:\\")
UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}


class File(NamedTuple):
    """One module: where it stands, from `peira` on, and what it says."""

    path: tuple[str, ...]
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def floor(self) -> str | None:
        """The floor it stands on; `peira` itself is the roof and sees everything."""
        return self.path[1] if len(self.path) > 2 else None


SOURCE = [
    File(p.relative_to(ROOT / "src").parts, p.read_text())
    for p in sorted((ROOT / "src").rglob("*.py"))
]
Rule = Callable[[list[File]], Iterator[str]]


def imports(file: File) -> Iterator[tuple[str, ...]]:
    """The modules a file imports, in full."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            package = file.path[: len(file.path) - node.level] if node.level else ()
            module = (*package, *(node.module or "").split("."))
            yield from ((*filter(None, module), alias.name) for alias in node.names)


def classes(files: list[File]) -> dict[str, ast.ClassDef]:
    found = (n for f in files for n in ast.walk(f.tree))
    return {n.name: n for n in found if isinstance(n, ast.ClassDef)}


def name_of(node: ast.expr) -> str:
    """`a.b.C` of `a.b.C[T](x)`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return ast.unparse(node)


def parents(node: ast.ClassDef, known: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    names = [name_of(b).rpartition(".")[2] for b in node.bases]
    return [known[n] for n in names if n in known]


def methods(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """Every method's name, and whether it is abstract."""
    for f in node.body:
        if isinstance(f, ast.FunctionDef):
            marks = [name_of(d) for d in f.decorator_list]
            yield f.name, any("abstract" in m for m in marks)


def upward_imports(files: list[File]) -> Iterator[str]:
    for file in files:
        for module in imports(file):
            if file.floor not in FLOORS or module[0] != "peira" or len(module) < 2:
                continue
            here, there = file.floor, module[1]
            if there not in FLOORS:
                continue
            above = FLOORS.index(there) > FLOORS.index(here)
            if above or (here, there) in STRANGERS:
                yield f"{'/'.join(file.path)} imports {'.'.join(module)}"


def unknown_floors(files: list[File]) -> Iterator[str]:
    for file in files:
        if file.floor is not None and file.floor not in FLOORS:
            yield f"{'/'.join(file.path)} stands on no floor"


def overridden_methods(files: list[File]) -> Iterator[str]:
    known = classes(files)
    for node in known.values():
        for parent in parents(node, known):
            concrete = {m for m, abstract in methods(parent) if not abstract}
            concrete -= {"__init__", "__check_init__"}
            for m in concrete & {m for m, _ in methods(node)}:
                yield f"{node.name}.{m} overrides {parent.name}.{m}"


def deep_inheritance(files: list[File]) -> Iterator[str]:
    known = classes(files)

    def depth(node: ast.ClassDef) -> int:
        return 1 + max((depth(p) for p in parents(node, known)), default=0)

    for node in known.values():
        if len(parents(node, known)) > 1:
            yield f"{node.name} has two parents"
        errors = "Error" in node.name or "Fault" in node.name
        if depth(node) > 2 and not errors:
            yield f"{node.name} is {depth(node)} deep"


def calls_to_super(files: list[File]) -> Iterator[str]:
    """An exception's message is set by `super().__init__`; nothing else calls it."""
    for node in classes(files).values():
        bases = " ".join(map(name_of, node.bases))
        if re.search("Error|Exception|Fault", bases):
            continue
        for n in ast.walk(node):
            if isinstance(n, ast.Call) and name_of(n.func) == "super":
                yield f"{node.name} calls super()"


def unsafe_calls(files: list[File]) -> Iterator[str]:
    for file in files:
        for module in imports(file):
            if module[0] in UNSAFE_MODULES:
                yield f"{'/'.join(file.path)} imports {module[0]}"
        for n in ast.walk(file.tree):
            if isinstance(n, ast.Call) and ast.unparse(n.func) in UNSAFE:
                yield f"{'/'.join(file.path)} calls {ast.unparse(n.func)}"
            allowed = isinstance(n, ast.keyword) and ast.unparse(n.value) == "False"
            if getattr(n, "arg", None) in ("shell", "allow_pickle") and not allowed:
                yield f"{'/'.join(file.path)} passes {n.arg}"


def long_things(files: list[File]) -> Iterator[str]:
    for file in files:
        if (n := len(file.text.splitlines())) > LONGEST_FILE:
            yield f"{'/'.join(file.path)} has {n} lines"
        for f in ast.walk(file.tree):
            if isinstance(f, ast.FunctionDef):
                n = (f.end_lineno or 0) - f.lineno + 1
                if n > LONGEST_FUNCTION:
                    yield f"{'/'.join(file.path)}: {f.name} has {n} lines"


def undocumented_things(files: list[File]) -> Iterator[str]:
    """Modules with anything in them, and whatever public `__all__` of a floor names."""
    for file in files:
        if file.text.strip() and not ast.get_docstring(file.tree):
            yield f"{'/'.join(file.path)} does not say what it is for"
    tops = [n for f in files for n in f.tree.body]
    defined = [n for n in tops if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    explained = {n.name for n in defined if ast.get_docstring(n)}
    for name in sorted(set(exported(files)) & {n.name for n in defined} - explained):
        yield f"{name} is public and not explained"


def exported(files: list[File]) -> Iterator[str]:
    for file in files:
        for n in file.tree.body:
            if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__":
                yield from ast.literal_eval(n.value)


def machine_paths(files: list[File]) -> Iterator[str]:
    for file in files:
        for n in ast.walk(file.tree):
            text = n.value if isinstance(n, ast.Constant) else None
            if isinstance(text, str) and ABSOLUTE.match(text):
                yield f"{'/'.join(file.path)} names {text}"


PARENT = "class A(Module):\n    def f(self): ...\n"
# Each rule, and a file that breaks it.
RULES: dict[Rule, File] = {
    upward_imports: File(("peira", "ops", "x.py"), "from ..data import Replay"),
    unknown_floors: File(("peira", "misc", "x.py"), ""),
    overridden_methods: File(
        ("peira", "x.py"), PARENT + "class B(A):\n    def f(self): ..."
    ),
    deep_inheritance: File(
        ("peira", "x.py"), "class A: ...\nclass B(A): ...\nclass C(B[int]): ..."
    ),
    calls_to_super: File(
        ("peira", "x.py"), "class A:\n    def f(self): super().__init__()"
    ),
    unsafe_calls: File(("peira", "x.py"), "import subprocess\nrun('ls', shell=True)"),
    long_things: File(("peira", "x.py"), "def f():\n" + "    x = 1\n" * 60),
    undocumented_things: File(("peira", "x.py"), "x = 1"),
    machine_paths: File(("peira", "x.py"), "x = '/home/someone/data'"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_rule(rule):
    assert list(rule([RULES[rule]]))  # it can fail
    assert not list(rule(SOURCE))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("peira", "algos", "x.py"), "from ..envs import make"),
        (("peira", "algos", "online", "x.py"), "from ...engine.loop import beat"),
        (("peira", "engine", "x.py"), "from ..algos import get"),
        (("peira", "core", "x.py"), "import peira.nets"),
        (("peira", "nets", "x.py"), "from peira import ops"),
    ],
)
def test_every_way_up_is_seen(path, text):
    assert list(upward_imports([File(path, text)]))


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec('1')",
        "import os\nos.system('ls')",
        "np.load(f, allow_pickle=True)",
    ],
)
def test_everything_unsafe_is_seen(text):
    assert list(unsafe_calls([File(("peira", "x.py"), text)]))


def test_there_is_something_to_check():
    assert {f.floor for f in SOURCE} >= {"core", "nets", "ops", "data", "algos"}
    assert {"Algorithm", "PPO", "Replay"} <= classes(SOURCE).keys()
