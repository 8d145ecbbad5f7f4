import re

import pytest

from unibert.errors import DataError
from unibert.languages import LANGUAGES, MBERT_CODES, language, language_of_file


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dewiki-20260101-pages-articles-multistream1.xml-p1p100.bz2", "de"),
        ("some/folder/dewiki-latest-pages-articles.xml.bz2", "de"),
        ("dewiki.xml", "de"),
        ("zh_yuewiki-latest-pages-articles.xml.bz2", "yue"),
        ("be_x_oldwiki-20260101-pages-articles.xml.bz2", "be-tarask"),
        ("zh_min_nanwiki-latest.xml.gz", "nan"),
        ("simplewiki-latest-pages-articles.xml.bz2", "simple"),
        ("alswiki-mini-pages-articles.xml.bz2", "als"),
        ("roa_tarawiki-latest-pages-articles.xml.bz2", "roa-tara"),
        ("ltgwiktionary-latest-pages-articles.xml.bz2", "ltg"),
        ("xqqwiki-latest-pages-articles.xml", "xqq"),
        ("de.txt.gz", "de"),
        ("yue.txt", "yue"),
        ("zh_yue.txt", "yue"),
        ("be-tarask.txt", "be-tarask"),
    ],
)
def test_language_of_file(name, code):
    assert language_of_file(name) == code


@pytest.mark.parametrize(
    "name",
    ["", "pages-articles.xml.bz2", "commonswiki-latest.xml", "wiki-latest.xml", "README.txt", "DE.txt", "de.csv"],
)
def test_a_name_without_a_language_says_how_files_are_named(name):
    with pytest.raises(DataError) as caught:
        language_of_file(name)
    assert "dewiki-" in caught.value.fix
    assert "de.txt" in caught.value.fix


def test_every_entry_is_whole_and_none_is_there_twice():
    codes = [line.split(", ")[0] for line in __import__("unibert.languages").languages._TABLE.strip().splitlines()]
    assert len(codes) == len(set(codes)) == len(LANGUAGES)
    for code, entry in LANGUAGES.items():
        assert entry.code == code
        assert re.fullmatch(r"[a-z][a-z0-9_-]{1,19}", code)
        assert entry.name
        assert entry.native
        assert re.fullmatch(r"[A-Z][a-z]{3}", entry.script)
        assert entry.wiki == "" or entry.wiki.endswith("wiki")
    wikis = [entry.wiki for entry in LANGUAGES.values() if entry.wiki]
    assert len(wikis) == len(set(wikis))


def test_a_wiki_s_dump_is_in_its_language():
    for entry in LANGUAGES.values():
        if entry.wiki:
            assert language_of_file(f"{entry.wiki}-latest-pages-articles.xml.bz2") == entry.code


def test_the_paper_s_languages_are_known():
    assert len(MBERT_CODES) == len(set(MBERT_CODES)) == 103  # 104 languages, Chinese counted once
    assert {*MBERT_CODES, "ss"} <= set(LANGUAGES)


def test_an_unknown_code_is_named_by_itself():
    entry = language("xqq")
    assert (entry.code, entry.name, entry.native, entry.script) == ("xqq", "xqq", "xqq", "Zyyy")
