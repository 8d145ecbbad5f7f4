import pytest

from unibert.corpus.clean import has_only_links
from unibert.corpus.sections import Block, shown_blocks
from unibert.corpus.templates import CITED, GONE, LINK, LINK_END, TITLE
from unibert.corpus.wikitext import paragraphs, plain_text

PROSE = "Der Fluss entspringt im Gebirge und mündet nach langer Reise in das Meer."


def shown(wikitext):
    return [paragraph.text for paragraph in paragraphs(wikitext)]


@pytest.mark.parametrize(
    "body",
    [
        "<references/>",
        "{{reflist|2}}",
        "<references>\n<ref name=a>Buch</ref>\n</references>",
        "* [http://x.example.org Offizielle Seite der Stadt und ihrer Verwaltung]",
        "* [http://x.example.org Offizielle Seite der Stadt] (auf Deutsch und Englisch)",
        "* [http://x.example.org Ein ''[[Buch]]'' mit [[Verweis]] im Titel]",
        "* http://x.example.org/a/b die Seite der Stadt",
        "[//x.example.org Offizielle Seite der Stadt und ihrer Verwaltung]",
        "* {{Literatur|Autor=A. Muster|Titel=Das Buch|ISBN=3-476-04558-X}}",
        "* {{cite web |url=http://x.example.org |title=Ein Titel mit vielen Wörtern}} abgerufen am Montag",
        "# Muster, A. (1999). ''Das große Buch der Flüsse''. Verlag der Stadt, Berlin. ISBN 3-476-04558-X.",
        "* Muster, A. (1999): Das Buch. ISBN 3-476-04558-X\n* Beispiel, B. (2001): Noch ein Buch. Verlag.",
        "* [[Liste der langen Flüsse in Europa]]\n* '''[[Geschichte der Stadt am Fluss|Stadt]]'''.\n* [[Meer]]",
        "{{Commons|Fluss}}\n* [[Liste der langen Flüsse in Europa]]\n[[Kategorie:Fluss]]",
    ],
)
def test_a_section_of_references_or_links_goes(body):
    assert shown(f"{PROSE}\n== Abschnitt ==\n{body}\n== Ende ==\n{PROSE}") == [PROSE, PROSE]


@pytest.mark.parametrize(
    "body",
    [
        f"{PROSE} Mehr dazu steht auf der [http://x.example.org Seite der Stadt].",
        f"Siehe http://x.example.org. {PROSE}",
        "* Das [http://x.example.org Festival] zieht jedes Jahr im Winter viele Gäste in die Stadt, die dann zwischen "
        "den Türmen und Palästen am Platz die neuen Filme sehen und abends in den Theatern und Gärten am Ufer "
        "feiern.",
        "* Die Stadt hat einen Hafen.\n* Die Stadt hat zwei Brücken.\n* Die Stadt hat ein Buch, ISBN 3-476-04558-X.",
        "* [[Hafen]] mit Leuchtturm\n* [[Brücke]]",
        "* {{flagicon|FR}} Die Partnerstadt liegt in Frankreich",
        "* Muster, A.: Das große Buch der Flüsse. Verlag der Stadt, Berlin 1999.",
    ],
)
def test_prose_and_lists_without_such_marks_stay(body):
    assert len(shown(f"== Abschnitt ==\n{body}")) == len(body.splitlines())


@pytest.mark.parametrize(
    "bare", ["http://x.example.org/a", "ISBN 978-3-476-04558-4", "ISBN 3-476-04558-X http://x.org"]
)
@pytest.mark.parametrize("mark", ["", "* "])
def test_bare_addresses_and_book_numbers_are_left_to_the_second_rule(mark, bare):
    assert shown(f"{mark}{bare}") == [bare]
    assert has_only_links(bare)


def test_a_list_goes_and_the_prose_before_it_stays():
    source = f"== Abschnitt ==\n{PROSE}\n* [http://x.example.org A]\n* [http://y.example.org B]"
    assert shown(source) == [PROSE]


def test_the_next_section_is_judged_by_itself():
    source = f"== Netz ==\n* [http://x.example.org A]\n=== Bücher ===\n* {PROSE}"
    assert paragraphs(source) == [("Bücher", PROSE)]


def test_boilerplate_can_be_kept():
    source = "== Netz ==\n* [http://x.example.org Seite der Stadt]\n* [[Fluss]]"
    assert [text for _, text in paragraphs(source, boilerplate=True)] == ["Seite der Stadt", "Fluss"]
    assert plain_text(source) == ""


def test_a_long_item_without_a_year_is_prose_among_references():
    reference = Block(f"Muster 1999 {LINK}Titel{LINK_END}", item=True)
    prose = Block(" ".join(["wort"] * 20), item=True)
    entry = Block(f"{prose.text} 1999", item=True)
    assert shown_blocks([reference, reference, prose]) == [prose.text]
    assert shown_blocks([reference, reference, entry]) == []


def test_marks_never_come_out():
    blocks = [
        Block(f"{TITLE}a", item=True),
        Block(f"{PROSE} {LINK}b{LINK_END}", item=False),
        Block(f"{CITED} {PROSE} {PROSE} {PROSE}", item=True),
    ]
    assert shown_blocks(blocks) == ["a", f"{PROSE} b", f"{GONE} {PROSE} {PROSE} {PROSE}"]
