"""The front door: help, errors in one line, exit codes, and nothing loaded early."""

import os
import subprocess
import sys
import warnings

import pytest

import peira
from peira import algos, cli
from peira.cli import main
from peira.cli.cache import keep_compiled
from peira.cli.flags import one_line, Options
from peira.engine.fields import hints, meanings
from peira.engine.plan import Plan


HEAVY = ("jax", "gymnasium", "matplotlib", "pyarrow", "tyro", "rich", "numpy", "scipy")


@pytest.mark.parametrize(
    "work",
    [
        "import peira",
        "import peira.cli; peira.cli.main(['--help'])",
        "import peira.cli; peira.cli.main(['--version'])",
        "import peira.cli; peira.cli.main(['evaluate', '--help'])",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(work):
    check = f"import sys; {work}; sys.exit(' '.join({{*{HEAVY}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_a_reader_that_leaves_early_is_no_error():
    """The pipe is closed before the help is written to it."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "peira", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_everything_promised_can_be_had():
    assert set(peira.__all__) <= set(dir(peira))
    for name in peira.__all__:
        assert getattr(peira, name) is not None
    with pytest.raises(AttributeError, match="trian"):
        _ = peira.trian


def test_version(capsys):
    assert main(["--version"]) == 0
    assert peira.__version__ in capsys.readouterr().out


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("not a directory")
    tables = 'algorithm = "ppo"\nenv = "CartPole-v1"\n'
    (tmp_path / "field.toml").write_text(tables + "[hyper]\ngama = 0.9\n")
    (tmp_path / "type.toml").write_text(tables + '[hyper]\ngamma = "high"\n')
    (tmp_path / "table.toml").write_text(tables + "hyper = 3\n")
    (tmp_path / "entry.toml").write_text(tables + "[plam]\nsteps = 3\n")
    (tmp_path / "garbage.toml").write_bytes(b"\xff\x00 = = [")
    (tmp_path / "not-a-run").mkdir()
    return tmp_path


BAD = {
    "train sca Pendulum-v1": ["algorithm", "sca", "sac"],
    "train ppo CartPloe-v1": ["environment", "CartPloe-v1", "CartPole-v1"],
    "train ppo CartPole-v1 --gama 0.9": ["gama", "gamma"],
    "train ppo CartPole-v1 --evaluate-evry 9": ["evaluate-evry", "evaluate-every"],
    "train ppo CartPole-v1 --gamma 1.5": ["PPO.gamma", "1.5", "[0, 1]"],
    "train ppo CartPole-v1 --steps 0": ["Plan.steps", "0", "[1, inf)"],
    "train ppo CartPole-v1 --seeds 3,3": ["Plan.seeds", "distinct"],
    "train ppo CartPole-v1 --seeds ,": ["Plan.seeds"],
    "train ppo CartPole-v1 --gamma high": ["PPO.gamma", "high", "FLOAT"],
    "train ppo CartPole-v1 --steps 1.5": ["Plan.steps", "1.5", "INT"],
    "train ppo CartPole-v1 --activation sine": ["PPO.activation", "tanh,relu"],
    "train ppo CartPole-v1 --gamma": ["--gamma"],
    "train ppo CartPole-v1 extra": ["extra", "usage"],
    "train ppo CartPole-v1 --anneal extra": ["extra", "usage"],
    "train --steps 100 ppo CartPole-v1": ["before the flags", "usage"],
    "train ppo CartPole-v1 --seeds": ["Plan.seeds needs a value"],
    "train ppo CartPole-v1 --name a/b": ["a/b", "not a path"],
    "train ppo ???": ["'???'", "none of the"],
    "train ppo json:lods": ["function of json 'lods'", "did you mean loads"],
    "train ppo": ["environment", "usage"],
    "train": ["algorithm", "usage"],
    "train dqn Pendulum-v1": ["DQN", "Box", "Discrete", ": arsq, awac, ", " sac, "],
    "train sac CartPole-v1": ["SAC", "Discrete(2)", " dqn, ", " ppo, "],
    "train dqn CartPole-v1 --steps 500": ["Plan.steps", "1000"],
    "train ppo CartPole-v1 --runs file": ["cannot write", "file"],
    "train ppo CartPole-v1 --runs . --name taken": ["taken exists", "--name"],
    "train ppo CartPole-v1 --env-kwargs gravity": ["key=value"],
    "train ppo CartPole-v1 --log wandbb": ["Options.log", "wandb"],
    "train --config field.toml": ["gama", "gamma"],
    "train --config type.toml": ["PPO.gamma", "high"],
    "train --config table.toml": ["hyper", "table"],
    "train --config entry.toml": ["plam", "plan"],
    "train --config garbage.toml": ["garbage.toml"],
    "train --config missing.toml": ["missing.toml"],
    "train --config": ["--config"],
    "resume not-a-run": ["not-a-run", "config.toml"],
    "evaluate not-a-run": ["not-a-run"],
    "evaluate nowhere": ["nowhere does not exist"],
    "resume nowhere": ["nowhere does not exist"],
    "evaluate not-a-run --episodes 0": ["--episodes", "at least 1"],
    "watch not-a-run": ["not-a-run"],
    "export not-a-run --to onnx": ["not-a-run"],
    "export not-a-run": ["--to"],
    "export not-a-run --to torch": ["torch", "onnx"],
    "export nowhere --to numpy --tolerance low": ["--tolerance", "low"],
    "compare not-a-run nowhere": ["not-a-run"],
    "compare not-a-run": ["two runs"],
    "compare not-a-run nowhere --by worst": ["--by", "worst", "area"],
    "power --difference 1": ["--spread"],
    "power --difference 0 --spread 1": ["difference of 0", "100,000 runs"],
    "power --difference 1 --spread -1": ["spread of -1"],
    "runs nowhere": ["nowhere"],
    "evaluat x": ["evaluat", "evaluate"],
    "": ["VERB"],
}


@pytest.mark.parametrize("line", BAD)
def test_a_mistake_is_one_line_and_code_two(line, home, capsys):
    before = sorted(home.rglob("*"))
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("peira: ")
    assert err.count("\n") == 1
    for word in BAD[line]:
        assert word in err
    left = {p for p in home.rglob("*") if p.parts[len(home.parts)] != "cache"}
    assert sorted(left) == before  # nothing half begun lies about


def test_a_coloured_box_is_read_as_well():
    box = (
        "\x1b[31m╭─\x1b[0m \x1b[1mMissing\x1b[0m ─╮\n"
        "\x1b[31m│\x1b[0m \x1b[mMissing value\x1b[0m \x1b[31m│\x1b[0m\n"
        "│ for '--gamma'. │\n│ ────── │\n│ For help │\n╰────╯\n"
    )
    assert one_line(box) == "Missing value for '--gamma'."
    assert one_line("╭─ Error ─╮\n│ What. │\n╰─────────╯\n") == "What."


def test_any_other_error_is_a_bug_and_shows_itself(monkeypatch):
    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["runs"])


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(monkeypatch, capsys):
    def warn(_):
        for text in ("\x1b[33mWARN: one\nand two\x1b[0m", "one and two"):
            warnings.warn(text, stacklevel=1)

    monkeypatch.setattr("peira.cli.verbs.algorithms", warn)
    assert main(["algorithms"]) == 0
    assert capsys.readouterr().err == "peira: warning: one and two\n"


def test_a_stop_says_how_to_go_on(monkeypatch, capsys):
    def stopped(_):
        raise KeyboardInterrupt("go on with: peira resume runs/a")

    monkeypatch.setattr(cli, "run", stopped)
    assert main(["train"]) == 130
    assert (
        capsys.readouterr().err == "peira: stopped; go on with: peira resume runs/a\n"
    )


@pytest.mark.parametrize("name", algos.catalogue)
def test_help_shows_every_field_with_its_meaning(name, capsys):
    assert main(["train", name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for cls in (algos.get(name), Plan, Options):
        meaning = meanings(cls)
        for field in hints(cls):
            assert f"-{field.replace('_', '-')} " in shown
            assert meaning[field] in shown


@pytest.mark.parametrize("name", algos.catalogue)
def test_no_field_means_two_things(name):
    fields = [f for cls in (algos.get(name), Plan, Options) for f in hints(cls)]
    assert len(fields) == len(set(fields))


def test_compiled_programs_are_kept_where_one_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PEIRA_CACHE", str(tmp_path / "here"))
    keep_compiled()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "here" / "jax")
    assert (tmp_path / "here" / "jax").is_dir()


def test_without_a_place_to_write_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PEIRA_CACHE", str(tmp_path / "file"))
    keep_compiled()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
