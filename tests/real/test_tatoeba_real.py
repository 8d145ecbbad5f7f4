"""Tatoeba beside the project: all 112 languages are found, aligned and known by their codes."""

from unibert.languages import LANGUAGES, language
from unibert.universality.sentences import find_parallel, find_texts


def test_all_of_tatoeba(shared_data):
    pairs, left_out = find_parallel([shared_data / "retrieval"])
    assert left_out == {}
    assert len(pairs) == len({pair.name for pair in pairs}) == len({pair.language for pair in pairs}) == 112
    assert sum(len(pair.texts) for pair in pairs) == 88_877
    assert all(pair.other == "en" and pair.name == f"{pair.language}-en" for pair in pairs)
    assert {pair.language for pair in pairs} < set(LANGUAGES)
    by_name = {pair.name: pair for pair in pairs}
    assert (by_name["de-en"].texts[0], by_name["de-en"].others[0]) == (
        "Maria sagte, sie wisse nicht, wo Tom sei.",
        "Mary said she didn't know where Tom was.",
    )
    # Letters tell that the codes were read right: the wrong language would be in another script.
    for code, letter in {"zh": "的", "fa": "است", "mn": "ө", "he": "ש", "als": "gs", "ms": "yang"}.items():
        assert any(letter in text for text in by_name[f"{code}-en"].texts), code


def test_some_languages_of_it(shared_data):
    pairs, left_out = find_parallel([shared_data / "retrieval" / "tatoeba" / "*"], ["sw", "zh", "dv"], least=500)
    assert [pair.name for pair in pairs] == ["zh-en"]
    assert left_out == {"sw-en": "390 sentences, fewer than 500", "dv": "no translations of it were found"}


def test_texts_are_drawn_of_every_script(shared_data):
    wanted = ["ka", "km", "ru", "yue", "zh"]
    texts, left_out = find_texts([shared_data / "text"], wanted, 300, 1)
    assert (list(texts), left_out) == (wanted, {})
    for code, found in texts.items():
        assert len(set(found)) == 300
        assert min(map(len, found)) >= (8 if language(code).script in ("Khmr", "Hani", "Hant") else 20)
