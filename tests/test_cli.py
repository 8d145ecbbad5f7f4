"""The command line as a user meets it: exit codes, and errors without tracebacks."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests_support import heed_interrupts

RECIPES = Path(__file__).parents[1] / "recipes"


def unibert(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "unibert", *arguments], capture_output=True, text=True, cwd=cwd)


FINETUNE = ["finetune", "--model", "m", "--output", "o"]


@pytest.mark.parametrize(
    "verb", [[], ["corpus"], ["pretrain"], ["finetune"], ["benchmark"], ["report"], ["push"], ["quickstart"], ["run"]]
)
def test_every_verb_explains_itself(verb: list[str]) -> None:
    out = unibert(*verb, "--help")
    assert out.returncode == 0
    assert "Usage" in out.stdout


def test_the_version_is_told() -> None:
    assert unibert("--version").stdout.startswith("unibert 0.")


def test_check_and_show(tmp_path: Path) -> None:
    out = unibert("recipe", "check", str(RECIPES / "paper.toml"))
    assert (out.returncode, out.stderr) == (0, "")
    shown = unibert("recipe", "show", str(RECIPES / "paper.toml"), "--set", "seed=7").stdout
    assert "seed = 7" in shown
    (tmp_path / "copy.toml").write_text(shown, encoding="utf-8")
    assert unibert("recipe", "check", str(tmp_path / "copy.toml")).returncode == 0
    assert "learning_rate = 0.0005" in unibert("recipe", "show").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["recipe", "check", "none.toml"], 2, "no such recipe"),
        (["recipe", "check", str(RECIPES / "paper.toml"), "--set", "pretrain.stesp=1"], 2, "did you mean 'steps'"),
        (["corpus", "build", str(RECIPES / "paper.toml")], 1, "dumps: no such dump"),
        (["corpus", "build", str(RECIPES / "paper.toml"), "--set", "corpus.dumps=[]"], 2, "nothing to read"),
        (["tokens", "build", str(RECIPES / "paper.toml")], 1, "Run `unibert corpus build` first"),
        (["pretrain", str(RECIPES / "paper.toml")], 1, "Run `unibert tokens build` first"),
        (["pretrain", str(RECIPES / "paper.toml"), "--only", "nobody"], 2, "neither 'teacher' nor 'student'"),
        (["benchmark", str(RECIPES / "paper.toml")], 2, "nothing to test on"),
        (["benchmark", str(RECIPES / "mini.toml"), "--dry-run"], 1, "Run `unibert pretrain --only student` first"),
        (["benchmark-worker", "nowhere", "--array", "a", "--index", "0"], 1, "no such file"),
        (["report", "nowhere"], 2, "no such run folder or recipe"),
        ([*FINETUNE, "--task", "chess", "--train", "t"], 1, "The tasks are: ner, nli, qa, sts"),
        ([*FINETUNE, "--task", "ner", "--train", "missing.conll"], 1, "missing.conll: no such file"),
        ([*FINETUNE, "--task", "nli", "--train", "a.csv", "--train", "b.csv"], 2, "a language each"),
        ([*FINETUNE, "--task", "nli", "--train", "de=a.csv", "--train", "de=b.csv"], 2, "de was given before"),
        ([*FINETUNE, "--task", "nli", "--train", "t", "--column", "premise"], 2, "NAME=VALUE is expected"),
        ([*FINETUNE, "--task", "nli", "--train", "t", "--column", "premise"], 2, "Write NAME=YOURS."),
        ([*FINETUNE, "--task", "ner", "--train", "t", "--method", "magic"], 2, "--method: Input should be 'full'"),
        (["predict", "--model", "m", "--input", "i", "--output", "o.jsonl"], 1, "not a model folder"),
        (["data", "check", "xnlo", "--folder", "."], 1, "xnli"),
        (["push", "nowhere", "--to", "someone/model"], 1, "no such folder"),
        (["push", ".", "--to", "someone/model"], 1, "neither a model nor a run"),
        (["push", "."], 2, "Missing option '--to'"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    out = unibert(*arguments, cwd=tmp_path)
    assert out.returncode == code, out.stderr
    assert says in out.stderr
    assert "Traceback" not in out.stderr


@pytest.mark.parametrize("folder", ["file", "file/below", "x" * 300])
def test_an_output_that_cannot_be_written_is_told(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    out = unibert("quickstart", "--folder", folder, cwd=tmp_path)
    assert out.returncode == 1
    assert out.stderr.splitlines()[-2].startswith("error: ")
    assert "Traceback" not in out.stderr


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_so_and_leaves_nothing_half_done(tmp_path: Path, signal_: signal.Signals) -> None:
    command = [sys.executable, "-m", "unibert", "quickstart", "--folder", "q"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=heed_interrupts)
    while not list(tmp_path.glob("q/world/dumps/*.bz2")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal_)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in told
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("*.tmp"))
