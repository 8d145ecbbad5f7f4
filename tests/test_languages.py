import re
import subprocess
import sys

import pytest

from unibert.errors import DataError
from unibert.languages import (
    ISO_639_3,
    LANGUAGES,
    MBERT_CODES,
    PAPER_CODES,
    _columns,
    _read_table,
    format_languages,
    language,
    language_of_file,
    select_languages,
)


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
        assert re.fullmatch(r"[A-Z][a-z]+([ -][A-Z][a-z]+)?", entry.family)
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


# From Wikimedia's own list of databases: those that are not CODEwiki.
ODD_WIKIS = {
    "be-tarask": "be_x_oldwiki",
    "cbk-zam": "cbk_zamwiki",
    "lzh": "zh_classicalwiki",
    "nan": "zh_min_nanwiki",
    "nds-nl": "nds_nlwiki",
    "rup": "roa_rupwiki",
    "sgs": "bat_smgwiki",
    "vro": "fiu_vrowiki",
    "yue": "zh_yuewiki",
}


def test_databases_are_named_by_the_code_but_for_the_old_ones():
    assert {code: e.wiki for code, e in LANGUAGES.items() if e.wiki not in ("", f"{code}wiki")} == ODD_WIKIS
    assert (language("no").wiki, language("simple").wiki) == ("nowiki", "simplewiki")
    without = [code for code, entry in LANGUAGES.items() if not entry.wiki]
    assert without == "arq bas ber cnh dtp kzj max orv swg tzl vot".split()


def test_the_paper_s_107_wikipedias():
    assert len(PAPER_CODES) == len(set(PAPER_CODES)) == 107
    assert {*MBERT_CODES, "ss"} < set(PAPER_CODES)
    assert all(LANGUAGES[code].wiki for code in PAPER_CODES)
    assert {LANGUAGES[code].script for code in {*PAPER_CODES} - {*MBERT_CODES}} == {"Latn"}


@pytest.mark.parametrize(
    ("family", "codes"),
    [
        ("Germanic", {"de", "en", "yi", "is", "simple"}),
        ("Romance", {"ro", "la", "scn", "ht"}),
        ("Slavic", {"ru", "pl", "bg", "sh"}),
        ("Turkic", {"tr", "azb", "sah", "cv"}),
        ("Semitic", {"ar", "he", "mt", "am"}),
        ("Austronesian", {"id", "mg", "mi", "tl"}),
        ("Uralic", {"fi", "hu", "et"}),
        ("Bantu", {"sw", "ss", "zu"}),
        ("Sinitic", {"zh", "yue", "nan", "lzh"}),
        ("Iranian", {"fa", "tg", "os", "ckb"}),
        ("Constructed", {"eo", "vo", "io", "ia"}),
    ],
)
def test_families(family, codes):
    assert codes <= {code for code, entry in LANGUAGES.items() if entry.family == family}


def test_there_are_few_enough_families_to_tell_apart_in_a_figure():
    assert len({entry.family for entry in LANGUAGES.values()}) <= 35


def test_a_language_is_added_by_one_line():
    added = _read_table("ig, Igbo, Igbo, Latn, Volta-Niger\nxx, X, X, Latn, Bantu, x_oldwiki\nyy, Y, Y, Latn, Bantu, -")
    assert [(e.code, e.family, e.wiki) for e in added.values()] == [
        ("ig", "Volta-Niger", "igwiki"),
        ("xx", "Bantu", "x_oldwiki"),
        ("yy", "Bantu", ""),
    ]


def test_languages_are_selected_by_code_and_by_group_each_once():
    assert [entry.code for entry in select_languages(["fr", "de", "fr", "xqq"])] == ["fr", "de", "xqq"]
    assert {entry.code for entry in select_languages(["paper"])} == set(PAPER_CODES)
    assert [entry.code for entry in select_languages(["all"])] == [c for c, e in LANGUAGES.items() if e.wiki]
    assert len(select_languages(["ltg", "paper"])) == 108


@pytest.mark.parametrize("names", [[], [""], ["../de"], ["DE"], ["d e"], ["de/"], ["vot"]])
def test_what_cannot_be_selected_is_told(names):
    with pytest.raises(DataError):
        select_languages(names)


def test_the_table_is_aligned_whatever_the_script():
    lines = format_languages(LANGUAGES[code] for code in ("de", "zh", "dv", "vot")).splitlines()
    assert lines[0].split() == ["code", "name", "own", "name", "script", "family", "wiki"]
    column = _columns(lines[0].split("script")[0])
    for line, (script, wiki) in zip(
        lines[1:], [("Latn", "dewiki"), ("Hani", "zhwiki"), ("Thaa", "dvwiki"), ("Latn", "-")], strict=True
    ):
        assert _columns(line.rpartition(f"{script}  ")[0]) == column
        assert line.endswith(f" {wiki}")


def test_the_command_prints_every_language_or_the_paper_s():
    def listed(*arguments):
        command = [sys.executable, "-m", "unibert", "languages", *arguments]
        out = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
        return [line.split()[0] for line in out.stdout.splitlines()[1:]]

    assert listed() == list(LANGUAGES)
    assert listed("--paper") == sorted(PAPER_CODES)


def test_an_unknown_code_is_named_by_itself():
    entry = language("xqq")
    assert (entry.code, entry.name, entry.native) == ("xqq", "xqq", "xqq")
    assert (entry.script, entry.family, entry.wiki) == ("Zyyy", "unknown", "xqqwiki")


def test_the_standard_s_codes_lead_to_every_language_that_has_two_letters():
    assert {code for code in LANGUAGES if len(code) == 2} <= set(ISO_639_3.values()) <= set(LANGUAGES)
    assert all(len(code) == 3 for code in ISO_639_3)
    assert [ISO_639_3[code] for code in ("eng", "cmn", "pes", "nob", "gsw", "als")] == "en zh fa no als sq".split()
    # Only one code of ours means another language in the standard.
    assert set(ISO_639_3) & set(LANGUAGES) == {"als"}
