import pytest

from unibert.corpus.templates import CITED, GONE, remove_templates


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a {{x}} b", f"a {GONE} b"),
        ("a {{x|{{y}}|{{{z|}}}}} b", f"a {GONE} b"),
        ("{{{a}}}", GONE),
        ("a }} b", "a  b"),
        ("a {{x\n\nb", f"a {GONE}\n\nb"),
        ("a {{x\n== b ==", f"a {GONE}\n== b =="),
        ("a{b}c", "a{b}c"),
        ("a<!-- {{ -->b", "ab"),
        ("a<!-- b", "a"),
        ("<!-- a -->\nb", "b"),
        ("a<ref>{{b</ref>c}}", f"a{GONE}c"),
        ("a<REF name='x'/>b", f"a{GONE}b"),
        ("a<ref>b\nc", f"a{GONE}\nc"),
        ("<nowiki>{{a}} [[b]]</nowiki>", "a b"),
        ("{{nowrap|a <ref>b</ref>c}}", f"a {GONE}c"),
        ("{{nowrap|{{x}}}}", GONE),
    ],
)
def test_what_is_taken_out_leaves_a_mark(source, expected):
    assert remove_templates(source) == expected


@pytest.mark.parametrize(
    ("source", "cited"),
    [
        ("\n* {{cite web|url=http://x.org}}", True),
        ("\n# {{Literatur | ISBN = 1}}", True),
        ("\n* ''{{a|b=https://x.org}}''", True),
        ("\n:* {{a|doi=10.1}}", True),
        ("\n* {{a|b=c}}", False),
        ("\n{{cite web|url=http://x.org}}", False),
        ("\n* Wort {{cite web|url=http://x.org}}", False),
        ("\n* {{nowrap|http://x.org}}", False),
    ],
)
def test_a_citation_at_the_beginning_of_an_item_is_marked(source, cited):
    assert (CITED in remove_templates(source)) is cited
