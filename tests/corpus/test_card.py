"""The data set card: the hub can read it, and it says whose the text is, where it is from and what is wrong."""

import json

import pytest
import yaml

from unibert.corpus.card import card_text, recorded_settings, write_card
from unibert.corpus.statistics import Recorder, merge_statistics
from unibert.files import write_json
from unibert.recipe import Corpus


def part(file, language, kind="dump", damage=None, samples=2):
    recorder = Recorder()
    recorder.counts["pages"] = 1 if kind == "dump" else 0
    recorder.counts["paragraphs"] = samples + 1
    recorder.dropped("short", "x")
    for number in range(samples):
        recorder.kept(f"{language} Satz {number}", 5 + number)
    return {
        "file": file, "language": language, "kind": kind, "file_bytes": 99, "damage": damage, "counts": recorder.counts
    }  # fmt: skip


DUMPS = [part("dewiki-20261101-pages-articles.xml.bz2", "de", samples=9), part("nowiki-20261020-pages.xml", "no")]


def card(parts=DUMPS, settings=None, run=None, warnings=()):
    return card_text(merge_statistics(parts, "words", list(warnings)), settings, run or {})


def front_matter(text):
    start, matter, _ = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


def section(text, title):
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_hub_can_read_it():
    found = front_matter(card([*DUMPS, part("xqq.txt", "simple", "text"), part("siwiki-x.xml", "si", samples=0)]))
    assert found["language"] == ["de", "en", "nb"]
    assert found["license"] == ["cc-by-sa-4.0", "gfdl", "other"]
    assert found["task_categories"] == ["fill-mask", "text-generation"]
    assert found["size_categories"] == ["n<1K"]
    assert found["multilinguality"] == ["multilingual"]
    # The code `no` is false in YAML; languages without a sample have no file.
    assert found["configs"] == [
        {"config_name": code, "data_files": f"{code}.parquet"} for code in ("de", "simple", "no")
    ]


@pytest.mark.parametrize(
    ("samples", "category"),
    [
        (0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (10_000, "10K<n<100K"), (999_999, "100K<n<1M"),
        (1_000_000, "1M<n<10M"), (10**9, "1B<n<10B"), (10**12, "n>1T"),
    ],
)  # fmt: skip
def test_size_category(samples, category):
    statistics = merge_statistics(DUMPS, "words", [])
    statistics["totals"]["samples"] = samples
    assert front_matter(card_text(statistics, None, {}))["size_categories"] == [category]


def test_wikipedia_is_attributed():
    text = section(card(), "Licence and attribution")
    for said in ("Attribution-ShareAlike 4.0", "authors of Wikipedia", "action=history", "same licence"):
        assert said in text
    assert "not dumps" not in text
    assert front_matter(card())["license"] == ["cc-by-sa-4.0", "gfdl"]


def test_the_licence_of_other_text_is_left_to_its_publisher():
    text = card([part("de.txt", "de", "text")])
    assert front_matter(text)["license"] == ["other"]
    assert "**1 of the files are not dumps of Wikipedia.**" in section(text, "Licence and attribution")
    assert "Attribution-ShareAlike" not in text


def test_sources_have_dates_and_checksums(tmp_path):
    dump, bare = tmp_path / DUMPS[0]["file"], tmp_path / DUMPS[1]["file"]
    for path in (dump, bare):
        path.write_bytes(b"x")
    url = f"https://dumps.example.org/dewiki/20261101/{dump.name}"
    write_json(tmp_path / "downloads.json", {"files": {dump.name: {"url": url, "date": "20261101", "sha1": "ab" * 20}}})
    settings = Corpus(dumps=[str(tmp_path)], hub=["wikimedia/wikipedia:20231101.de"])
    rows = section(card(settings=settings), "Sources").splitlines()
    assert f"| [{dump.name}]({url}) | de | 2026-11-01 | sha1 {'ab' * 20} | 99 | 9 |" in rows
    assert f"| {bare.name} | no | 2026-10-20 | - | 99 | 2 |" in rows
    assert "- Hugging Face hub: wikimedia/wikipedia:20231101.de" in rows
    (tmp_path / "downloads.json").write_text("{")
    assert f"| {dump.name} | de | 2026-11-01 | - | 99 | 9 |" in card(settings=Corpus(dumps=[str(tmp_path / "*.bz2")]))


def test_rules_are_told_with_their_settings():
    entry = part("dewiki-20261101-pages.xml", "de")
    entry["counts"]["rules"]["other_language"]["dropped"] = 3
    settings = Corpus.model_validate(
        {"rules": {"min_tokens": 7, "max_digit_share": 0.5, "html": False}, "identify": {"model": "/models/lid.bin"}}
    )
    text = section(card([entry], settings), "Cleaning")
    assert "fewer than 7 tokens" in text
    assert "more than 50% are digits" in text
    assert "| html | switched off | 0 | 0 | 0.00 % |" in text
    assert "language identification: lid.bin, from 0.5 up" in text
    assert "| other_language |" in text
    assert "| duplicate |" not in text
    assert "| short | samples of fewer than 7 tokens are dropped | 0 | 1 | 33.33 % |" in text


def test_numbers_are_those_of_the_statistics():
    rows = section(card(), "Languages").splitlines()
    assert "| de | German | 81 | 1 | 9 | 81 | 9.0 | 9 | 13 | 13 |" in rows
    assert rows[-1].startswith("| all |  | 99 | 2 | 11 | 92 | 8.4 |")


def test_damage_and_warnings_are_faults_and_cannot_break_the_page():
    damage = "x.xml: ends; the last is 'A|B <script> [x](y) *z*\n# head'"
    text = section(card([part("dewiki-x.xml", "de", damage=damage)], warnings=["no `x`"]), "Known faults")
    assert r"'A\|B \<script\> \[x\](y) \*z\* \# head'" in text
    assert r"- no \`x\`" in text


def test_it_can_be_made_again_and_names_no_machine():
    settings = Corpus(dumps=["/home/somebody/dumps", "relative/dumps"], rules={"min_tokens": 9}, workers=3)
    run = {"command": "unibert corpus build r.toml", "versions": {"unibert": "0.1.0"}, "commit": "abc123"}
    text = section(card(settings=settings, run=run), "How to make it again")
    for said in ("unibert corpus build r.toml", "unibert 0.1.0", "commit `abc123`", "rules.min_tokens = 9"):
        assert said in text
    assert 'dumps = ["dumps", "relative/dumps"]' in text
    assert "somebody" not in text
    assert "workers = " not in text


def test_a_card_that_was_edited_stays(tmp_path):
    statistics = merge_statistics(DUMPS, "words", [])
    assert write_card(tmp_path, statistics, None)
    first = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert write_card(tmp_path, statistics, Corpus())
    assert (tmp_path / "README.md").read_text(encoding="utf-8") != first
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    assert not write_card(tmp_path, statistics, None)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"recipe": 3}', '{"recipe": {"corpus": {"dums": []}}}'])
def test_settings_that_are_not_recorded(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert recorded_settings(tmp_path) is None
    assert write_card(tmp_path, merge_statistics(DUMPS, "words", []), None)
    assert "not recorded" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_settings_are_those_of_the_run(tmp_path):
    recipe = {"name": "x", "corpus": Corpus(dumps=["d"], rules={"min_tokens": 9}).model_dump(mode="json")}
    (tmp_path / "run.json").write_text(json.dumps({"recipe": recipe}))
    assert recorded_settings(tmp_path).rules.min_tokens == 9


def test_an_empty_corpus_has_a_card():
    found = front_matter(card([part("siwiki-x.xml", "si", samples=0)]))
    assert "language" not in found
    assert "configs" not in found
