"""What the versions of the export format write, by their published schemas (mediawiki.org/xml/export-0.X.xsd)."""

import pytest

from corpus_support import dump_xml, page_xml
from unibert.corpus.dump import DumpReader, Page

VERSIONS = ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "0.10", "0.11"]


def since(version, first, text):
    return text if VERSIONS.index(version) >= VERSIONS.index(first) else ""


def page(version, number, title, namespace, revisions, redirect=False):
    """A page with revisions, each (text or None for a deleted one, model)."""
    target = since(version, "0.5", ' title="Ziel"')
    xml = f"<page><title>{title}</title>" + since(version, "0.6", f"<ns>{namespace}</ns>") + f"<id>{number}</id>"
    if redirect:
        xml += since(version, "0.4", f"<redirect{target} />")
    xml += "<restrictions>edit=sysop</restrictions>"
    for order, (text, model) in enumerate(revisions):
        length = 0 if text is None else len(text.encode())
        xml += f"<revision><id>{number * 100 + order}</id>" + since(version, "0.7", "<parentid>5</parentid>")
        xml += "<timestamp>2020-01-01T00:00:00Z</timestamp>"
        xml += ["<contributor><username>N</username><id>4711</id></contributor>", '<contributor deleted="deleted" />'][
            order % 2
        ]
        xml += "<minor/><comment>Titel &lt;title&gt;</comment>"
        described = f"<model>{model}</model><format>text/x-wiki</format>"
        if version == "0.11":
            xml += "<origin>9</origin>"
        xml += since(version, "0.9", described)
        attributes = since(version, "0.4", f' bytes="{length}"') + since(version, "0.11", ' sha1="abc"')
        attributes += ' deleted="deleted"' if text is None else ' xml:space="preserve"'
        xml += f"<text{attributes} />" if text is None else f"<text{attributes}>{text}</text>"
        if version == "0.11":
            slot = "<role>mediainfo</role><origin>9</origin><model>json</model><format>application/json</format>"
            xml += f'<content>{slot}<text bytes="2" sha1="x">{{}}</text></content>'
        xml += since(version, "0.7", "<sha1>abc</sha1>")
        if version == "0.8":
            xml += described
        xml += "</revision>"
    return xml + "</page>\n"


def sample(version):
    names = '<namespace key="-1">Spezial</namespace><namespace key="0" /><namespace key="14">Kategorie</namespace>'
    if VERSIONS.index(version) >= 4:
        names = names.replace('" />', '" case="first-letter" />').replace('">', '" case="first-letter">')
    pages = [
        page(
            version, 1, "A &amp; B", 0, [("ältester", "wikitext"), ("alt", "wikitext"), ("neu &lt;br&gt;", "wikitext")]
        ),
        page(version, 2, "Kategorie:K", 14, [("k", "wikitext")]),
        page(version, 3, "Alias", 0, [("#WEITERLEITUNG [[Ziel]]", "wikitext")], redirect=True),
        page(version, 4, "Gelöscht", 0, [("da", "wikitext"), (None, "wikitext")]),
        page(version, 5, "Stil.css", 0, [("a {}", "css")]),
    ]
    return (
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-{version}/" version="{version}" xml:lang="de">\n'
        "<siteinfo><sitename>Wikipedia</sitename>"
        + since(version, "0.9", "<dbname>dewiki</dbname>")
        + "<base>http://de.wikipedia.org/wiki/Hauptseite</base><generator>MediaWiki</generator><case>first-letter</case>"
        f"<namespaces>{names}</namespaces></siteinfo>\n{''.join(pages)}</mediawiki>\n"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_the_format(tmp_path, version):
    path = tmp_path / "dewiki-test.xml"
    path.write_text(sample(version), encoding="utf-8")
    reader = DumpReader(path)
    models = VERSIONS.index(version) >= VERSIONS.index("0.8")
    assert list(reader) == [
        Page("A & B", 1, 0, False, "neu <br>"),
        Page("Kategorie:K", 2, 14, False, "k"),
        Page("Alias", 3, 0, True, "#WEITERLEITUNG [[Ziel]]"),
        Page("Gelöscht", 4, 0, False, ""),
        Page("Stil.css", 5, 0, False, "" if models else "a {}"),
    ]
    assert reader.damage is None
    assert reader.namespaces == {-1: "Spezial", 0: "", 14: "Kategorie"}
    assert reader.project == "Wikipedia"


def read_one(write_dump, page):
    reader = DumpReader(write_dump([page]))
    pages = list(reader)
    assert reader.damage is None
    assert len(pages) == 1
    return pages[0]


@pytest.mark.parametrize("before", [True, False])
def test_only_the_main_slot_counts(write_dump, before):
    slot = "<content><role>{}</role><model>{}</model><text>{}</text></content>"
    others = slot.format("mediainfo", "json", "{}") + slot.format("aux", "wikitext", "zweiter")
    page = page_xml("A", "Haupttext")
    mark = "<contributor>" if before else "    </revision>"
    assert read_one(write_dump, page.replace(mark, others + mark, 1)).text == "Haupttext"
    main = slot.format(" main ", "wikitext", "im Slot")
    page = page_xml("A", "weg").replace("<model>wikitext</model>", "").replace(">weg</text>", "></text>")
    assert (
        read_one(write_dump, page.replace("    </revision>", others + main + others + "</revision>")).text == "im Slot"
    )


def test_a_last_revision_without_text_does_not_keep_the_one_before(write_dump):
    page = page_xml("A", "alt").replace("  </page>", "<revision><id>9</id></revision></page>")
    assert read_one(write_dump, page).text == ""


def test_ids_of_revisions_contributors_and_uploads_are_not_the_pages(write_dump):
    upload = "<upload><contributor><id>77</id></contributor><comment/><filename>x</filename></upload>"
    page = page_xml("A", "x", 5).replace("  </page>", f"{upload}</page>")
    assert read_one(write_dump, page).page_id == 5


@pytest.mark.parametrize(
    ("declaration", "encoding", "fits"),
    [
        ('<?xml version="1.0"?>', "utf-8", True),
        ('<?xml version="1.0" encoding="utf-8"?>', "utf-8-sig", True),
        ('<?xml version="1.0" encoding="UTF-16"?>', "utf-16", True),
        ("", "utf-16", True),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>', "latin-1", False),
    ],
)
def test_encodings(tmp_path, declaration, encoding, fits):
    path = tmp_path / "dewiki-test.xml"
    path.write_text(declaration + dump_xml([page_xml("Ä", "ö")]), encoding=encoding)
    reader = DumpReader(path)
    assert [page.text for page in reader] == (["ö"] if fits else [])
    assert fits == (reader.damage is None)
    if not fits:
        assert "its encoding is ISO-8859-1, not UTF-8" in str(reader.damage)
