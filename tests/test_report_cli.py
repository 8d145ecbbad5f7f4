"""`unibert report`: a run, the paper and significance by their first word; subsets; the paper's values beside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grid_support import make_result
from unibert.cli import app
from unibert.files import write_json


def unibert(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "unibert", *arguments], capture_output=True, text=True, cwd=cwd)


def write_run(folder: Path) -> Path:
    """Results of two models on files of one's own, with the predictions that no comparison finds."""
    for model, base in (("xlm-roberta-base", 80.0), ("acme/base", 70.0)):
        found = [
            make_result(model, "each", [code], seed, {code: base + seed}) for code in ("en", "es") for seed in (1, 2)
        ]
        found += [make_result(model, "all", ["en", "es"], seed, {"en": base + 3, "es": base + 5}) for seed in (1, 2)]
        for tree in found:
            tree["address"] = tree["address"].replace("/", "-")
            write_json(folder / "benchmark" / "results" / f"{tree['address']}.json", tree)
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path / "mine")


def call(*arguments: str):
    return CliRunner().invoke(app, ["report", *arguments], prog_name="unibert")


def test_help_shows_the_default_and_the_others():
    out = call("--help")
    assert out.exit_code == 0
    lines = out.output.splitlines()
    assert lines[0] == "Usage: unibert report [OPTIONS] RUN"
    assert lines[1] == "       unibert report paper [OPTIONS]"
    assert lines[2].startswith("       unibert report significance [OPTIONS] ")
    for word in ("--set", "--model", "--language", "--task", "--against", "--follow", "--every", "./paper"):
        assert word in out.output, word
    assert call().exit_code == 2 and "Usage: unibert report" in call().output
    assert call("mine", "--help").output.startswith("Usage: unibert report RUN [OPTIONS]\n")


@pytest.mark.parametrize("arguments", [["mine"], ["./mine"], ["--every", "9", "mine"], ["mine", "--every", "9"]])
def test_a_first_word_that_is_no_command_is_a_run(run, arguments):
    out = call(*arguments)
    assert out.exit_code == 0, out.exception
    assert (run / "report/index.html").exists() and "report/index.html" in out.output


@pytest.mark.parametrize("name", ["paper", "significance", "RUN"])
def test_a_run_that_is_called_like_a_command_is_reached_by_its_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / name)
    assert call(f"./{name}").exit_code == 0
    assert (tmp_path / name / "report/index.html").exists()


def test_a_folder_called_run_needs_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "RUN")
    assert call("RUN").exit_code == 0


def test_the_paper_goes_where_it_is_told_to(tmp_path):
    (tmp_path / "paper").mkdir()
    out = unibert("report", "paper", cwd=tmp_path)
    assert (out.returncode, out.stdout) == (0, "runs/paper-report/index.html\n")
    assert "./paper" in out.stderr
    out = unibert("report", "paper", "--output", "here", cwd=tmp_path)
    assert out.returncode == 0
    assert (tmp_path / "here/tables/table-6.csv").exists() and (tmp_path / "here/report.md").exists()


def test_subsets_may_be_repeated_or_written_with_commas(run):
    out = call("mine", "--model", "acme/base", "--model", "xlm-roberta-base", "--language", "en, es", "--task", "ner")
    assert out.exit_code == 0, out.exception
    whole = (run / "report/tables/ner.csv").read_text()
    assert call("mine", "--model", "acme/base", "--language", "es").exit_code == 0
    part = [row.split(",") for row in (run / "report/tables/ner.csv").read_text().splitlines()]
    assert part[0][:3] == ["Model", "Setting", "es Spanish"]
    assert [row[:3] for row in part[1:]] == [["acme/base", "each", "71.5"], ["acme/base", "all", "75.0"]]
    assert "xlm-roberta-base" in whole and "en English" in whole


def test_an_unknown_name_is_told_with_the_nearest(run):
    out = unibert("report", "mine", "--model", "acme/bas", cwd=run.parent)
    assert out.returncode == 2
    assert out.stderr == "error: --model acme/bas: not in this run\n  Fix: Did you mean acme/base?\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mine", "--against", "papers"], "'papers' is not 'paper'"),
        (["mine", "--follow", "--model", "acme/base"], "shows the whole run"),
        (["mine", "--follow", "--against", "paper"], "shows the whole run"),
        (["mine", "--model", ","], "',' names nothing; leave the option out for all"),
        (["mine", "--language", ""], "'' names nothing"),
        (["mine", "--task", "ner", "--task", " , "], "names nothing"),
        (["significance", "mine", "--json", "mine"], "mine is a folder, not a file"),
        (["mine", "other"], "unexpected extra argument"),
        (["mine", "--nonsense"], "No such option"),
    ],
)
def test_what_cannot_be_is_told(run, arguments, says):
    out = call(*arguments)
    assert out.exit_code == 2 and says in out.output
    assert not (run / "report").exists()


def test_against_the_paper(run):
    assert call("mine").exit_code == 0
    assert "against-paper" not in (run / "report/index.html").read_text(encoding="utf-8")
    assert call("mine", "--against", "paper").exit_code == 0
    rows = (run / "report/tables/ner-against-paper.csv").read_text().splitlines()
    # XLM-RoBERTa-base in the paper's Table 2: each 91.02 and 88.85, all 91.40 and 88.90.
    cells = [row.split(",")[:7] for row in rows[1:]]
    assert [row[2] for row in cells] == ["each", "all"]
    assert [float(row[5]) for row in cells] == pytest.approx([(91.02 + 88.85) / 2, (91.40 + 88.90) / 2])
    assert [float(row[6]) for row in cells] == pytest.approx([81.5 - 89.935, 84.0 - 90.15])
    assert "The paper has no model like acme/base." in (run / "report/report.md").read_text(encoding="utf-8")


def test_significance_prints_and_writes_numbers(run):
    out = call("significance", "mine", "--json", "numbers.json")
    assert out.exit_code == 0, out.exception
    found = json.loads((run.parent / "numbers.json").read_text())
    assert {comparison["first"]["model"] for comparison in found["comparisons"]} == {"acme/base", "xlm-roberta-base"}
    assert "acme/base" in out.output
    more = call("significance", "mine", "--between-models").output
    assert len(more.splitlines()) > len(out.output.splitlines())


@pytest.mark.parametrize("command", [[], ["significance"]])
def test_what_is_no_run_is_told(run, command):
    assert str(call(*command, "nowhere").exception).startswith("nowhere: no such run folder or recipe\n  Fix: ")
    (run.parent / "blank.toml").write_text("# nothing yet\n")
    assert str(call(*command, "blank.toml").exception).startswith("blank.toml: the file is empty, not a recipe\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["paper", "--output", "/proc/x"], "/proc/x: cannot be written (No such file or directory)"),
        (["paper", "--output", "file"], "file: exists and is no report"),
        (["mine"], "mine/report: is a file, and the page needs a folder"),
        (["significance", "mine", "--json", "/proc/x"], "/proc/x: cannot be written (No such file or directory)"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_by_its_name(run, arguments, says):
    for name in ("file", "mine/report"):
        (run.parent / name).write_text("mine")
    assert str(call(*arguments).exception).startswith(says)
    assert {(run.parent / name).read_text() for name in ("file", "mine/report")} == {"mine"}
