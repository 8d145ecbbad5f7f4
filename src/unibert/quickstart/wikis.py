"""One dump per language, as the Wikimedia servers write them: export format 0.11 in multistream bz2."""

from __future__ import annotations

import bz2
import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from unibert.files import atomic_file
from unibert.progress import progress_bar
from unibert.quickstart.facts import Person
from unibert.quickstart.noise import CHANGING_RULES, RULES
from unibert.quickstart.pages import Page, articles
from unibert.quickstart.templates import capitalised
from unibert.quickstart.world import Language, World

_PAGES_PER_STREAM = 100
_REDIRECTS = 14
_SCHEMA = "http://www.mediawiki.org/xml/export-0.11"
_FIRST_REVISION = datetime(2024, 1, 1, tzinfo=UTC)
_TALK, _USER, _FILE, _STYLE, _TEMPLATE, _CATEGORY, _MODULE = 1, 2, 6, 8, 10, 14, 828


def write_dumps(world: World, folder: Path, seed: int) -> list[Path]:
    """Write `XXwiki-demo-pages-articles.xml.bz2` into the folder for every language of the world.

    The same world and seed give the same bytes. As in the real multistream dumps, the header, every hundred pages and
    the footer are bz2 streams of their own, one after another.

    Args:
        world: what the encyclopaedias are about.
        folder: made if it is not there; a file appears under its name only when it is complete.
        seed: decides templates, markup, redirects and the order of the pages.

    Returns:
        The files, in the order of the language codes.
    """
    written = []
    with progress_bar(len(world.languages), "Writing the demo's dumps", "wiki") as bar:
        for code in sorted(world.languages):
            path = folder / f"{code}wiki-demo-pages-articles.xml.bz2"
            pages = wiki_pages(world, world.languages[code], seed)
            parts = _streams(world.languages[code], pages, seed)
            content = b"".join(bz2.compress(part.encode("utf-8")) for part in parts)
            # The same file stays untouched: the corpus stage goes by its time.
            if not path.exists() or path.read_bytes() != content:
                with atomic_file(path, "wb") as stream:
                    stream.write(content)
            written.append(path)
            bar.update()
    return written


def expected_removals(world: World, seed: int) -> dict[str, dict[str, dict[str, int]]]:
    """What the five cleaning rules have to do to the dumps of `write_dumps`: {language: {rule: {changed, dropped}}}.

    Known by construction: the pages are written with so many paragraphs for each rule. Tokens are counted as words and
    punctuation marks, as the corpus does by default; a WordPiece tokenizer may find five pieces in a short paragraph.
    """
    expected = {}
    for code, language in sorted(world.languages.items()):
        counts = {rule: {"changed": 0, "dropped": 0} for rule in RULES}
        for page in articles(world, language, seed):
            for block in page.prose:
                for rule in block.rules:
                    counts[rule]["changed" if rule in CHANGING_RULES else "dropped"] += 1
        expected[code] = counts
    return expected


def wiki_pages(world: World, language: Language, seed: int) -> list[Page]:
    """Every page of one wiki, in the order of the dump: articles, redirects, and pages of other namespaces."""
    chooser = random.Random(f"{seed}/{language.code}/wiki")
    found = list(articles(world, language, seed))
    pages = [*found, *_redirects(world, language, chooser), *_other_pages(world, language, found, chooser)]
    chooser.shuffle(pages)
    return pages


def _redirects(world: World, language: Language, chooser: random.Random) -> Iterator[Page]:
    """Pages for other names of the same things: inflected forms, surnames, English names, plain ASCII."""
    taken = set(language.titles.values())
    english = world.languages.get("en")
    ids = list(world.entities)
    chooser.shuffle(ids)
    made = 0
    for entity in ids:
        target = language.titles[entity]
        names = [form for form in language.names[entity].values() if form[:1].isupper()]
        if isinstance(world.entities[entity], Person):
            names.append(target.split()[-1])
        if english:
            names.append(english.titles[entity])
        names.append(entity.replace("_", " "))
        free = [name for name in (capitalised(name, language.code) for name in names) if name not in taken]
        if not free:
            continue
        taken.add(free[0])
        source = f"{language.redirect} [[{target}]]\n\n{{{{R|{language.name}}}}}"
        yield Page(free[0], 0, source, redirect=target)
        made += 1
        if made == _REDIRECTS:
            return


def _other_pages(world: World, language: Language, found: list[Page], chooser: random.Random) -> Iterator[Page]:
    """Pages that are not articles: readers of the dump have to leave them out, although they have prose in them."""
    note = language.extras["stub_note"]
    signature = f"--[[{language.user}:Ada|Ada]] ([[{language.user} {language.talk}:Ada|{language.talk}]]) 12:00 (UTC)"
    quoted = [page.prose[0].wikitext for page in found if page.prose]
    for page in chooser.sample(found, min(6, len(found))):
        said = f"== {page.title} ==\n{note} {note} {signature}\n:{chooser.choice(quoted)} {signature}"
        yield Page(f"{language.talk}:{page.title}", _TALK, said)
    for name in ("Ada", "Blaise", "Hypatia"):
        yield Page(f"{language.user}:{name}", _USER, f"{{{{Babel|{language.code}|en-3}}}}\n{chooser.choice(quoted)}")
    for kind in ("country", "city", "river"):
        rows = f'{{| class="infobox"\n|-\n! {language.fields[kind]}\n| {{{{{{name|}}}}}}\n|}}<noinclude>\n{note} {note}'
        yield Page(f"{language.template}:Infobox {language.fields[kind]}", _TEMPLATE, rows + "</noinclude>")
    for country in world.of_kind("country")[:8]:
        title = language.titles[country.id]
        yield Page(f"{language.category}:{title}", _CATEGORY, f"{chooser.choice(quoted)}\n[[{language.category}:X]]")
    image = f"{found[0].title} 2.jpg"
    yield Page(f"{language.file}:{image}", _FILE, f"== Summary ==\n{chooser.choice(quoted)}\n{{{{PD-self}}}}")
    yield Page("MediaWiki:Common.css", _STYLE, "body { margin: 0 } /* nothing else is set here */", model="css")
    lua = 'local p = {}\nfunction p.main(frame) return "<b>" .. frame.args[1] .. "</b>" end\nreturn p'
    yield Page("Module:Bold", _MODULE, lua, model="Scribunto")


def namespaces(language: Language) -> dict[int, str]:
    """Number -> name of the wiki's namespaces."""
    talk = language.talk
    own = {
        _USER: language.user,
        4: language.site,
        _FILE: language.file,
        _STYLE: "MediaWiki",
        _TEMPLATE: language.template,
        12: "Help",
        _CATEGORY: language.category,
        _MODULE: "Module",
    }
    # The odd numbers are the discussions about the pages of the number before.
    talks = {number + 1: f"{name} {talk}" for number, name in own.items()}
    return dict(sorted(({-2: "Media", -1: "Special", 0: "", _TALK: talk} | own | talks).items()))


def _streams(language: Language, pages: list[Page], seed: int) -> Iterator[str]:
    yield _header(language)
    numbers = random.Random(f"{seed}/{language.code}/numbers")
    for start in range(0, len(pages), _PAGES_PER_STREAM):
        part = enumerate(pages[start : start + _PAGES_PER_STREAM], start + 1)
        yield "".join(_page(page, number, numbers) for number, page in part)
    yield "</mediawiki>\n"


def _header(language: Language) -> str:
    lines = [
        f'<mediawiki xmlns="{_SCHEMA}/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_SCHEMA}/ {_SCHEMA}.xsd" version="0.11" xml:lang={quoteattr(language.code)}>',
        "  <siteinfo>",
        f"    <sitename>{escape(language.site)}</sitename>",
        f"    <dbname>{language.code}wiki</dbname>",
        f"    <base>https://{language.code}.example.org/wiki/</base>",
        "    <generator>UniBERT quickstart</generator>",
        "    <case>first-letter</case>",
        "    <namespaces>",
    ]
    for number, name in namespaces(language).items():
        content = f">{escape(name)}</namespace>" if name else " />"
        lines.append(f'      <namespace key="{number}" case="first-letter"{content}')
    return "\n".join([*lines, "    </namespaces>", "  </siteinfo>", ""])


def _page(page: Page, number: int, numbers: random.Random) -> str:
    raw = page.wikitext.encode("utf-8")
    digest = _base36(int(hashlib.sha1(raw, usedforsecurity=False).hexdigest(), 16))
    revision = 10_000 + 7 * number
    when = (_FIRST_REVISION + timedelta(minutes=numbers.randrange(500_000))).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Content models come with a format each; css and Lua are plain texts of their own kind.
    content_format = {"wikitext": "text/x-wiki", "css": "text/css"}.get(page.model, "text/plain")
    user = numbers.randrange(1, 60)
    lines = ["  <page>", f"    <title>{escape(page.title)}</title>", f"    <ns>{page.namespace}</ns>"]
    lines.append(f"    <id>{number}</id>")
    if page.redirect is not None:
        lines.append(f"    <redirect title={quoteattr(page.redirect)} />")
    lines += ["    <revision>", f"      <id>{revision}</id>", f"      <parentid>{revision - 3}</parentid>"]
    lines += [
        f"      <timestamp>{when}</timestamp>",
        "      <contributor>",
        f"        <username>Writer{user}</username>",
    ]
    lines += [f"        <id>{user}</id>", "      </contributor>"]
    if user % 3 == 0:
        lines += ["      <minor />", "      <comment>/* +1 */ [[link]] &amp; &lt;ref&gt;</comment>"]
    lines += [f"      <origin>{revision}</origin>", f"      <model>{page.model}</model>"]
    lines += [
        f"      <format>{content_format}</format>",
        f'      <text bytes="{len(raw)}" sha1="{digest}" xml:space="preserve">{escape(page.wikitext, _QUOTES)}</text>',
        f"      <sha1>{digest}</sha1>",
        "    </revision>",
        "  </page>",
    ]
    return "\n".join([*lines, ""])


_QUOTES = {'"': "&quot;"}


def _base36(number: int) -> str:
    """31 digits of base 36, as MediaWiki writes SHA-1."""
    digits = ""
    for _ in range(31):
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits
