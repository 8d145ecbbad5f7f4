"""MLQA's normalisation on cases made by hand: the tokens that count, F1 and exact match, worked out on paper."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.tasks.answers import MLQA_LANGUAGES, answer_f1, answer_tokens, best_scores, exact_match

# language, answer, gold, F1, exact match
CASES = [
    # English
    ("en", "The Eiffel Tower", "eiffel tower", 1, 1),
    ("en", "a tower", "an tower the", 1, 1),
    ("en", "another theatre", "theatre", 2 / 3, 0),  # words that only begin like an article
    ("en", "U.S.A.", "USA", 1, 1),
    ("en", "well-known", "well known", 0, 0),  # a hyphen is deleted: one word against two
    ("en", "the cat's tail", "cats tail", 1, 1),
    ("en", "“Hamlet” — a play…", "hamlet play", 1, 1),
    ("en", "$5 + tax", "5 tax", 1, 1),  # ASCII's symbols are no Unicode punctuation, but deleted too
    ("en", "5 €", "5", 2 / 3, 0),  # the euro sign is neither
    ("en", "in 1990 in Paris", "in Paris", 2 * 2 / 6, 0),  # a word counts as often as both have it
    ("en", "The", "the", 0, 1),  # nothing is left: no F1, but a match
    ("en", "?", "-", 0, 1),
    ("en", "Vitamin A", "vitamin", 1, 1),  # an article is one wherever it stands
    ("en", "the the the", "house", 0, 0),
    ("en", " new\u00a0York\n city ", "New York", 4 / 5, 0),  # any white space
    ("en", "la casa", "casa", 2 / 3, 0),  # other languages' articles stay
    # Spanish
    ("es", "La Casa de Papel", "casa de papel", 1, 1),
    ("es", "el río", "río", 1, 1),
    ("es", "unos años", "unas años", 1, 1),
    ("es", "¿Quién?", "quién", 1, 1),
    ("es", "¡Olé!", "ole", 0, 0),  # accents count
    ("es", "los «Reyes Católicos»", "Reyes Católicos", 1, 1),
    ("es", "del río", "río", 2 / 3, 0),  # a contraction is no article
    ("es", "lo bueno", "bueno", 2 / 3, 0),  # nor is the neuter lo
    ("es", "dámelo", "dame lo", 0, 0),  # a clitic stays with its verb
    ("es", "1.500 km", "1500 km", 1, 1),
    ("es", "Los Ángeles", "Las Ángeles", 1, 1),
    ("es", "la", "el", 0, 1),
    ("es", "the casa", "casa", 2 / 3, 0),
    # German
    ("de", "Der Rhein", "Rhein", 1, 1),
    ("de", "eines der Häuser", "Häuser", 1, 1),
    ("de", "die Straße", "Strasse", 0, 0),  # lowering does not fold the sharp s
    ("de", "„Die Zeit“", "Zeit", 1, 1),
    ("de", "dem König den Ring", "könig ring", 1, 1),
    ("de", "im Haus", "Haus", 2 / 3, 0),  # a contraction is no article
    ("de", "dieser Mann", "Mann", 2 / 3, 0),
    ("de", "keine Ahnung", "Ahnung", 2 / 3, 0),
    ("de", "3,5 Mio.", "35 mio", 1, 1),
    ("de", "Rhein-Main-Gebiet", "RheinMainGebiet", 1, 1),
    ("de", "das", "des", 0, 1),
    ("de", "ÖSTERREICH", "österreich", 1, 1),
    ("de", "am 5. Mai 1945", "5. Mai", 2 * 2 / 6, 0),
    # Vietnamese
    ("vi", "của Việt Nam", "Việt Nam", 1, 1),
    ("vi", "là những người", "người", 1, 1),
    ("vi", "chiếc xe", "cái xe", 1, 1),
    ("vi", "Hà Nội.", "hà nội", 1, 1),
    ("vi", "một con mèo", "con mèo", 4 / 5, 0),  # the numeral is no article
    ("vi", "các nước", "nước", 2 / 3, 0),
    ("vi", "Hà Nội", "Ha Noi", 0, 0),
    ("vi", "làng", "ng", 0, 0),  # a word that only begins like an article
    ("vi", "(TP.) Hồ Chí Minh", "TP Hồ Chí Minh", 1, 1),
    ("vi", "của", "là", 0, 1),
    ("vi", "ĐẢNG", "đảng", 1, 1),
    ("vi", "la\u0300 xe", "xe", 2 / 3, 0),  # the article in decomposed letters is another string
    # Arabic
    ("ar", "القاهرة", "قاهرة", 1, 1),
    ("ar", "المال", "م", 1, 1),  # alef, lam is taken out at the end as well
    ("ar", "سؤال كبير", "سؤ كبير", 1, 1),
    ("ar", "قالت", "ق ت", 1, 1),  # and in the middle, where it leaves two tokens
    ("ar", "والكتاب", "و كتاب", 1, 1),  # a clitic comes off with it
    ("ar", "وكتاب", "كتاب", 0, 0),  # and stays without it
    ("ar", "للكتاب", "كتاب", 0, 0),
    ("ar", "بغداد، العراق؟", "بغداد عراق", 1, 1),  # the comma and question mark of the script
    ("ar", "الأول", "أول", 1, 1),
    ("ar", "أول", "اول", 0, 0),  # the forms of alef differ
    ("ar", "كِتاب", "كتاب", 0, 0),  # vowel signs are no punctuation
    ("ar", "ال", "ال", 0, 1),
    ("ar", "عام ١٩٩٠", "عام 1990", 1 / 2, 0),  # digits of two scripts differ
    # Hindi
    ("hi", "भारत।", "भारत", 1, 1),  # the danda is punctuation
    ("hi", "नई दिल्ली", "दिल्ली", 2 / 3, 0),
    ("hi", "एक घर", "घर", 2 / 3, 0),  # no articles: the numeral stays
    ("hi", "श्री राम॥", "श्री राम", 1, 1),
    ("hi", "‘ताजमहल’", "ताजमहल", 1, 1),
    ("hi", "हिन्दी-उर्दू", "हिन्दी उर्दू", 0, 0),
    ("hi", "१९४७", "1947", 0, 0),
    ("hi", "फ़िल्म", "फिल्म", 0, 0),  # with and without the dot below
    ("hi", "IBM कंपनी", "ibm कंपनी", 1, 1),
    ("hi", "the घर", "घर", 2 / 3, 0),
    ("hi", "।", "॥", 0, 1),
    ("hi", "राम ने राम को", "राम को", 2 * 2 / 6, 0),
    # Chinese
    ("zh", "北京", "北京市", 4 / 5, 0),  # a character is a token
    ("zh", "《红楼梦》", "红楼梦", 1, 1),
    ("zh", "京北", "北京", 1, 0),  # F1 has no order
    ("zh", "iPhone手机", "IPHONE 手机", 1, 1),
    ("zh", "使用Windows系统", "windows", 2 / 6, 0),
    ("zh", "New York市", "York", 2 / 4, 0),
    ("zh", "1990年，5月。", "1990年5月", 1, 1),
    ("zh", "1990年5月", "1990年", 4 / 6, 0),  # a number is one token
    ("zh", "中、国", "中国", 1, 1),
    ("zh", "3.14", "314", 1, 1),
    ("zh", "カタカナ", "カタ カナ", 0, 0),  # kana are outside the block: white space sets them apart
    ("zh", "𠮷野", "野", 2 / 3, 0),  # and so are rare characters, each run of which is a token
    ("zh", "𠮷𠮷野", "𠮷野", 1 / 2, 0),
    ("zh", "。", "！", 0, 1),
    ("zh", "the 王", "王", 2 / 3, 0),
]


@pytest.mark.parametrize(("language", "answer", "gold", "f1", "match"), CASES)
def test_scores_made_by_hand(language, answer, gold, f1, match):
    assert answer_f1(answer, gold, language) == pytest.approx(f1)
    assert exact_match(answer, gold, language) == bool(match)


def test_every_language_of_mlqa_has_ten_cases():
    counts = {language: sum(case[0] == language for case in CASES) for language in MLQA_LANGUAGES}
    assert min(counts.values()) >= 10, counts


@pytest.mark.parametrize(
    ("language", "answer", "tokens"),
    [
        ("th", "กรุงเทพฯ 2", ["ก", "รุ", "ง", "เ", "ท", "พ", "ฯ", "2"]),  # vowel signs stay with their consonant
        ("ja", "東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("ja", "が\u3099", ["が\u3099"]),
        ("lo", "ລາວ", ["ລ", "າ", "ວ"]),
        ("my", "မြန်", ["မြ", "န်"]),
        ("km", "ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("zh-yue", "香港ABC", ["香", "港", "abc"]),
        ("yue", "𠮷野", ["𠮷", "野"]),
        ("ko", "대한민국의 수도", ["대한민국의", "수도"]),
        ("el", "η Αθήνα;", ["η", "αθήνα"]),
        ("fr", "l’été", ["lété"]),
        ("fr", "la Seine", ["la", "seine"]),  # articles are deleted in MLQA's languages only
        ("ru", "Санкт-Петербург", ["санктпетербург"]),
        ("ru", "слово 中国", ["слово", "中", "国"]),
        ("en-de", "the Rhine", ["rhine"]),  # the context's language decides
        ("EN", "the Rhine", ["rhine"]),
    ],
)
def test_other_languages(language, answer, tokens):
    assert answer_tokens(answer, language) == tokens


def test_the_best_of_several_answers_counts_for_each_metric():
    assert best_scores("the 1990s", ["1990", "the nineteen 1990s", "1990s"], "en") == (1.0, 1.0)
    # F1 is best with one, the match with another, which has no token.
    assert best_scores("the", ["the house", "a"], "en") == (0.0, 1.0)
    assert best_scores("big house", ["house", "big red house"], "en") == (pytest.approx(0.8), 0.0)


TEXT = st.text(st.sampled_from("aAthe .,-中国ルال’กุ $€é\u0301\u200b\n"), max_size=12)
LANGUAGE = st.sampled_from([*MLQA_LANGUAGES, "th", "ja", "fr"])


@given(TEXT, TEXT, LANGUAGE)
def test_scores_of_any_text(answer, gold, language):
    f1 = answer_f1(answer, gold, language)
    assert 0 <= f1 <= 1
    assert math.isclose(f1, answer_f1(gold, answer, language))
    if exact_match(answer, gold, language):
        assert f1 == (1 if answer_tokens(gold, language) else 0)
    if answer_tokens(answer, language):
        assert answer_f1(answer, answer, language) == 1
    assert answer_f1(answer + " .", "?" + gold, language) == f1


@given(TEXT, LANGUAGE)
def test_tokens_are_normal(text, language):
    tokens = answer_tokens(text, language)
    assert all(token and token == token.lower() and not set(token) & set(" .,-$’\n") for token in tokens)
    if language != "ar":  # taking its letters out may bring others together
        assert answer_tokens(" ".join(tokens), language) == tokens
