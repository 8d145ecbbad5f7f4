"""The dumps: real XML in real bz2 streams, whole, deterministic, and with just the work for the cleaning rules."""

import bz2
import os
import re
import subprocess
import sys
import unicodedata
from xml.etree import ElementTree

import pytest

from unibert.quickstart.noise import RULES
from unibert.quickstart.wikis import expected_removals, namespaces, wiki_pages, write_dumps
from unibert.quickstart.words import words
from unibert.quickstart.world import World, load_world

SEED = 1
NAMESPACE = "{http://www.mediawiki.org/xml/export-0.11/}"
LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|[^\[\]]*)?\]\]")


@pytest.fixture(scope="module")
def dumps(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dumps")
    return {path.name.split("wiki")[0]: path for path in write_dumps(world, folder, SEED)}


def articles(pages):
    return [page for page in pages if page.namespace == 0 and page.redirect is None]


def streams_of(raw):
    """The decompressed content of each bz2 stream."""
    found = []
    while raw:
        decompressor = bz2.BZ2Decompressor()
        found.append(decompressor.decompress(raw))
        assert decompressor.eof
        raw = decompressor.unused_data
    return found


def test_one_file_per_language(world, dumps):
    assert list(dumps) == sorted(world.languages)
    assert all(path.name == f"{code}wiki-demo-pages-articles.xml.bz2" for code, path in dumps.items())
    assert {path for file in dumps.values() for path in file.parent.iterdir()} == set(dumps.values())


def test_streams_are_header_hundreds_of_pages_and_footer(wikis, dumps):
    for code, path in dumps.items():
        header, *middle, footer = streams_of(path.read_bytes())
        assert header.startswith(b"<mediawiki ")
        assert header.endswith(b"</siteinfo>\n")
        assert footer == b"</mediawiki>\n"
        counts = [part.count(b"<page>") for part in middle]
        assert sum(counts) == len(wikis[code])
        assert all(count == 100 for count in counts[:-1])
        assert all(part.startswith(b"  <page>\n") and part.endswith(b"  </page>\n") for part in middle)


def test_the_xml_holds_the_pages(world, wikis, dumps):
    for code, path in dumps.items():
        root = ElementTree.fromstring(bz2.decompress(path.read_bytes()))
        assert root.tag == f"{NAMESPACE}mediawiki"
        assert root.get("version") == "0.11"
        assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == code
        named = {int(item.get("key")): item.text or "" for item in root.iter(f"{NAMESPACE}namespace")}
        language = world.languages[code]
        assert named == namespaces(language)
        assert (named[0], named[6], named[14]) == ("", language.file, language.category)
        read = root.findall(f"{NAMESPACE}page")
        for page, expected in zip(read, wikis[code], strict=True):
            redirect = page.find(f"{NAMESPACE}redirect")
            revision = page.find(f"{NAMESPACE}revision")
            assert page.findtext(f"{NAMESPACE}title") == expected.title
            assert int(page.findtext(f"{NAMESPACE}ns")) == expected.namespace
            assert (None if redirect is None else redirect.get("title")) == expected.redirect
            assert revision.findtext(f"{NAMESPACE}model") == expected.model
            text = revision.find(f"{NAMESPACE}text")
            assert text.text == expected.wikitext
            assert int(text.get("bytes")) == len(expected.wikitext.encode())
        ids = [page.findtext(f"{NAMESPACE}id") for page in read]
        assert len(set(ids)) == len(ids)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(world, tmp_path):
    # Some of the languages, to be quick; they are told of the others in the links between languages only.
    some = World(world.entities, {code: world.languages[code] for code in sorted(world.languages)[:3]})
    first, again = (write_dumps(some, tmp_path / name, SEED) for name in ("first", "again"))
    other = write_dumps(some, tmp_path / "other", SEED + 1)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(first, other, strict=True))


def test_the_bytes_do_not_depend_on_the_process():
    program = (
        "import hashlib; from unibert.quickstart.world import load_world; "
        "from unibert.quickstart.wikis import wiki_pages; from unibert.quickstart.ner_files import labelled_sentences; "
        "world = load_world(); en = world.languages['en']; "
        "made = repr((wiki_pages(world, en, 1), labelled_sentences(world, en, 1))); "
        "print(hashlib.sha256(made.encode()).hexdigest())"
    )
    sums = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(sums) == 1


def test_titles_are_unique_and_every_link_leads_to_a_page(world, wikis):
    for code, pages in wikis.items():
        titles = [page.title for page in pages]
        assert len(set(titles)) == len(titles)
        own = tuple(f"{name}:" for name in namespaces(world.languages[code]).values() if name)
        seen = 0
        for page in articles(pages):
            source = re.sub(r"<!--.*?-->", "", page.wikitext, flags=re.S)
            for target in LINK.findall(source):
                if target.startswith(own):
                    continue
                prefix, colon, rest = target.partition(":")
                if colon:
                    assert rest in world.languages[prefix].titles.values()
                else:
                    assert target in titles, (code, page.title, target)
                    seen += 1
        assert seen > 5 * len(world.entities)


def test_every_entity_has_an_article_that_begins_with_it_in_bold(world, wikis):
    for code, pages in wikis.items():
        by_title = {page.title: page for page in articles(pages)}
        assert set(by_title) == set(world.languages[code].titles.values())
        for entity, title in world.languages[code].titles.items():
            assert "'''" in by_title[title].prose[0].wikitext, (code, entity)


def test_redirects_lead_to_articles(world, wikis):
    for code, pages in wikis.items():
        redirects = [page for page in pages if page.redirect is not None]
        assert len(redirects) >= 5
        for page in redirects:
            assert page.redirect in world.languages[code].titles.values()
            assert page.wikitext.startswith(f"{world.languages[code].redirect} [[{page.redirect}]]")


def test_other_namespaces_are_there_with_their_own_prefixes(world, wikis):
    for code, pages in wikis.items():
        names = namespaces(world.languages[code])
        others = [page for page in pages if page.namespace != 0]
        assert {page.namespace for page in others} >= {1, 2, 6, 10, 14, 828}
        for page in others:
            assert page.title.startswith(f"{names[page.namespace]}:")
            assert not page.blocks


@pytest.mark.parametrize(
    "markup",
    [
        *("{{Infobox", "<ref>", "<ref name=", "{{cite web", "&nbsp;", "<small>", "<br />", "<span ", "<!--", "{|"),
        *("== ", "\n* ", "__NOTOC__", "{{DEFAULTSORT:", "[https://", "<references />"),
    ],
)
def test_every_wiki_has_the_markup_of_real_pages(wikis, markup):
    for code, pages in wikis.items():
        assert any(markup in page.wikitext for page in articles(pages)), (code, markup)


def test_pages_have_several_paragraphs_and_images_in_the_wikis_own_words(world, wikis):
    for code, pages in wikis.items():
        language = world.languages[code]
        for page in articles(pages):
            long = [block for block in page.prose if len(words(block.text)) >= 15]
            assert len(long) >= 2, (code, page.title)
            assert f"[[{language.file}:" in page.wikitext
            assert f"|{language.thumb}" in page.wikitext
            assert f"[[{language.category}:" in page.wikitext


def test_rules_have_the_work_that_is_announced(world, wikis):
    expected = expected_removals(world, SEED)
    assert list(expected) == sorted(world.languages)
    for code, pages in wikis.items():
        counts = dict.fromkeys(RULES, 0)
        for page in articles(pages):
            for block in page.prose:
                for rule in block.rules:
                    counts[rule] += 1
        assert all(counts.values())
        for rule, count in counts.items():
            kind, none = ("changed", "dropped") if rule in ("html", "hidden_characters") else ("dropped", "changed")
            assert expected[code][rule] == {kind: count, none: 0}


def test_each_paragraph_is_work_for_the_rules_named_and_no_others(wikis):
    for pages in wikis.values():
        for block in (block for page in articles(pages) for block in page.prose):
            text = block.text
            share = sum(character.isdigit() for character in text) / len(text)
            left = re.sub(r"https?://\S+|ISBN [\d-]+", "", text).strip()
            found = {
                "html": bool(re.search(r"&\w+;|<[^>]+>", text)),
                "links_only": left == "",
                "digits": share > 0.7,
                "hidden_characters": any(unicodedata.category(character) == "Cf" for character in text),
                "short": len(words(text)) < 5,
            }
            assert {rule for rule, applies in found.items() if applies} == set(block.rules), text


def test_a_world_of_one_language_and_few_pages_still_works(english_folder, tmp_path):
    small = load_world(english_folder)
    (path,) = write_dumps(small, tmp_path / "out", SEED)
    root = ElementTree.fromstring(bz2.decompress(path.read_bytes()))
    assert len(root.findall(f"{NAMESPACE}page")) == len(wiki_pages(small, small.languages["en"], SEED))


def test_a_failed_dump_leaves_nothing(world, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("unibert.quickstart.wikis._page", fail)
    with pytest.raises(KeyboardInterrupt):
        write_dumps(world, tmp_path, SEED)
    assert list(tmp_path.iterdir()) == []
