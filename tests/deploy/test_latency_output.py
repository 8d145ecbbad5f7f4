"""What a measurement of latency leaves in its folder and on the terminal."""

from __future__ import annotations

import json
import re

import pytest

from latency_support import make_latency
from unibert.deploy import latency_output
from unibert.deploy.latency_output import format_latency, write_latency
from unibert.errors import DataError
from unibert.report.latency_file import Absent, load_latency


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "latency"
    return write_latency(make_latency(), folder).parent


def test_file_page_markdown_picture_and_tables(written):
    assert {path.name for path in written.iterdir()} == {
        "latency.json", "latency.md", "latency.svg", "latency.png", "report.html", "tables",
    }  # fmt: skip
    assert load_latency(written / "latency.json") == make_latency()
    assert (written / "latency.png").read_bytes().startswith(b"\x89PNG")
    names = {path.stem for path in (written / "tables").glob("*.csv")}
    assert names == {"latency", "latency-models", "latency-loading", "latency-cells", "latency-absent", "origin"}


def test_the_page_needs_nothing_else(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "random weights" in page and "Imaginary 9000" in page and "<svg" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page.replace("xlink:href", "href"))
    assert page.count("At 1 × 64 tokens a call of") == 1


def test_the_markdown_names_a_picture_that_lies_beside_it(written):
    text = (written / "latency.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(([^)]*)\)", text) == ["latency.svg"]
    assert "| distil-mbert random weights | ONNX int8 | 2 |" in text


def test_it_can_be_written_again(written):
    other = make_latency(models=("xxsmall",), drawn=(), absent=[])
    write_latency(other, written)
    assert load_latency(written / "latency.json") == other
    assert not [path.name for path in written.iterdir() if path.name.startswith(".")]


def test_the_file_is_there_before_the_page_is_drawn(tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(latency_output, "write_page", fail)
    with pytest.raises(KeyboardInterrupt):
        write_latency(make_latency(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["latency.json"]
    json.loads((tmp_path / "latency.json").read_text())


def test_a_file_in_the_folder_s_place_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises((DataError, OSError)):
        write_latency(make_latency(), tmp_path / "out")


def test_the_terminal_gets_aligned_rows_and_what_was_left_out():
    gone = Absent(model="xxsmall", backend="onnx", threads=1, kind="failed", reason="killed", fix="More memory.")
    lines = format_latency(make_latency(absent=[gone])).splitlines()
    assert lines[0] == "1 x 64 tokens, median over 3 rounds"
    assert lines[1].split()[:4] == ["model", "backend", "threads", "p50"]
    rows = lines[2:-2]
    assert len(rows) == 5 * 2 * 2 - 2 and len({len(row) for row in rows}) == 1
    assert rows[-1].startswith("distil-mbert (random weights)  ONNX int8")
    assert lines[-2:] == ["left out: xxsmall, ONNX float32, 1 thread: killed", "  Fix: More memory."]


def test_nothing_measured_is_told_too(tmp_path):
    found = make_latency(measurements=[])
    assert format_latency(found).startswith("left out: distil-mbert, PyTorch bfloat16:")
    assert "Nothing could be measured." in write_latency(found, tmp_path).read_text(encoding="utf-8")
