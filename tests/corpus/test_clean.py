import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.corpus import clean
from unibert.corpus.clean import (
    RULE_NAMES,
    apply_rules,
    digit_share,
    has_only_links,
    has_too_many_digits,
    is_too_short,
    remove_hidden_characters,
    remove_html,
)
from unibert.recipe import Rules


def words(text):
    return len(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a<br/>b <span class='x'>c</span>", "a b c"),
        ("AT&amp;T &nbsp; Co.", "AT&T Co."),
        ("&amp;amp;amp;lt;b&gt;x", "x"),
        ("<!-- note -->x-->", "x"),
        ('style="color:red" | x', "| x"),
        ("H<sub>2</sub>O", "H2O"),
        ("<references />", ""),
        ("&#956; &#x3bc;", "μ μ"),
        ("R&D; fish & chips; 3 < 4 > 2", "R&D; fish & chips; 3 < 4 > 2"),
        ("the <nome_del_file> there", "the <nome_del_file> there"),
        ("x = 3, style of life", "x = 3, style of life"),
    ],
)
def test_rule_1_html(text, expected):
    assert remove_html(text) == expected


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("https://example.org/a?b=c", True),
        ("  http://example.org , www.example.com; ", True),
        ("ISBN 978-3-476-04558-4", True),
        ("ISBN 3-476-04558-X, ISBN-13: 9783476045584.", True),
        ("978 3 476 04558 4", True),
        ("Siehe https://example.org", False),
        ("Das Buch, ISBN 978-3-476-04558-4", False),
        ("Buch 978-3-476-04558-4", False),
        ("12345", False),
        ("---", False),
        ("", False),
    ],
)
def test_rule_2_links_only(text, only):
    assert has_only_links(text) is only


@pytest.mark.parametrize(
    ("text", "share"), [("", 0), ("abc", 0), ("12a4", 0.75), ("١٢٣ ", 0.75), ("1 2 3 ", 0.5), ("x²½", 0)]
)
def test_rule_3_digit_share(text, share):
    assert digit_share(text) == share


def test_rule_3_drops_above_the_bound_and_not_at_it():
    assert not has_too_many_digits("1234567abc", 0.7)
    assert has_too_many_digits("12345678ab", 0.7)
    assert has_too_many_digits("12345678ab", 0.75)
    assert not has_too_many_digits("12345678ab", 0.8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("a\x00b\x07c\x9f", "abc"),
        ("a\tb\nc\r\n\u2028d", "a b c d"),
        ("a\u200db\u200cc", "abc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("می\u200c\u200cخواهم", "می\u200cخواهم"),
        ("ශ්\u200dරී", "ශ්\u200dරී"),
        ("ന്\u200d x", "ന്\u200d x"),
        ("\u200cآب", "آب"),
        ("👩\u200d👧 ❤\ufe0f", "👩👧 ❤"),
        ("١\u06dd", "١\u06dd"),
        ("\ud800x", "x"),
        ("naïve", "naïve"),
    ],
)
def test_rule_4_hidden_characters(text, expected):
    assert remove_hidden_characters(text) == expected


def test_rule_4_knows_every_control_and_format_character():
    visible = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs") or character in visible:
            continue
        left = remove_hidden_characters(f"a{character}b")
        assert left in ("ab", "a b"), hex(code)


def test_rule_4_leaves_visible_characters_alone():
    for code in range(0x20, 0x30000):
        character = chr(code)
        if unicodedata.category(character)[0] in "LNPS":
            assert remove_hidden_characters(f"a{character}b") == f"a{character}b", hex(code)


def test_rule_5_drops_below_the_bound_and_not_at_it():
    assert [is_too_short(tokens) for tokens in (0, 4, 5, 6)] == [True, True, False, False]
    assert [is_too_short(tokens, 3) for tokens in (2, 3)] == [True, False]


def test_every_rule_is_documented():
    rules = (remove_html, has_only_links, has_too_many_digits, remove_hidden_characters, is_too_short)
    for number, rule in enumerate(rules, start=1):
        assert rule.__doc__.startswith(f"Rule {number}, ")


def test_the_rules_run_in_the_paper_s_order():
    rules = Rules()
    assert apply_rules("one two three four five", rules, words)[:4] == ("one two three four five", None, (), 5)
    assert apply_rules("one two three four", rules, words)[:4] == (None, "short", (), 0)
    assert apply_rules("<br>", rules, words)[:4] == (None, "html", ("html",), 0)
    assert apply_rules("https://example.org", rules, words)[:4] == (None, "links_only", (), 0)
    assert apply_rules("1234567890 ab", rules, words)[:4] == (None, "digits", (), 0)
    assert apply_rules("\u200b\u200b", rules, words)[:4] == (None, "hidden_characters", ("hidden_characters",), 0)
    # Digits are counted before hidden characters go: 8 of 12 are not above 70 %, 8 of 10 would be.
    assert apply_rules("12345678ab\u200b\u200b", rules, lambda _: 9).text == "12345678ab"
    both = apply_rules("one <b>two</b> three\u200b four five", rules, words)
    assert both[:4] == ("one two three four five", None, ("html", "hidden_characters"), 5)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("html", "one <b>two</b> three four five"),
        ("links_only", "https://a.org https://b.org https://c.org https://d.org https://e.org"),
        ("digits", "1111 2222 3333 4444 5555"),
        ("hidden_characters", "one two\u200b three four five"),
        ("short", "one"),
    ],
)
def test_a_rule_that_is_off_does_nothing(rule, text):
    on, off = (apply_rules(text, Rules(**{rule: value}), words) for value in (True, False))
    assert on.dropped_by == rule or on.changed == (rule,)
    assert off.text == text
    assert off.changed == ()


def test_the_bounds_are_settings():
    assert apply_rules("12 ab", Rules(max_digit_share=0.3, min_tokens=1), words).dropped_by == "digits"
    assert apply_rules("one two", Rules(min_tokens=2), words).text == "one two"


def test_the_names_are_those_of_the_recipe():
    assert set(RULE_NAMES) == {name for name, field in Rules.model_fields.items() if field.annotation is bool}


TEXTS = st.text(st.one_of(st.sampled_from("<>&;/=\"'\u200b\u200c\u200d\u00ad می12 b"), st.characters()), max_size=60)
PIECES = st.lists(
    st.sampled_from(["<br>", "</p>", "&lt;", "&amp;", "&gt;", "b", " ", "\u200b", "ا", "\u200c", "7", "<!--", "x"])
).map("".join)


@given(TEXTS | PIECES)
def test_rules_settle_after_one_application(text):
    once = apply_rules(text, Rules(), words)
    if once.text is not None:
        assert not any(ord(c) < 32 for c in once.text)
        assert remove_hidden_characters(once.text) == once.text
        assert not once.changed or once.text == once.text.strip()
        once.text.encode()
    assert remove_html(remove_html(text)) == remove_html(text)


@pytest.mark.parametrize("unit", ["<", "&amp;", "&", "<!--", "ISBN 9", "978-", "www.", 'style="', " \u200c", "\u200d"])
def test_long_runs_of_openings_are_no_trouble(unit):
    cleaned = apply_rules(unit * 40_000, Rules(), words)
    assert cleaned.text is None or len(cleaned.text) <= len(unit) * 40_000


def test_every_tag_of_the_converter_is_an_artefact():
    for name in clean.TAG_NAMES:
        assert remove_html(f"a<{name} x='1'>b</{name}>c").replace(" ", "") == "abc"
