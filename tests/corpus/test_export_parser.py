from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_support import articles, dump_xml, page_xml
from unibert.corpus.export_parser import ExportParser, Fault, Header, Page

PAGES = [*articles(3), page_xml("<page>", "<page> &lt;page> <pages>", 4), *articles(2, start=5)]
DATA = dump_xml(PAGES).replace("</siteinfo>", "<pages>0</pages><pagexyz/></siteinfo>").encode()


def parse(data, cuts=()):
    parser = ExportParser()
    places = [0, *sorted(cuts), len(data)]
    found = []
    for start, stop in pairwise(places):
        found += parser.feed(data[start:stop])
    return found + parser.finish(last=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(DATA)), max_size=30), st.sampled_from([b"", b"<", b"&x;", b"</page>", b"\xff"]))
def test_it_does_not_matter_how_the_bytes_come(cuts, rubbish):
    place = DATA.index(b"Nummer 2")
    data = DATA[:place] + rubbish + DATA[place:]
    found = parse(data, cuts)
    whole = parse(data)
    assert isinstance(found[0], Header)
    assert [one for one in found if isinstance(one, Page)] == [one for one in whole if isinstance(one, Page)]
    faults = [one for one in found if isinstance(one, Fault)]
    assert [one.lost for one in faults] == ([True] if rubbish else [])
    assert len(found) == len(whole) == 7
    assert found.index(faults[0]) == 2 if faults else True
    for fault in faults:
        assert place <= fault.offset <= place + 8
        assert fault.line == data[:place].count(b"\n") + 1


def test_names_that_begin_like_a_page_are_none():
    found = parse(DATA)
    assert [page.title for page in found[1:]] == ["Seite 1", "Seite 2", "Seite 3", "<page>", "Seite 5", "Seite 6"]
    assert found[4].text == "<page> &lt;page> <pages>"


def test_tags_may_be_written_with_space():
    data = DATA.replace(b"<page>", b"<page\n >").replace(b"</page>", b"</page >")
    assert parse(data) == parse(DATA)


def test_a_comment_that_does_not_end_costs_its_page_and_no_memory():
    parser = ExportParser()
    place = DATA.index(b"  <page>", DATA.index(b"Nummer 2"))
    found = parser.feed(DATA[:place] + b"<!-- ")
    for _ in range(40):
        found += parser.feed(b"- " * 50_000)
    assert "a tag of more than 1,048,576 bytes" in found[-1].reason
    found += parser.feed(DATA[place:]) + parser.finish(last=True)
    assert len([one for one in found if isinstance(one, Page)]) == 6
    assert len(found) == 8


def test_endless_nesting_costs_its_page_and_no_memory():
    place = DATA.index(b"Nummer 2")
    found = parse(DATA[:place] + b"<a>" * 100_000 + DATA[place:])
    assert [one.page_id for one in found if isinstance(one, Page)] == [1, 3, 4, 5, 6]
    assert [one.reason for one in found if isinstance(one, Fault)] == [
        "the XML is damaged (more than 100 elements in one another)"
    ]
