"""Sentences for a map: those in most languages first, each with the number of its meaning."""

from unibert.universality.meanings import pick_meanings
from unibert.universality.sentences import Parallel

PARALLEL = [
    Parallel("de-en", "de", "en", ["eins", "zwei", "drei"], ["one", "two", "three"]),
    Parallel("fr-en", "fr", "en", ["deux", "un"], ["two", "one"]),
    Parallel("es-en", "es", "en", ["dos"], ["two"]),
    Parallel("de-fr", "de", "fr", ["eins"], ["un"]),
]


def test_files_are_joined_at_the_side_they_share():
    texts, languages, meanings = pick_meanings(PARALLEL, 1)
    groups = {}
    for text, language, meaning in zip(texts, languages, meanings, strict=True):
        groups.setdefault(meaning, {})[language] = text
    assert groups == {
        0: {"en": "two", "de": "zwei", "fr": "deux", "es": "dos"},
        1: {"en": "one", "de": "eins", "fr": "un"},
        2: {"en": "three", "de": "drei"},
    }


def test_whole_meanings_up_to_a_number_of_points():
    texts, _, meanings = pick_meanings(PARALLEL, 1, most=8)
    assert len(texts) == 7
    assert set(meanings) == {0, 1}
    assert pick_meanings(PARALLEL, 1, least_languages=4)[1] == ["en", "de", "fr", "es"]
    assert pick_meanings(PARALLEL, 1, least_languages=5) == ([], [], [])


def test_without_translations_there_is_no_map():
    assert pick_meanings([], 1) == ([], [], [])
