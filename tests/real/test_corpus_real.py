"""The corpus stage on real dumps: 102 small ones, three larger ones, and one that ends in the middle."""

import bz2
import random
import re
import unicodedata
from collections import Counter

import mwparserfromhell
import pyarrow.parquet as pq
import pytest

from corpus_support import multistream
from unibert.corpus.dump import DumpReader
from unibert.corpus.namespaces import LANGUAGE_PREFIXES, dropped_prefixes, normal_name
from unibert.corpus.pipeline import build_corpus
from unibert.corpus.wikitext import paragraphs
from unibert.languages import LANGUAGES, language_of_file
from unibert.recipe import Corpus
from unibert.tokenizer_files import load_tokenizer_file

LEFT_OVER = ["[[", "]]", "{{", "}}", "{|", "|}", "''", "==", "<ref", "&nbsp;", "px|", "thumb|"]


def dumps_of(shared_data):
    return [str(shared_data / "dumps" / name) for name in ("mini", "larger", "truncated")]


@pytest.fixture(scope="module")
def corpus(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return folder, build_corpus(Corpus(dumps=dumps_of(shared_data), workers=1), folder, {})


def texts(folder, language):
    return pq.read_table(folder / f"{language}.parquet", columns=["text"]).column(0).to_pylist()


def test_every_dump_is_read_and_its_language_is_that_of_its_name(corpus, shared_data):
    folder, statistics = corpus
    assert len(statistics["files"]) == 106
    assert set(statistics["languages"]) <= set(LANGUAGES)
    assert len(statistics["languages"]) == 103
    # One of the mini dumps holds nothing but a template; every other language has samples.
    assert [code for code, counts in statistics["languages"].items() if not counts["samples"]] == ["si"]
    assert {path.stem for path in folder.glob("*.parquet")} == set(statistics["languages"]) - {"si"}
    assert statistics["totals"]["samples"] > 50_000
    # Every header says English; the scripts show that the languages are right.
    for language, script in [
        ("ru", "CYRILLIC"),
        ("ar", "ARABIC"),
        ("ka", "GEORGIAN"),
        ("th", "THAI"),
        ("ml", "MALAYALAM"),
    ]:
        letters = [c for c in "".join(texts(folder, language)) if c.isalpha()]
        assert sum(unicodedata.name(c, "").startswith(script) for c in letters) > 0.8 * len(letters), language


def test_hardly_any_markup_is_left(corpus):
    folder, statistics = corpus
    left = [
        text
        for language, counts in statistics["languages"].items()
        if counts["samples"]
        for text in texts(folder, language)
        if any(mark in text for mark in LEFT_OVER)
    ]
    assert len(left) * 1000 < statistics["totals"]["samples"], left[:20]


def test_the_truncated_dump_keeps_its_pages_and_names_the_damage(corpus):
    _, statistics = corpus
    damaged = [entry for entry in statistics["files"] if entry["damage"]]
    assert [entry["file"] for entry in damaged] == ["enwiki-truncated-pages-articles.xml.bz2"]
    message = damaged[0]["damage"]
    assert "ends in the middle" in message
    assert "361 complete pages" in message
    assert "'April 15'" in message
    assert re.search(r"byte [\d,]+ of the XML, line [\d,]+", message)
    assert damaged[0]["samples"] > 10_000


@pytest.mark.slow
def test_all_dumps_give_the_same_corpus_side_by_side_and_in_slices(corpus, shared_data, tmp_path):
    one, statistics = corpus
    settings = Corpus(dumps=dumps_of(shared_data), workers=2, slice_mb=1)
    assert build_corpus(settings, tmp_path / "two", {}) == statistics
    names = [path.name for path in one.glob("*.parquet")]
    assert len(names) == 102
    for name in names:
        assert (tmp_path / "two" / name).read_bytes() == (one / name).read_bytes(), name


@pytest.mark.slow
def test_slices_of_a_real_dump_are_its_pages(shared_data, tmp_path):
    """The Italian dump as plain XML, which is cut anywhere, and as streams of 100 pages, which is cut at streams."""
    source = shared_data / "dumps" / "larger" / "itwiki-small-pages-articles.xml.bz2"
    xml = bz2.decompress(source.read_bytes())
    plain, streams = tmp_path / "a" / "itwiki-x.xml", tmp_path / "b" / "itwiki-x.xml.bz2"
    plain.parent.mkdir()
    plain.write_bytes(xml)
    streams.parent.mkdir()
    streams.write_bytes(multistream(xml.decode(), 100))
    found = []
    for path, size, workers in [(plain, 1000, 1), (plain, 2, 2), (streams, 1, 2)]:
        out = tmp_path / f"{path.parent.name}{size}"
        settings = Corpus(dumps=[str(path)], workers=workers, slice_mb=size)
        build_corpus(settings, out, {})
        parts = len(list((out / "parts").glob("itwiki*.json")))
        assert (parts > 1) == (size < 1000)
        found.append(pq.read_table(out / "it.parquet").drop_columns("source"))
    assert found[0].num_rows > 5000
    assert found[1].equals(found[0])
    assert found[2].equals(found[0])


GONE_TAGS = set(
    "ref references gallery math table td th tr timeline code source syntaxhighlight pre imagemap rt rp".split()
)


def prose(source, dropped):
    """mwparserfromhell's plain text, without what it is known to leave in: references, tables, captions, categories."""
    tree = mwparserfromhell.parse(source)
    for node in list(tree.ifilter(recursive=True)):
        if isinstance(node, mwparserfromhell.nodes.Tag):
            gone = str(node.tag).strip().lower() in GONE_TAGS
        elif isinstance(node, mwparserfromhell.nodes.Wikilink):
            prefix, colon, _ = str(node.title).partition(":")
            gone = bool(colon) and normal_name(prefix) in dropped | LANGUAGE_PREFIXES
        else:
            gone = False
        if gone:
            try:
                tree.remove(node)
            except ValueError:
                continue  # it went with its parent
    return tree.strip_code()


def words(text):
    return Counter(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text)))


@pytest.mark.parametrize(
    "name",
    [
        "larger/itwiki-small-pages-articles.xml.bz2",
        "larger/ltgwiki-latest-pages-articles.xml.bz2",
        "truncated/enwiki-truncated-pages-articles.xml.bz2",
        *(f"mini/{code}wiki-mini-pages-articles.xml.bz2" for code in ("ar", "ja", "ru", "fi", "bn", "ta")),
    ],
)
def test_no_prose_is_lost_against_mwparserfromhell(shared_data, name):
    reader = DumpReader(shared_data / "dumps" / name)
    pages = [p for p in reader if p.namespace == 0 and not p.redirect and len(p.text) < 60_000]
    pages = random.Random(1).sample(pages, min(len(pages), 25))
    dropped = dropped_prefixes(reader.namespaces)
    theirs, missing = 0, Counter()
    for page in pages:
        # With the lists of references and links that are left out on purpose: the reference has them too.
        found = paragraphs(page.text, reader.namespaces, boilerplate=True)
        ours = words(" ".join(f"{section} {text}" for section, text in found))
        ours += words(" ".join(re.findall(r"^=+([^=\n]+)=+", page.text, re.MULTILINE)))  # headings without text below
        reference = words(prose(page.text, dropped))
        theirs += reference.total()
        missing += reference - ours
    assert missing.total() <= 0.01 * theirs, missing.most_common(20)


def test_plain_text_passes_and_keeps_its_joiners(shared_data, tmp_path):
    codes = ["fa", "si", "th", "km", "ja", "ckb", "sn", "vot"]
    names = [
        str(shared_data / "text" / f"{code}.txt.gz")
        for code in codes
        if (shared_data / "text" / f"{code}.txt.gz").exists()
    ]
    statistics = build_corpus(Corpus(text=names, workers=1), tmp_path / "out", {})
    assert all(entry["damage"] is None for entry in statistics["files"])
    for language, counts in statistics["languages"].items():
        assert counts["samples"] > 0.1 * counts["paragraphs"], language
    assert "\u200c" in "".join(texts(tmp_path / "out", "fa"))
    assert "\u200d" in "".join(texts(tmp_path / "out", "si"))
    assert "\u200b" not in "".join(texts(tmp_path / "out", "km"))


def test_every_shared_file_has_a_language(shared_data):
    files = [*(shared_data / "dumps").rglob("*.bz2"), *(shared_data / "text").glob("*.gz")]
    assert {language_of_file(path) for path in files} <= set(LANGUAGES)


def test_the_vocabulary_of_mbert_opens(shared_data):
    tokenizer = load_tokenizer_file(str(shared_data / "mbert" / "vocab.txt"))
    assert tokenizer.get_vocab_size() == 119_547
    assert tokenizer.encode("Das Café, 東京.").tokens == ["[CLS]", "Das", "Café", ",", "東", "京", ".", "[SEP]"]
