"""The page says what the run's files say, needs nothing from outside, and replaces an older one only when whole."""

from __future__ import annotations

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from unibert.errors import DataError
from unibert.report.collect import collect
from unibert.report.page import build_report, write_report


class Page(HTMLParser):
    """What a test asks of a page: its text, tags, ids and headings."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\N{NO-BREAK SPACE}", " ").split())


def read(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


# Worked out by hand from the numbers in conftest.py: en has 90017 + 13 samples, and so on.
EXPECTED = [
    "90,030",  # samples, en
    "55.2 MB",  # 90030 * 613 + 0 bytes
    "2.35 M",  # parameters of the student
    "9.4 MB",  # 2,345,679 * 4 bytes
    "23 min 27 s",  # 3803 * 0.37 s
    "15,588,497",  # 3803 * 4099 pieces
    "389",  # feed-forward
    "7,919",  # vocabulary
    "8.98",  # ln 7919
    "label smoothing of 0.29",
    "words and punctuation marks",
    "99.8 %",  # kept in en
    "deadbeef1234",
    "cafe00000001+changes",
    "Imaginary 9000",
    "torch 2.99.1",
    "unibert run zebra.toml",
    "epochs 7",
    "1,523",  # test samples, en
]


def test_numbers_of_the_run_are_on_the_page_and_in_markdown(small_report):
    index = small_report
    text = read(index).text
    for number in EXPECTED:
        assert number in text, number
    markdown = (index.parent / "report.md").read_text(encoding="utf-8")
    for number in EXPECTED[:12]:
        assert number in markdown.replace("\\_", "_"), number
    # score() in conftest.py gives 61.37 + (0.83 * seed mod 1.7) to the student in en: (61.37 + 0.75) + ...
    student_each = f"{61.37 + (0.75 + 1.58 + 1.54) / 3:.2f}"
    assert student_each == "62.66"
    assert student_each in text and student_each in markdown


def test_every_score_is_the_mean_of_its_files(small_report):
    folder = small_report.parent.parent
    sums: dict[tuple[str, str, str], list[float]] = {}
    for path in (folder / "benchmark/results").glob("*.json"):
        result = json.loads(path.read_text())
        for code, score in result["scores"].items():
            sums.setdefault((result["model"], result["setting"], code), []).append(score["metrics"]["f1"])
    rows = list(csv.DictReader((folder / "report/tables/ner.csv").open(encoding="utf-8")))
    seen = {
        (row["Model"], row["Setting"], code): float(row[f"{code} {name}"])
        for row in rows
        for code, name in (("en", "English"), ("es", "Spanish"), ("nl", "Dutch"))
    }
    assert seen == pytest.approx({key: sum(values) / len(values) for key, values in sums.items()})
    for row in rows:
        of_row = [value for key, value in seen.items() if key[:2] == (row["Model"], row["Setting"])]
        assert float(row["Average"]) == pytest.approx(sum(of_row) / 3)


def test_mixture_is_the_one_the_recipe_asks_for(small_report):
    folder = small_report.parent.parent
    index = json.loads((folder / "tokens/index.json").read_text())["languages"]
    for role, alpha in (("student", 0.47), ("teacher", 0.61)):
        weights = {code: entry["train"]["samples"] ** alpha for code, entry in index.items()}
        expected = {code: weight / sum(weights.values()) for code, weight in weights.items()}
        rows = csv.DictReader((folder / "report/tables/languages.csv").open(encoding="utf-8"))
        assert {row["Code"]: float(row[f"Mixture, {role} (share)"]) for row in rows} == pytest.approx(expected)
        drawn = sum(range(1, 13))  # conftest.py: twelve parts for the first language, one for the last
        assert f"{12 / drawn * 100:.2f} %" in read(small_report).text


def test_best_of_a_column_is_bold_and_it_alone(small_report):
    index = small_report
    markdown = (index.parent / "report.md").read_text(encoding="utf-8")
    rows = [
        line for line in markdown.splitlines() if line.startswith("| ") and re.match(r"\| \S+ \| (each|all) \|", line)
    ]
    bold = [row.split(" | ")[:2] for row in rows for _ in re.findall(r"\*\*[\d.]+\*\*", row)]
    assert bold == [["| acme/base", "each"]] * 4


def test_all_pictures_are_well_formed_and_labelled(small_report):
    index = small_report
    pictures = sorted((index.parent / "figures").glob("*.svg"))
    names = {path.stem for path in pictures}
    assert {
        "corpus-size",
        "lengths",
        "held-out",
        "student-mlm",
        "student-discriminator",
        "teacher-loss",
        "ner-gain",
    } <= names
    assert "teacher-adversary" not in names  # the teacher has none
    for path in pictures:
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("role") == "img" and len(root.get("aria-label") or "") > 20
        assert root.findall(".//{http://www.w3.org/2000/svg}path"), f"{path} shows nothing"


def test_figure_1_shows_every_language(large_report):
    index = large_report
    codes = json.loads((index.parent.parent / "student/summary.json").read_text())["languages"]
    shown = (index.parent / "figures/corpus-size.svg").read_text(encoding="utf-8")
    assert set(re.findall(r">([^<>]+)</text>", shown)) >= set(codes)


def test_figure_shows_every_language_by_its_latin_name(large_report):
    index = large_report
    codes = json.loads((index.parent.parent / "student/summary.json").read_text())["languages"]
    assert len(codes) == 107
    assert index.stat().st_size < 5_000_000
    shown = "".join(path.read_text(encoding="utf-8") for path in (index.parent / "figures").glob("held-out-*.svg"))
    labels = re.findall(r">([^<>]+)</text>", shown)
    assert {code for label in labels for code in re.findall(r"(?:\(|^)([a-z-]+)\)?$", label)} >= set(codes)
    assert all(ord(letter) < 0x250 or letter == "…" for label in labels for letter in label)


def test_page_needs_nothing_from_outside(small_report):
    source = small_report.read_text(encoding="utf-8")
    loading = re.findall(
        r"""(?:src|href|srcset|data|action)\s*=\s*["']([^"']*)["']|url\(([^)]*)\)|@import([^;]*)""", source
    )
    targets = [next(part for part in found if part) for found in loading if any(found)]
    assert targets, "the page has links of its own"
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert not [tag for tag, _ in Page(source).tags if tag in ("iframe", "img", "object", "embed", "base")]


def test_page_is_built_for_readers_of_every_kind(small_report):
    page = read(small_report)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for key in ("aria-labelledby", "href"):
            value = attributes.get(key) or ""
            if key == "aria-labelledby" and value:
                assert value in ids
            if key == "href" and value.startswith("#"):
                assert value[1:] in ids
    tags = [tag for tag, _ in page.tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tags.count("main") == 1 and tags.count("nav") == 1
    assert tags.count("table") == tags.count("caption") > 5
    assert ("html", {"lang": "en"}) in page.tags


def test_names_from_files_cannot_become_markup(make_run):
    folder = make_run(seeds=(5,))
    for path in (folder / "benchmark/results").glob("*.json"):
        path.write_text(path.read_text().replace("acme/base", "<script>alert(1)</script>|*x*"))
    index = build_report(folder, title="<b>zebra & co</b>")
    source = index.read_text(encoding="utf-8")
    assert "<script>alert" not in source and "&lt;script&gt;alert" in source
    assert "&lt;b&gt;zebra &amp; co&lt;/b&gt;" in source
    markdown = (index.parent / "report.md").read_text(encoding="utf-8")
    assert r"\<script\>alert(1)\</script\>\|\*x\*" in markdown


@pytest.mark.parametrize(
    "name", ["<img src=x>", "a_b_c *x* `y`", "[a](b) ![c](d)", "x | y ~~z~~ &lt; $q$", "a\n# heading\n- item"]
)
def test_names_in_sentences_of_the_markdown_cannot_become_markup(make_run, name):
    folder = make_run(seeds=(5,))
    for path in (folder / "benchmark/results").glob("*.json"):
        result = json.loads(path.read_text())
        # The best model is named in the opening, so it is told in a sentence too.
        path.write_text(json.dumps({**result, "model": name if result["model"] == "acme/base" else result["model"]}))
    corpus = json.loads((folder / "corpus/statistics.json").read_text())
    corpus["files"][0] |= {"file": name, "damage": name}
    (folder / "corpus/statistics.json").write_text(json.dumps(corpus))
    run = json.loads((folder / "student/run.json").read_text())
    (folder / "student/run.json").write_text(json.dumps({**run, "command": f"unibert {name}"}))
    markdown = (build_report(folder, title=name).parent / "report.md").read_text(encoding="utf-8")
    escaped = re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", " ".join(name.split()))
    lines = markdown.splitlines()
    assert lines[0] == f"# {escaped}"
    assert f"- **damaged** corpus input {escaped}: {escaped}; what could be read is included" in lines
    assert any("The highest average F1 is" in line and f"({escaped}, each)" in line for line in lines)
    assert f"    unibert {' '.join(name.split())}" in lines  # in a code block nothing is markup, nor needs escaping
    # With everything escaped taken away, and the template's own bold and pictures, no sign is left.
    text = re.sub(r"\\.", "", "\n".join(line for line in lines if not line.startswith(("|", "    "))))
    text = re.sub(r"^!\[[^\]]*\]\(figures/[\w-]+\.svg\)$|\*\*", "", text, flags=re.MULTILINE)
    assert not re.findall(r"[`*_\[\]<>|~&$]", text.replace("`recipe.toml`", ""))
    assert "# heading" not in lines and "- item" not in lines


def test_one_seed_makes_no_claim(large_report):
    page = read(large_report)
    assert "nothing can be concluded" in page.text and "single seed" in page.text
    assert "±" not in page.text and "a gain over these seeds" not in page.text


def test_same_run_gives_the_same_pictures_and_tables(make_run):
    folder = make_run(seeds=(5, 6))

    def made() -> dict[str, str]:
        report = build_report(folder).parent
        return {
            path.name: path.read_text(encoding="utf-8") for path in report.rglob("*") if path.suffix in (".svg", ".csv")
        }

    assert made() == made()


def test_older_report_stays_when_a_new_one_fails(make_run, monkeypatch):
    folder = make_run(seeds=(5,))
    index = build_report(folder)
    before = index.read_text(encoding="utf-8")
    monkeypatch.setattr("unibert.report.rendering.to_csv", lambda table: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_report(folder, title="another")
    assert index.read_text(encoding="utf-8") == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".report")] == []


@pytest.mark.parametrize("make_folder", [False, True])
def test_folder_without_a_run_is_refused(tmp_path, make_folder):
    folder = tmp_path / "nothing"
    if make_folder:
        folder.mkdir()
    with pytest.raises(DataError, match="nothing"):
        build_report(folder)
    assert not (folder / "report").exists()


def test_corpus_tables_show_lengths_and_the_optional_rules_that_dropped_something(make_run):
    folder = make_run(seeds=(5,))
    path = folder / "corpus/statistics.json"
    statistics = json.loads(path.read_text())
    for entry in (*statistics["languages"].values(), statistics["totals"]):
        entry["rules"] |= {name: {"changed": 0, "dropped": 0} for name in ("other_language", "duplicate")}
    statistics["totals"]["rules"]["duplicate"]["dropped"] = 71
    path.write_text(json.dumps(statistics))
    build_report(folder)
    head, *rows = (folder / "report/tables/cleaning.csv").read_text(encoding="utf-8").splitlines()
    assert "Seen before: dropped" in head
    assert "Another language" not in head
    assert ",71," in rows[-1]
    head, *rows = (folder / "report/tables/corpus.csv").read_text(encoding="utf-8").splitlines()
    column = [name.partition(" (")[0] for name in head.split(",")].index("Longest")
    longest = max(map(int, statistics["totals"]["lengths"]))
    assert int(rows[-1].split(",")[column]) == longest


def add_task(folder, task: str, metric: str, per_cent: bool) -> None:
    """The results of another task, made from those of NER: the same scores, or a hundredth of them."""
    for path in sorted((folder / "benchmark/results").glob("*.json")):
        tree = json.loads(path.read_text(encoding="utf-8"))
        scale = 1 if per_cent else 0.01
        for score in tree["scores"].values():
            value = score["metrics"]["f1"]
            score |= {"metrics": {metric: value * scale}, "low": score["low"] * scale, "high": score["high"] * scale}
            score["types"] = {}
        address = f"{task}-{tree['address']}"
        tree |= {"address": address, "task": task, "benchmark": task, "title": task, "metric": metric}
        tree |= {"per_cent": per_cent, "dev_scores": [0.5], "predictions": None}
        path.with_name(f"{address}.json").write_text(json.dumps(tree), encoding="utf-8")


def test_several_tasks_are_told_together_and_one_is_not(make_run):
    folder = make_run(seeds=(5, 6))
    assert 'id="table-tasks"' not in build_report(folder).read_text(encoding="utf-8")
    add_task(folder, "sts", "pearson", per_cent=False)
    source = build_report(folder).read_text(encoding="utf-8")
    assert 'id="table-tasks"' in source and (folder / "report/figures/gains.svg").is_file()
    rows = list(csv.DictReader((folder / "report/tables/tasks.csv").open(encoding="utf-8")))
    assert len(rows) == 6
    own = {
        name: list(csv.DictReader((folder / f"report/tables/{name}.csv").open(encoding="utf-8")))
        for name in ("ner", "sts")
    }
    for name, heading in (
        ("ner", "NER, entity F1"),
        ("sts", "STS, Pearson's r"),
    ):
        averages = {(row["Model"], row["Setting"]): row["Average"] for row in own[name]}
        assert {(row["Model"], row["Setting"]): row[heading] for row in rows} == averages
    bold = re.search(r'<table id="table-tasks".*?</table>', source, re.DOTALL)[0]
    best = max(float(row["Average"]) for row in own["ner"])
    assert f"<strong>{best:.2f}</strong>" in bold and f"<strong>{best / 100:.3f}</strong>" in bold
    assert bold.count("<strong>") == 2


def test_the_top_of_the_page_tells_the_result_of_every_benchmark(make_run):
    folder = make_run(seeds=(5, 6))
    add_task(folder, "sts", "pearson", per_cent=False)
    source = build_report(folder).read_text(encoding="utf-8")
    top = source[source.index("<nav") : source.index('id="tasks"')]
    for short in ("NER", "STS"):
        assert f"<dt>{short}</dt>" in top and f">{short}</a></li>" in top
    assert re.search(r"3 models were measured on 2 benchmarks in \d languages\.", top)
    told = re.search(r"is compared with training on each by itself (\d+) times: ([^.]*)\.", top)
    assert int(told[1]) == sum(map(int, re.findall(r" in (\d+)", told[2])))


def test_where_nothing_was_trained_the_result_comes_before_the_time(make_run):
    folder = make_run(seeds=(5, 6))
    add_task(folder, "qa", "f1", per_cent=True)
    for part in ("corpus", "tokens", "student", "teacher"):
        shutil.rmtree(folder / part, ignore_errors=True)
    lines = build_report(folder).with_name("report.md").read_text(encoding="utf-8").split("\n\n")
    assert "models were measured on 2 benchmarks" in lines[1] and lines[2].startswith("What it took: ")


def test_a_setting_that_a_benchmark_does_not_have_is_told_from_a_missing_language(make_run):
    folder = make_run(seeds=(5,))
    add_task(folder, "sts", "pearson", per_cent=False)
    for path in (folder / "benchmark/results").glob("sts-*.json"):
        if json.loads(path.read_text())["setting"] == "all":
            path.unlink()
    build_report(folder)
    table = (folder / "report/tables/tasks.md").read_text(encoding="utf-8")
    assert "no result in this setting" in table and "a language is missing" not in table


def test_language_without_a_score_leaves_its_average_open(make_run):
    folder = make_run(seeds=(5,))
    add_task(folder, "sts", "pearson", per_cent=False)
    for path in (folder / "benchmark/results").glob("sts-*.json"):
        result = json.loads(path.read_text())
        if (result["model"], result["setting"], result["languages"]) == ("teacher", "each", ["nl"]):
            path.unlink()
    build_report(folder)
    rows = csv.DictReader((folder / "report/tables/tasks.csv").open(encoding="utf-8"))
    open_ones = [(row["Model"], row["Setting"]) for row in rows if not row["STS, Pearson's r"]]
    assert open_ones == [("teacher", "each")]


def test_paper_stands_beside_the_run_when_asked_for(make_run):
    folder = make_run(seeds=(5,))
    for path in (folder / "benchmark/results").glob("*.json"):
        path.write_text(path.read_text().replace("acme/base", "acme/bert-base-multilingual-cased"))
    assert "ner-against-paper" not in write_report(collect(folder)).read_text(encoding="utf-8")
    source = write_report(collect(folder), against_paper=True).read_text(encoding="utf-8")
    assert 'id="table-ner-against-paper"' in source
    rows = list(csv.DictReader((folder / "report/tables/ner-against-paper.csv").open(encoding="utf-8")))
    assert {row["In the paper"] for row in rows} == {"mBERT-base"}
    for row in rows:
        assert float(row["Here"]) - float(row["Paper"]) == pytest.approx(float(row["Difference"]))


def test_differences_are_tested_but_not_while_the_page_is_rewritten(make_run, small_report):
    source = small_report.read_text(encoding="utf-8")
    assert 'id="significance"' in source
    order = [
        source.index(f'<section id="{name}"') for name in ("corpus", "models", "benchmark-ner", "significance", "cost")
    ]
    assert order == sorted(order)
    folder = make_run(seeds=(5,))
    assert 'id="significance"' not in write_report(collect(folder), refresh=30).read_text(encoding="utf-8")
    (folder / "benchmark/predictions").rename(folder / "benchmark/elsewhere")
    told = build_report(folder).read_text(encoding="utf-8")
    assert "no such file, though there is a result" in told[told.index('id="missing"') :]


def test_method_is_drawn_with_the_weights_of_the_run(small_report, live_report):
    drawn = (small_report.parent / "figures/method.svg").read_text(encoding="utf-8")
    assert "L = 0.5 MLM + 0.13 conf + 0.37 KD" in drawn
    assert (live_report.parent / "figures/method.svg").is_file(), "a training that is not finished has its recipe's"
