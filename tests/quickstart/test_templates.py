"""Filling in templates: segments make up the text, entities are set apart from the words and suffixes around them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.quickstart.templates import (
    BadTemplate,
    Filler,
    Segment,
    Slot,
    fill,
    merge,
    parse,
    roles,
    split_form,
    text_of,
)

PLAIN = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=20)
SLOTS = st.builds(Slot, st.sampled_from(["subject", "country2", "born"]), st.sampled_from(["name", "gen"]))


def written(part: str | Slot) -> str:
    return (
        part if isinstance(part, str) else f"{{{part.role}}}" if part.form == "name" else f"{{{part.role}.{part.form}}}"
    )


@given(st.lists(PLAIN | SLOTS, max_size=8))
def test_parse_reads_what_was_written(parts):
    template = "".join(map(written, parts))
    assert "".join(map(written, parse(template))) == template
    assert [part for part in parse(template) if isinstance(part, Slot)] == [
        part for part in parts if isinstance(part, Slot)
    ]


@pytest.mark.parametrize("template", ["{subject", "subject}", "{Subject}", "{}", "{a b}", "{{subject}}"])
def test_a_stray_brace_is_refused(template):
    with pytest.raises(BadTemplate):
        parse(template)


@given(st.lists(PLAIN | SLOTS, max_size=8), PLAIN.filter(bool), st.text("abcxyz", min_size=1))
def test_segments_make_up_the_text(parts, name, word):
    fillers = {
        "subject": Filler({"name": name, "gen": name + "s"}, "x", "LOC", name),
        "country2": Filler({"name": name}, "y", "LOC", name),
        "born": Filler({"name": word}),
    }
    segments = fill("".join(map(written, parts)), fillers, "en")
    assert segments is not None
    # Capitals at the beginning of a sentence are the only thing that filling in changes.
    shown = [part if isinstance(part, str) else _shown(fillers[part.role], part.form) for part in parts]
    assert text_of(segments).lower() == "".join(shown).lower()
    mentions = [segment for segment in segments if segment.entity]
    assert len(mentions) == sum(isinstance(part, Slot) and part.role != "born" for part in parts)
    assert all((s.label, s.target) == ("LOC", name) for s in mentions)
    assert not any(a.entity is None and b.entity is None for a, b in itertools.pairwise(segments))


def _shown(filler, form):
    return filler.forms.get(form, filler.forms["name"])


@pytest.mark.parametrize(
    ("form", "name", "expected"),
    [
        ("во Франции", "Франция", ("во ", "Франции", "")),
        ("l'Italie", "Italie", ("l'", "Italie", "")),
        ("în Franța", "Franța", ("în ", "Franța", "")),
        ("in der Türkei", "Türkei", ("in der ", "Türkei", "")),
        ("Ankara'da", "Ankara", ("", "Ankara", "'da")),
        ("İzmir’den", "İzmir", ("", "İzmir", "’den")),
        ("Германии", "Германия", ("", "Германии", "")),
        ("al-Ahly", "Ahly", ("", "al-Ahly", "")),
        ("eBay", "eBay", ("", "eBay", "")),
        ("भारत", "भारत", ("", "भारत", "")),
        ("埃及", "埃及", ("", "埃及", "")),
        ("Côte d'Ivoire", "Côte d'Ivoire", ("", "Côte d'Ivoire", "")),
    ],
)
def test_the_entity_is_set_apart_from_preposition_and_suffix(form, name, expected):
    assert split_form(form, name) == expected


@given(PLAIN, PLAIN)
def test_dividing_a_form_loses_nothing(form, name):
    before, mention, after = split_form(form, name)
    assert before + mention + after == form


def test_a_sentence_begins_with_a_capital_but_a_name_stays_as_it_is():
    fillers = {
        "subject": Filler({"name": "Türkei", "nom": "die Türkei"}, "turkey", "LOC", "Türkei"),
        "firm": Filler({"name": "eBay"}, "ebay", "ORG", "EBay"),
        "purpose": Filler({"name": "ilaç"}),
    }
    segments = fill("{subject.nom} liegt dort. {subject.nom} auch, wo {subject.nom} ist. {firm}.", fillers, "de")
    assert text_of(segments or []) == "Die Türkei liegt dort. Die Türkei auch, wo die Türkei ist. eBay."
    assert text_of(fill("{purpose} ve {purpose}.", fillers, "tr") or []) == "İlaç ve ilaç."


def test_a_role_without_filler_leaves_the_template_out_and_an_unknown_form_is_the_name():
    fillers = {"subject": Filler({"name": "Paris"}, "paris", "LOC", "Paris")}
    assert fill("{subject} {river}", fillers, "en") is None
    assert fill("{subject.gen}.", fillers, "en") == [Segment("Paris", "paris", "LOC", "Paris"), Segment(".")]
    assert roles("{subject.gen} {river}") == {"subject", "river"}


def test_merge_joins_literal_texts_only():
    mention = Segment("A", "a", "PER", "A")
    assert merge([Segment("x"), Segment(""), Segment("y"), mention, mention]) == [Segment("xy"), mention, mention]
