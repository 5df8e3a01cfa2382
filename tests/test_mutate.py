"""`make mutate` breaks every file that it should, in more than one way."""

from mutate import mutants, ROOT, TESTS


SOURCE = ROOT / "src/peira"


def test_all_mathematics_and_algorithms_are_broken_and_have_tests():
    files = [*SOURCE.glob("ops/*.py"), *SOURCE.glob("algos/*/*.py")]
    named = {str(f.relative_to(SOURCE)) for f in files if f.name != "__init__.py"}
    assert named <= TESTS.keys()
    assert all((SOURCE / file).exists() for file in TESTS)
    assert all((ROOT / test).exists() for test in TESTS.values())


def test_a_mutant_differs_in_one_place(monkeypatch, tmp_path):
    file = tmp_path / "src/peira/x.py"
    file.parent.mkdir(parents=True)
    file.write_text("def f(x, y):\n    return min(x, y) - 2\n")
    monkeypatch.setattr("mutate.ROOT", tmp_path)
    made = {m.change: m.source.splitlines()[1].strip() for m in mutants("x.py")}
    assert made == {
        "Sub to Add": "return min(x, y) + 2",
        "min to max": "return max(x, y) - 2",
        "swapped the first two arguments": "return min(y, x) - 2",
        "2 to 3": "return min(x, y) - 3",
    }
