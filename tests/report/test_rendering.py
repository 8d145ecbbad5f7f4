"""A page's files: which there are, how large; that its own scripts alone may run, and that its colours can be seen."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise

import pytest

from unibert.report.blocks import Details, FigureBlock, KeyNumber, Section
from unibert.report.collect import collect
from unibert.report.page import build_report, write_report
from unibert.report.rendering import FOLDED_CELLS, PAGE_COLOURS, Page, write_page
from unibert.report.tables import Column, Table, to_html, words
from unibert.report.theme import COLOURS, Picture

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M 0 0 L 9 9"/></svg>'


def table(name: str, rows: int, columns: int) -> Table:
    cells = [words(f"{name} cell of some length") for _ in range(columns)]
    return Table(name, f"Table {name}", [Column(f"c{number}") for number in range(columns)], [cells] * rows)


def page(*blocks, **changes) -> Page:
    return Page(
        **{"title": "Zebra", "paragraphs": [], "numbers": [], "sections": [Section("a", "A", list(blocks))]} | changes
    )


def test_every_table_and_picture_is_there_as_files(small_report):
    source = small_report.read_text(encoding="utf-8")
    tables = set(re.findall(r'<table id="table-([^"]+)"', source))
    assert {"corpus", "cleaning", "models", "languages", "ner", "ner-gain", "ner-seeds", "cost", "provenance"} <= tables
    folder = small_report.parent
    assert {path.name for path in (folder / "tables").iterdir()} == {
        f"{name}.{ending}" for name in tables for ending in ("csv", "md", "tex")
    }
    pictures = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {"method", "corpus-size", "ner-gain", "ner-size"} <= pictures
    drawn = {path.stem: path.read_bytes() for path in (folder / "figures").glob("*.png")}
    assert drawn.keys() == pictures
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())


def test_page_that_is_rewritten_in_a_moment_comes_without_png(make_run):
    folder = make_run(seeds=(5,))
    build_report(folder)
    assert list((folder / "report/figures").glob("*.png"))
    write_report(collect(folder), refresh=30)
    assert not list((folder / "report/figures").glob("*.png")), "older ones would show something else than the page"
    assert list((folder / "report/figures").glob("*.svg"))


def test_page_of_anything_can_be_written_anywhere(tmp_path):
    figure = FigureBlock("A figure", "Its caption.", [Picture("line", "A line from corner to corner", SVG)])
    index = write_page(
        page("Text & more.", figure, table("small", 2, 2), ["A caution."], numbers=[KeyNumber("N", "1", "of <2>")]),
        tmp_path / "new/place",
    )
    assert index == tmp_path / "new/place/index.html"
    source = index.read_text(encoding="utf-8")
    assert "Text &amp; more." in source and "of &lt;2&gt;" in source and "A caution." in source
    assert "recorded" not in source, "of what is no run nothing could have been recorded"
    assert not [path for path in (tmp_path / "new").iterdir() if path.name != "place"]
    assert (tmp_path / "new/place/figures/line.svg").is_file()
    assert not (tmp_path / "new/place/figures/line.png").exists(), "a picture that was not drawn has no PNG"
    write_page(page("Nothing else."), tmp_path / "new/place")
    assert not list((tmp_path / "new/place").glob("*/*"))


def test_as_many_folded_cells_as_are_allowed_leave_room_for_the_rest_of_the_page():
    size = len(to_html(table("large", 300, 9)).encode()) / (300 * 9)
    assert FOLDED_CELLS * size < 3_000_000


def test_folded_tables_that_would_make_the_page_too_large_are_files(tmp_path, monkeypatch):
    monkeypatch.setattr("unibert.report.rendering.FOLDED_CELLS", 1_800)
    # The smaller table goes first and leaves no room for the larger one; what is not folded does not count.
    large, larger = table("large", 100, 9), table("larger", 1_101, 9)
    shown = table("shown", 400, 20)
    index = write_page(page(shown, Details("Folded", [larger, large])), tmp_path / "report")
    source = index.read_text(encoding="utf-8")
    assert 'id="table-large"' in source and 'id="table-shown"' in source
    assert 'id="table-larger"' not in source
    assert "1,101 rows, too many for a page. They lie beside it as <code>tables/larger.csv</code>" in source
    assert len((tmp_path / "report/tables/larger.csv").read_text(encoding="utf-8").splitlines()) == 1_102
    markdown = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "1,101 rows, in `tables/larger.csv`" in markdown


def test_only_the_pages_own_scripts_may_run(small_report):
    source = small_report.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', source)[1]
    scripts = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    hashes = {"'sha256-" + base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() + "'" for s in scripts}
    allowed = re.search(r"script-src ([^;]+)", policy)[1].split()
    assert len(scripts) == 2 and set(allowed) == hashes
    assert "default-src 'none'" in policy
    assert not re.search(r"<[^>]+\son\w+=", re.sub(r"<script>.*?</script>", "", source, flags=re.DOTALL))


def test_benchmarks_whose_names_make_the_same_file_have_names_of_their_own(make_run):
    folder = make_run(seeds=(5,))
    for number, path in enumerate(sorted((folder / "benchmark/results").glob("*.json"))):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"benchmark": "ner"', f'"benchmark": "{"a.b" if number % 2 else "a-b"}"'))
    source = build_report(folder).read_text(encoding="utf-8")
    names = re.findall(r'\bid="([^"]+)"', source)
    assert len(names) == len(set(names))
    assert {"table-ner-a-b", "table-ner-a-b-2", "table-ner-a-b-2-seeds"} <= set(names)
    tables = folder / "report/tables"
    assert (tables / "ner-a-b.csv").read_text() != (tables / "ner-a-b-2.csv").read_text()
    assert "as files only the last" not in source


def test_tables_of_one_name_that_are_left_are_told(make_run):
    folder = make_run(seeds=(5,))
    path = next(iter((folder / "benchmark/results").glob("*.json")))
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"benchmark": "ner"', '"benchmark": "cost"').replace('"task": "ner"', '"task": "cost"')
    )
    source = build_report(folder).read_text(encoding="utf-8")
    assert "tables/cost" in source and "as files only the last" in source


def light(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((light(one), light(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


TEXTS = ("ink", "soft", "accent", "figure-ink", "figure-soft")
GROUNDS = ("paper", "card", "band", "figure-paper")


@pytest.mark.parametrize("shade", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_is_readable_on_every_ground(shade):
    colours = {name: pair[shade] for name, pair in {**COLOURS, **PAGE_COLOURS}.items()}
    pairs = [(text, ground) for text in TEXTS for ground in GROUNDS]
    pairs += [(text, "warn-paper") for text in ("ink", "warn-ink", "accent")]
    faint = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 4.5} == {}
    # What is not text, but has to be seen: lines and points of figures, edges of controls.
    seen = [*(name for name in COLOURS if name.startswith("series")), "edge", "accent"]
    weak = {(name, ground): contrast(colours[name], colours[ground]) for name in seen for ground in GROUNDS}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 3} == {}


def test_headings_follow_one_another(small_report, large_report, live_report):
    for report in (small_report, large_report, live_report):
        source = re.sub(r"<dialog.*?</dialog>", "", report.read_text(encoding="utf-8"), flags=re.DOTALL)
        levels = [int(level) for level in re.findall(r"<h([1-6])", source)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
