import pytest

from unibert.corpus.namespaces import (
    CATEGORY_NAMES,
    FILE_NAMES,
    LANGUAGE_PREFIXES,
    NAMES,
    dropped_prefixes,
    normal_name,
)
from unibert.corpus.wikitext import plain_text
from unibert.languages import LANGUAGES


@pytest.mark.parametrize(
    ("name", "normal"), [(" File ", "file"), ("Thể_loại", "thể loại"), ("\u200eתמונה", "תמונה"), ("IMAGE", "image")]
)
def test_names_are_compared_without_case_and_underscores(name, normal):
    assert normal_name(name) == normal


def test_the_table_is_in_normal_form_and_files_are_not_categories():
    for name in FILE_NAMES | CATEGORY_NAMES:
        assert name == normal_name(name)
    assert not FILE_NAMES & CATEGORY_NAMES
    assert {"file", "image", "datei", "ファイル", "файл", "ملف"} <= FILE_NAMES
    assert {"category", "kategorie", "カテゴリ", "категория", "تصنيف"} <= CATEGORY_NAMES


def test_a_dump_adds_its_own_names():
    assert {"fails", "kategoreja", "medeja"} <= dropped_prefixes(
        {-2: "Medeja", 6: "Fails", 14: "Kategoreja", 10: "Taiss"}
    )
    assert "taiss" not in dropped_prefixes({10: "Taiss"})
    assert dropped_prefixes({}) == FILE_NAMES | CATEGORY_NAMES


def test_language_prefixes_hold_old_and_new_codes():
    assert {"de", "simple", "zh-min-nan", "nan", "be-x-old", "be-tarask"} <= LANGUAGE_PREFIXES
    assert not {"wikt", "file", "mission"} & LANGUAGE_PREFIXES


def test_every_language_has_its_names():
    assert set(NAMES) == set(LANGUAGES)
    for code, (files, categories) in NAMES.items():
        assert files, code
        assert categories, code
        assert files <= FILE_NAMES
        assert categories <= CATEGORY_NAMES


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_files_and_categories_go_in_every_language(code):
    files, categories = NAMES[code]
    links = [f"[[{name.capitalize()}:A.jpg|thumb|b [[c]]]]" for name in sorted(files)]
    links += [f"[[{name.replace(' ', '_')}:D|*]]" for name in sorted(categories)]
    assert plain_text("".join(links) + "Wort") == "Wort"
