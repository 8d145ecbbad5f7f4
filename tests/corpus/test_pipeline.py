import gzip
import json
import os
import shutil
from random import Random

import pyarrow.parquet as pq
import pytest

from corpus_support import PROSE, articles, dump_xml, multistream, page_xml
from unibert.corpus import merge, parts, pipeline
from unibert.corpus.counting import count_words
from unibert.corpus.pipeline import build_corpus
from unibert.errors import DataError, Interrupted, RunMismatch
from unibert.recipe import Corpus
from unibert.tokenizer_files import SPECIAL_TOKENS


@pytest.fixture
def inputs(tmp_path, write_dump):
    """Two German dumps, a Latgalian one, German and Swati text, and files beside them that are none of these."""
    folder = tmp_path / "in"
    write_dump(articles(5), "dewiki-test2-multistream.xml.bz2", folder)
    write_dump(
        [
            page_xml(
                "Eins",
                f"{PROSE}\n\nZu kurz.\n\n12 34 56 78 90 12\n\nISBN 978-3-16-148410-0\n== Kopf ==\n&lt;br> {PROSE}",
                1,
            ),
            page_xml("Weiter", "#REDIRECT [[Eins]]", 2, redirect=True),
            page_xml("Kategorie:X", PROSE, 3, namespace=14),
            page_xml("Leer", "{{Vorlage}}", 4),
        ],
        "dewiki-test1.xml.gz",
        folder,
    )
    write_dump(articles(3, "Upe tak caur pylsātu i ītak jiurā."), "ltgwiki-test.xml", folder)
    (folder / "md5sums.txt").write_text("abc  dewiki-test1.xml.gz\n")
    text = tmp_path / "text"
    text.mkdir()
    with gzip.open(text / "ss.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write(
            "\ufeffUmfula ugeleta edolobheni uye elwandle.\n\n  \nLomfula mudze\u200b kakhulu impela, babe.\nNo.\n"
        )
    (text / "de.txt").write_text("Eine Zeile ist ein Beispiel.\r\nNoch eine Zeile\tohne Markierung.", encoding="utf-8")
    (text / "sizes.csv").write_text("language,bytes\n")
    return Corpus(dumps=[str(folder)], text=[str(text)], workers=1)


def rows(folder, language):
    return pq.read_table(folder / f"{language}.parquet").to_pylist()


def contents(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix == ".parquet" or path.name == "statistics.json"
    }


def test_dumps_and_text_become_a_file_per_language(inputs, tmp_path):
    statistics = build_corpus(inputs, tmp_path / "out", {"name": "x"})
    out = tmp_path / "out"
    assert sorted(path.name for path in out.glob("*.parquet")) == ["de.parquet", "ltg.parquet", "ss.parquet"]
    german = rows(out, "de")
    assert list(german[0]) == ["text", "language", "title", "page_id", "section", "source"]
    assert [(row["source"], row["title"], row["page_id"], row["section"]) for row in german] == [
        ("de.txt", "", 0, ""),
        ("de.txt", "", 0, ""),
        ("dewiki-test1.xml.gz", "Eins", 1, ""),
        ("dewiki-test1.xml.gz", "Eins", 1, "Kopf"),
        *(("dewiki-test2-multistream.xml.bz2", f"Seite {n}", n, "") for n in range(1, 6)),
    ]
    prose = "Der Fluss fließt durch die alte Stadt und mündet nach langer Reise in das Meer."
    assert german[1]["text"] == "Noch eine Zeile ohne Markierung."
    assert [row["text"] for row in german[2:5]] == [prose, prose, f"{prose} Nummer 1."]
    assert [row["text"] for row in rows(out, "ss")] == [
        "Umfula ugeleta edolobheni uye elwandle.",
        "Lomfula mudze kakhulu impela, babe.",
    ]
    assert json.loads((out / "statistics.json").read_text()) == statistics


def test_the_statistics_count_what_was_read_and_dropped(inputs, tmp_path):
    statistics = build_corpus(inputs, tmp_path / "out", {})
    german = statistics["languages"]["de"]
    counted = {
        key: german[key] for key in ("samples", "pages", "redirects", "other_namespaces", "empty_pages", "paragraphs")
    }
    assert counted == {
        "samples": 9, "pages": 7, "redirects": 1, "other_namespaces": 1, "empty_pages": 1, "paragraphs": 12
    }  # fmt: skip
    assert {name: (rule["changed"], rule["dropped"]) for name, rule in german["rules"].items()} == {
        "html": (1, 0), "links_only": (0, 1), "digits": (0, 1), "hidden_characters": (0, 0), "short": (0, 1),
        "other_language": (0, 0), "duplicate": (0, 0), "near_duplicate": (0, 0)
    }  # fmt: skip
    texts = [row["text"] for row in rows(tmp_path / "out", "de")]
    assert german["characters"] == sum(map(len, texts))
    assert german["bytes"] == sum(len(text.encode()) for text in texts)
    assert german["tokens"] == sum(map(count_words, texts))
    assert statistics["totals"]["samples"] == sum(entry["samples"] for entry in statistics["languages"].values()) == 14
    assert statistics["languages"]["ss"]["rules"]["hidden_characters"] == {"changed": 1, "dropped": 0}
    assert statistics["token_counter"] == "words and punctuation marks"
    assert [(f["file"], f["language"], f["kind"], f["samples"], f["damage"]) for f in statistics["files"]] == [
        ("de.txt", "de", "text", 2, None),
        ("dewiki-test1.xml.gz", "de", "dump", 2, None),
        ("dewiki-test2-multistream.xml.bz2", "de", "dump", 5, None),
        ("ltgwiki-test.xml", "ltg", "dump", 3, None),
        ("ss.txt.gz", "ss", "text", 2, None),
    ]


def test_the_number_of_workers_does_not_change_a_byte(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_FEW", 0)  # the languages are put together side by side too
    build_corpus(inputs, tmp_path / "one", {})
    build_corpus(inputs.model_copy(update={"workers": 3}), tmp_path / "three", {})
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert len(contents(tmp_path / "one")) == 4


@pytest.fixture
def large(tmp_path, write_dump):
    """A plain and a multistream dump that are cut at 1 MB; samples of many lengths."""
    folder = tmp_path / "large"
    random = Random(1)
    pages = [page_xml(f"Seite {n}", f"{PROSE} Nummer {n} {random.randbytes(300).hex()}", n) for n in range(1, 6001)]
    write_dump(pages[:3000], "dewiki-a.xml", folder)
    folder.joinpath("dewiki-b-multistream.xml.bz2").write_bytes(multistream(dump_xml(pages[3000:]), 100))
    return Corpus(dumps=[str(folder)], workers=1)


def test_the_size_of_slices_does_not_change_a_byte(large, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "ROWS", 700)
    monkeypatch.setattr(merge, "ROWS", 450)
    for name, size, workers in [("whole", 1000, 1), ("cut", 1, 1), ("beside", 1, 2)]:
        settings = large.model_copy(update={"slice_mb": size, "workers": workers})
        build_corpus(settings, tmp_path / name, {})
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    made = {path.name.rsplit(".", 2)[1] for path in (tmp_path / "cut" / "parts").glob("dewiki*.json")}
    assert len(made) > 2, "nothing was cut"
    assert [row["page_id"] for row in rows(tmp_path / "cut", "de")] == list(range(1, 6001))
    # Row groups of other processes are larger (they have not heard of the patch); the samples are the same.
    assert rows(tmp_path / "beside", "de") == rows(tmp_path / "whole", "de")
    assert (tmp_path / "beside" / "statistics.json").read_bytes() == (tmp_path / "cut" / "statistics.json").read_bytes()
    files = json.loads((tmp_path / "cut" / "statistics.json").read_text())["files"]
    assert [(entry["file"], entry["pages"], entry["samples"]) for entry in files] == [
        ("dewiki-a.xml", 3000, 3000),
        ("dewiki-b-multistream.xml.bz2", 3000, 3000),
    ]


def test_another_size_of_slices_is_the_same_corpus(large, tmp_path, monkeypatch):
    build_corpus(large, tmp_path / "out", {})
    monkeypatch.setattr(pipeline, "_build", lambda *_: pytest.fail("did it again"))
    build_corpus(large.model_copy(update={"slice_mb": 1, "workers": 2}), tmp_path / "out", {})


def test_a_finished_corpus_is_not_made_again(inputs, tmp_path, monkeypatch):
    first = build_corpus(inputs, tmp_path / "out", {})
    before = contents(tmp_path / "out")
    monkeypatch.setattr(pipeline, "_build", lambda *_: pytest.fail("did it again"))
    assert build_corpus(inputs, tmp_path / "out", {}) == first
    assert contents(tmp_path / "out") == before
    assert not list((tmp_path / "out" / "parts").glob("*.parquet"))


MAKE_PART = parts.make_part


def stop_after(monkeypatch, count, error=KeyboardInterrupt):
    """Let `make_part` work on so many files, then interrupt it in the middle of the next one."""
    made, make_part = [], MAKE_PART

    def make_part_or_stop(job, advance):
        def interrupting(size):
            if len(made) == count:
                raise error
            advance(size)

        make_part(job, interrupting)
        made.append(job.name)

    monkeypatch.setattr(parts, "make_part", make_part_or_stop)
    return made


def test_an_interrupted_run_goes_on_with_the_files_that_are_missing(inputs, tmp_path, monkeypatch):
    made = stop_after(monkeypatch, 3)
    with pytest.raises(Interrupted, match="3 of 5 parts are finished"):
        build_corpus(inputs, tmp_path / "out", {})
    first = list(made)
    assert not (tmp_path / "out" / "statistics.json").exists()
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not list((tmp_path / "out").glob("*.parquet"))
    made = stop_after(monkeypatch, 99)
    build_corpus(inputs, tmp_path / "out", {})
    assert len(made) == 2
    assert not set(made) & set(first)
    monkeypatch.undo()
    build_corpus(inputs, tmp_path / "straight", {})
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_parts_of_a_changed_input_are_made_again(inputs, tmp_path, monkeypatch):
    build_corpus(inputs, tmp_path / "out", {})
    path = tmp_path / "text" / "de.txt"
    path.write_bytes(path.read_bytes().replace(b"Eine", b"Jede"))  # of the same size, or it is another run
    os.utime(path, (1, 1))
    build_corpus(inputs, tmp_path / "out", {})
    assert rows(tmp_path / "out", "de")[0]["text"] == "Jede Zeile ist ein Beispiel."


@pytest.mark.parametrize("spoil", [b"", b"{", b"[]", b"null", b'{"key": "x"}'])
def test_a_damaged_part_is_made_again(inputs, tmp_path, monkeypatch, spoil):
    stop_after(monkeypatch, 4)
    with pytest.raises(Interrupted):
        build_corpus(inputs, tmp_path / "out", {})
    counts = sorted((tmp_path / "out" / "parts").glob("*.json"))
    assert len(counts) == 4
    counts[0].write_bytes(spoil)
    made = stop_after(monkeypatch, 99)
    build_corpus(inputs, tmp_path / "out", {})
    assert len(made) == 2


def test_a_language_that_was_cut_off_is_written_again(inputs, tmp_path):
    build_corpus(inputs, tmp_path / "out", {})
    written = {path: path.read_bytes() for path in (tmp_path / "out").glob("*.parquet")}
    for path, content in written.items():
        path.write_bytes(content[:-1])
    build_corpus(inputs, tmp_path / "out", {})
    assert {path: path.read_bytes() for path in written} == written


def test_leftovers_of_a_killed_run_are_removed(inputs, tmp_path):
    folder = tmp_path / "out" / "parts"
    folder.mkdir(parents=True)
    (folder / ".x.parquet.abc.tmp").write_bytes(b"half")
    (tmp_path / "out" / ".de.parquet.abc.tmp").write_bytes(b"half")
    build_corpus(inputs, tmp_path / "out", {})
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_other_settings_or_files_are_another_run(inputs, tmp_path):
    build_corpus(inputs, tmp_path / "out", {})
    other = inputs.model_copy(update={"rules": inputs.rules.model_copy(update={"min_tokens": 9})})
    with pytest.raises(RunMismatch, match="min_tokens"):
        build_corpus(other, tmp_path / "out", {})
    with pytest.raises(RunMismatch, match="files"):
        build_corpus(inputs.model_copy(update={"text": []}), tmp_path / "out", {})


# --- damage ---


@pytest.fixture
def damaged(tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    xml = dump_xml(articles(9))
    (folder / "dewiki-cut.xml").write_text(xml[: xml.index("Nummer 6")], encoding="utf-8")
    (folder / "ltgwiki-none.xml").write_text("<html></html>")
    return Corpus(dumps=[str(folder)], workers=1)


def test_what_stands_before_damage_is_kept_and_the_damage_reported(damaged, tmp_path, capsys):
    statistics = build_corpus(damaged, tmp_path / "out", {})
    assert len(rows(tmp_path / "out", "de")) == 5
    cut, none = statistics["files"]
    assert "XML ends in the middle" in cut["damage"]
    assert "'Seite 5'" in cut["damage"]
    assert "root element is <html>" in none["damage"]
    assert not (tmp_path / "out" / "ltg.parquet").exists()
    shown = capsys.readouterr().err
    assert f"warning: {cut['damage']}" in shown
    assert "dewiki-cut.xml" in cut["damage"]


def test_strict_fails_after_everything_is_written(damaged, tmp_path):
    for _ in range(2):  # also when it is all there already
        with pytest.raises(DataError, match="2 of 2 files are damaged; the first: dewiki-cut"):
            build_corpus(damaged.model_copy(update={"strict": True}), tmp_path / "out", {})
        assert len(rows(tmp_path / "out", "de")) == 5
    assert build_corpus(damaged, tmp_path / "out", {})["totals"]["samples"] == 5  # strict is no other run


def test_damaged_text_keeps_its_other_lines(tmp_path):
    (tmp_path / "de.txt").write_bytes(
        b"Das hier ist eine Zeile.\n" * 2 + b"\xff kaputt ist diese Zeile hier\n" + PROSE.encode()
    )
    whole = gzip.compress(b"".join(b"Zeile Nummer %d ist ein Satz.\n" % n for n in range(50)), compresslevel=0, mtime=0)
    (tmp_path / "en.txt.gz").write_bytes(whole[:-40])
    statistics = build_corpus(Corpus(text=[str(tmp_path / "*.txt*")], workers=1), tmp_path / "out", {})
    german, english = statistics["files"]
    assert german["samples"] == 3
    assert "1 of 4 lines are not UTF-8 and were left out, the first is line 3" in german["damage"]
    assert english["samples"] >= 45
    assert "compressed data end in the middle" in english["damage"]
    assert rows(tmp_path / "out", "en")[-1]["text"].endswith("ein Satz.")


# --- input that cannot be used ---


def test_only_the_languages_asked_for_are_read(inputs, tmp_path):
    settings = inputs.model_copy(update={"languages": ["ltg", "xh"]})
    statistics = build_corpus(settings, tmp_path / "out", {})
    assert list(statistics["languages"]) == ["ltg"]
    assert any("xh" in warning for warning in statistics["warnings"])
    with pytest.raises(DataError, match="keeps only xh, but the files are in de, ltg, ss"):
        build_corpus(inputs.model_copy(update={"languages": ["xh"]}), tmp_path / "none", {})


def test_a_dump_without_articles_is_a_warning(inputs, tmp_path, write_dump):
    path = write_dump([page_xml("Kategorie:X", PROSE, namespace=14)], "siwiki-test.xml")
    settings = inputs.model_copy(update={"dumps": [*inputs.dumps, str(path)]})
    statistics = build_corpus(settings, tmp_path / "out", {})
    assert [warning for warning in statistics["warnings"] if "siwiki-test.xml: no article" in warning]
    assert statistics["languages"]["si"]["samples"] == 0


def test_not_one_sample_is_an_error(tmp_path, write_dump):
    path = write_dump([page_xml("Kurz", "Zu kurz.")])
    with pytest.raises(DataError, match="not one sample"):
        build_corpus(Corpus(dumps=[str(path)], workers=1), tmp_path / "out", {})


def test_empty_files_and_dumps_of_other_projects_do_not_stop_the_rest(tmp_path, write_dump):
    sound = write_dump(articles(3), "dewiki-20260101-pages-articles.xml")
    write_dump(articles(3), "commonswiki-20260101-pages-articles.xml")
    (sound.parent / "frwiki-20260101-pages-articles.xml").touch()
    (tmp_path / "sw.txt").touch()
    (sound.parent / "dewiki-20260101-pages-articles-multistream-index.txt.bz2").write_bytes(b"no dump")
    settings = Corpus(dumps=[f"{sound.parent}/*wiki*"], text=[str(tmp_path / "sw.txt")], workers=1)
    statistics = build_corpus(settings, tmp_path / "out", {})
    assert statistics["languages"]["de"]["pages"] == 3
    assert [file["file"] for file in statistics["files"]] == [
        "dewiki-20260101-pages-articles.xml", "frwiki-20260101-pages-articles.xml", "sw.txt"
    ]  # fmt: skip
    told = " ".join([*statistics["warnings"], *(file["damage"] or "" for file in statistics["files"])])
    assert "commonswiki-20260101-pages-articles.xml: a dump of Wikimedia Commons" in told
    assert "frwiki-20260101-pages-articles.xml: the file is empty" in told
    assert "sw.txt: the file is empty" in told


def test_articles_that_are_read_twice_are_told(tmp_path, write_dump):
    first = write_dump(articles(2), "dewiki-20260101-pages-articles.xml")
    write_dump(articles(2), "dewiki-20260201-pages-articles-multistream1.xml")
    write_dump(articles(2), "dewiki-20260201-pages-articles-multistream2.xml")
    write_dump(articles(2), "swwiki-20260201-pages-articles-multistream1.xml")
    write_dump(articles(2), "swwiki-20260201-pages-articles-multistream2.xml")
    (tmp_path / "copy").mkdir()
    shutil.copy(first.parent / "swwiki-20260201-pages-articles-multistream1.xml", tmp_path / "copy")
    settings = Corpus(dumps=[str(first.parent), str(tmp_path / "copy")], workers=1)
    warnings = build_corpus(settings, tmp_path / "out", {})["warnings"]
    assert len(warnings) == 2
    assert "dewiki: dumps of several dates or forms (dewiki-20260101-pages-articles, dewiki-20260201" in warnings[0]
    assert warnings[1].startswith("swwiki-20260201-pages-articles-multistream1.xml: in 2 folders")


def test_unusable_input_is_named(inputs, tmp_path, write_dump):
    nameless = write_dump(articles(1), "pages-articles.xml")
    for settings, message in [
        (Corpus(), "no file"),
        (Corpus(dumps=[str(tmp_path / "nowhere*.xml")]), "no such dump"),
        (Corpus(dumps=[str(tmp_path / "text")]), "no such dump"),
        (Corpus(dumps=[str(nameless)]), "no language in the file's name"),
        (Corpus(text=[str(tmp_path / "text" / "sizes.csv")]), "no language in the file's name"),
        (inputs.model_copy(update={"tokenizer": str(tmp_path / "vocab.txt")}), "no such tokenizer"),
        (inputs.model_copy(update={"text": [f"{inputs.dumps[0]}/*test2*"]}), "a dump, by its name"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            build_corpus(settings, tmp_path / "out", {})
        assert caught.value.fix
    assert not (tmp_path / "out").exists()


# --- details ---


def test_a_tokenizer_counts_and_may_be_moved(inputs, tmp_path):
    pieces = [*SPECIAL_TOKENS, *(chr(c) for c in range(33, 127)), *(f"##{chr(c)}" for c in range(97, 123))]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(pieces), encoding="utf-8")
    settings = inputs.model_copy(update={"tokenizer": str(path), "languages": ["ltg"]})
    statistics = build_corpus(settings, tmp_path / "out", {})
    assert statistics["token_counter"] == str(path)
    assert statistics["totals"]["tokens"] > 3 * 8
    moved = tmp_path / "moved" / "vocab.txt"
    moved.parent.mkdir()
    path.rename(moved)
    again = build_corpus(settings.model_copy(update={"tokenizer": str(moved)}), tmp_path / "out", {})
    assert again["totals"] == statistics["totals"]


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path, write_dump):
    a = write_dump(articles(2), "dewiki-x.xml", tmp_path / "a")
    b = write_dump(articles(3, start=10), "dewiki-x.xml", tmp_path / "b")
    build_corpus(Corpus(dumps=[str(b), str(a)], workers=1), tmp_path / "out", {})
    assert [row["page_id"] for row in rows(tmp_path / "out", "de")] == [1, 2, 10, 11, 12]


def test_samples_are_written_in_groups_of_bounded_size(tmp_path, write_dump, monkeypatch):
    monkeypatch.setattr(parts, "ROWS", 7)
    path = write_dump(articles(20), "dewiki-x.xml")
    build_corpus(Corpus(dumps=[str(path)], workers=1), tmp_path / "out", {})
    file = pq.ParquetFile(tmp_path / "out" / "de.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [7, 7, 6]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_file_system_without_links_gets_a_copy(inputs, tmp_path, monkeypatch):
    build_corpus(inputs, tmp_path / "linked", {})

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    build_corpus(inputs, tmp_path / "copied", {})
    assert contents(tmp_path / "linked") == contents(tmp_path / "copied")
