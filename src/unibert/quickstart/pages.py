"""From an entity to its page in one language's encyclopaedia, in wikitext with all that real pages have."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from unibert.quickstart import noise
from unibert.quickstart.facts import City, Continent, Country, Entity, Mountain, Organisation, Person, River
from unibert.quickstart.markup import Footnotes, decorated, linked, with_hidden_characters
from unibert.quickstart.noise import Block, prose
from unibert.quickstart.templates import Filler, Segment, fill, merge, roles, text_of
from unibert.quickstart.world import Language, World

_SECTIONS = {"person": ("life", "work"), "organisation": ("history", "work")}
_PLACE_SECTIONS = ("geography", "history")
_MOST_LISTED = 6
_PARAGRAPHS = (3, 3, 3, 3, 3, 3, 3, 3, 4, 5)


@dataclass(frozen=True)
class Page:
    """One page of a wiki.

    Attributes:
        title: with the prefix of its namespace.
        namespace: its number; 0 for articles.
        wikitext: the source.
        redirect: the title it leads to, if it is a redirect.
        model: content model.
        blocks: what an article is put together from; empty on other pages.
    """

    title: str
    namespace: int
    wikitext: str
    redirect: str | None = None
    model: str = "wikitext"
    blocks: tuple[Block, ...] = ()

    @property
    def prose(self) -> list[Block]:
        """The paragraphs and list items that have text in them, in order."""
        return [block for block in self.blocks if block.text]


class ArticleWriter:
    """Writes the article about one entity.

    Args:
        world: the facts.
        language: the wiki's language.
        entity: the subject.
        seed: decides templates, markup and numbers.
        rule: the cleaning rule that the page gives work to, if any.
    """

    def __init__(self, world: World, language: Language, entity: Entity, seed: int, rule: str | None = None) -> None:
        self.world = world
        self.language = language
        self.entity = entity
        self.rule = rule
        self.chooser = random.Random(f"{seed}/{language.code}/{entity.id}")
        self.title = language.titles[entity.id]
        self.address = f"https://www.example.org/{entity.id.replace('_', '-')}"
        self.reference = self._extra("reference_text")
        self.footnotes = Footnotes(self.reference, self.address, self.chooser)

    def page(self) -> Page:
        """The page, the same for the same arguments."""
        paragraphs = self._paragraphs()
        sections = _SECTIONS.get(self.entity.kind, _PLACE_SECTIONS)
        lead, rest = paragraphs[:1], paragraphs[1:]
        half = (len(rest) + 1) // 2
        blocks = [*self._top(), *lead]
        if self.rule == "links_only":
            blocks.append(noise.links_only(self.address, self.chooser))
        for heading, part in zip(sections, (rest[:half], rest[half:]), strict=True):
            if part:
                blocks += [self._heading(heading), *part]
        if self.rule == "digits":
            blocks.append(noise.digits(self.chooser))
        if self.rule == "short":
            blocks.append(noise.short(self.world, self.language, self.chooser))
        blocks += [*self._table(), *self._see_also(), *self._sources(), *self._bottom()]
        wikitext = "".join(
            block.wikitext + ("\n" if _is_line(block) and _is_line(following) else "\n\n")
            for block, following in zip(blocks, [*blocks[1:], Block("")], strict=True)
        )
        return Page(self.title, 0, wikitext.rstrip("\n"), blocks=tuple(blocks))

    # --- prose ---

    def _paragraphs(self) -> list[Block]:
        told = self._continent() if isinstance(self.entity, Continent) else self._described()
        marred = self.chooser.randrange(1, len(told)) if len(told) > 1 else 0
        blocks = []
        for index, segments in enumerate(told):
            if index == marred and self.rule == "hidden_characters":
                segments = with_hidden_characters(segments, self.chooser)
            subject = self.entity.id
            wikitext = decorated(segments, self.footnotes, self.chooser, subject, bold=index == 0)
            block = prose(wikitext, text_of(segments))
            if index == marred and self.rule == "html":
                block = noise.with_html(block, self.chooser)
            blocks.append(block)
        return blocks

    def _described(self) -> list[list[Segment]]:
        """Three to five different templates of the entity's kind, one that begins with the subject first."""
        templates = list(self.language.templates[self.entity.kind])
        self.chooser.shuffle(templates)
        templates.sort(key=lambda template: not template.startswith("{subject"))
        templates[1:] = self.chooser.sample(templates[1:], len(templates) - 1)
        told = (self.world.render(self.language, item, self.entity, self.chooser) for item in templates)
        return [segments for segments in told if segments is not None][: self.chooser.choice(_PARAGRAPHS)]

    def _continent(self) -> list[list[Segment]]:
        """What is said about some of a continent's countries; first one that names the continent."""
        told: list[list[Segment]] = []
        for country in self._countries_here()[:_MOST_LISTED]:
            templates = list(self.language.templates["country"])
            self.chooser.shuffle(templates)
            if not told:
                templates.sort(key=lambda template: "continent" not in roles(template))
            found = (self.world.render(self.language, item, country, self.chooser) for item in templates)
            told.append(next(segments for segments in found if segments is not None))
        return told

    def _countries_here(self) -> list[Country]:
        countries = [item for item in self.world.entities.values() if isinstance(item, Country)]
        countries = [item for item in countries if item.continent == self.entity.id]
        return self.chooser.sample(countries, len(countries))

    # --- around the prose ---

    def _top(self) -> list[Block]:
        blocks = []
        if self.chooser.random() < 0.2:
            blocks.append(Block("__NOTOC__"))
        if self.chooser.random() < 0.25:
            blocks.append(Block(f"{{{{Stub|{self.language.extras['stub_note']}|date={{{{CURRENTYEAR}}}}}}}}"))
        infobox = [f"{{{{Infobox {self.language.fields.get(self.entity.kind, self.entity.kind)}"]
        infobox += [f"| name = {self.title}", f"| image = {self.title} 1.jpg <!-- 250px -->"]
        for field, segments in fact_rows(self.world, self.language, self.entity):
            value = linked(segments)
            if value.isascii() and value.isdigit() and len(value) > 4:
                value = f"{{{{formatnum:{value}}}}}{self.footnotes.next()}"
            elif field in ("born", "died", "founded"):
                value = f"{{{{start date|{value}}}}}<br /><small>{value}</small>"
            infobox.append(f"| {self.language.fields[field]} = {value}")
        blocks.append(Block("\n".join([*infobox, "}}"])))
        blocks.append(Block(self._image()))
        return blocks

    def _image(self) -> str:
        caption = self._extra("lead_caption", wiki=True)
        if others := [text for _, segments in self._facts() for text in segments if text.target]:
            caption += ", " + linked(others[:1])
        option = self.chooser.choice(("", "|upright=1.2", "|250px", "|left"))
        return f"[[{self.language.file}:{self.title} 2.jpg|{self.language.thumb}{option}|{caption}]]"

    def _heading(self, key: str) -> Block:
        return Block(f"== {self.language.headings[key]} ==")

    def _facts(self) -> list[tuple[str, list[Segment]]]:
        return fact_rows(self.world, self.language, self.entity)

    def _table(self) -> list[Block]:
        """What belongs to a continent, country or river, in a table."""
        rows: list[Entity]
        match self.entity:
            case Continent():
                rows = [
                    item for item in self.world.of_kind("country") if getattr(item, "continent", "") == self.entity.id
                ]
            case Country():
                rows = [item for item in self.world.of_kind("city") if getattr(item, "country", "") == self.entity.id]
            case River():
                rows = [self.world.entities[country] for country in self.entity.countries]
            case _:
                return []
        if not rows:
            return []
        fields = self.language.fields
        kind = rows[0].kind
        lines = ['{| class="wikitable sortable"', f"|+ {self.title}", "|-"]
        lines.append(f'! scope="col" | {fields[kind]} !! {fields["population"]}')
        for row in rows[:_MOST_LISTED]:
            population = self.language.number(getattr(row, "population", 0))
            lines += ["|-", f'| [[{self.language.titles[row.id]}]] || style="text-align:right" | {population}']
        return [Block("\n".join([*lines, "|}"]))]

    def _see_also(self) -> list[Block]:
        """A list of related pages, with two facts about each so that every item is more than a name."""
        if self.chooser.random() < 0.4:
            return []
        items = related(self.world, self.entity)
        blocks = []
        for item in self.chooser.sample(items, min(len(items), self.chooser.randint(1, 2))):
            facts = fact_rows(self.world, self.language, item)[:2]
            segments = [Segment(self.language.titles[item.id], item.id, item.label, self.language.titles[item.id])]
            for mark, (field, value) in zip((" – ", "; "), facts, strict=False):
                segments += [Segment(f"{mark}{self.language.fields[field]}: "), *value]
            blocks.append(prose(f"* {linked(segments)}", text_of(segments)))
        return [self._heading("see_also"), *blocks] if blocks else []

    def _sources(self) -> list[Block]:
        blocks = []
        if self.chooser.random() < 0.3:
            book = f"{self._extra('reference_text')}. ISBN {noise.isbn(self.chooser)}"
            cited = f"* {{{{cite book |title={self.reference} |year={self.chooser.randint(1980, 2023)} }}}}"
            blocks += [
                self._heading("sources"),
                Block(f"* ''{book[: book.index('. ISBN')]}''{book[book.index('. ISBN') :]}"),
                Block(cited),
            ]
        blocks += [self._heading("references"), Block(self.chooser.choice(("<references />", "{{Reflist|30em}}")))]
        title = self._extra("reference_text")
        outside = f"* [{self.address} {title}] ({self.language.site}, ''{self.language.name}'')"
        return [*blocks, self._heading("external_links"), Block(outside)]

    def _bottom(self) -> list[Block]:
        language = self.language
        lines = [f"{{{{DEFAULTSORT:{self.title}}}}}"] if isinstance(self.entity, Person) else []
        lines += [f"[[{language.category}:{name}]]" for name in categories(self.world, language, self.entity)]
        for code, other in self.world.languages.items():
            if code != language.code:
                lines.append(f"[[{code}:{other.titles[self.entity.id]}]]")
        return [Block("{{Navbox\n| title = " + self.title + "\n| list = {{hlist|1|2|3}}\n}}"), Block("\n".join(lines))]

    def _extra(self, key: str, wiki: bool = False) -> str:
        fillers = {
            "subject": self.world.name(self.language, self.entity.id),
            "year": Filler({"name": str(self.chooser.randint(1985, 2023))}),
        }
        segments = fill(self.language.extras[key], fillers, self.language.code) or []
        return linked(segments) if wiki else text_of(segments)


def _is_line(block: Block) -> bool:
    return block.wikitext.startswith(("*", "="))


def fact_rows(world: World, language: Language, entity: Entity) -> list[tuple[str, list[Segment]]]:
    """The facts about an entity as (key of the language's fields, value), for infoboxes and lists."""

    def names(*ids: str) -> list[Segment]:
        found: list[Segment] = []
        for number, item in enumerate(ids):
            title = language.titles[item]
            found += [Segment(", " if number else ""), Segment(title, item, world.entities[item].label, title)]
        return merge(found)

    def number(value: float) -> list[Segment]:
        return [Segment(language.number(value))]

    fillers = world.fillers(language, entity, random.Random(entity.id))
    match entity:
        case Country():
            rows = [("capital", names(entity.capital)), ("population", number(entity.population))]
            rows += [("area", number(entity.area)), ("neighbours", names(*entity.neighbours))]
        case City():
            rows = [("country", names(entity.country)), ("population", number(entity.population))]
            rows += [("river", names(entity.river) if entity.river else [])]
        case River():
            rows = [("length", number(entity.length)), ("country", names(*entity.countries))]
        case Mountain():
            rows = [("height", number(entity.height)), ("country", names(entity.country))]
        case Person():
            rows = [("occupation", [Segment(fillers["occupation"].forms["name"])]), ("born", number(entity.born))]
            rows += [("died", number(entity.died) if entity.died is not None else [])]
            rows += [("city", names(entity.birthplace)), ("country", names(entity.country))]
        case Organisation():
            rows = [("seat", names(entity.seat)), ("founded", number(entity.founded))]
        case _:
            rows = []
    return [(field, value) for field, value in rows if value]


def related(world: World, entity: Entity) -> list[Entity]:
    """Other entities that a page would point to: what lies in it or belongs to it, or shares its country."""
    home = getattr(entity, "country", None)
    found: list[Entity] = []
    for other in world.entities.values():
        if other.id == entity.id or isinstance(other, Continent):
            continue
        near = entity.id in _places_of(other) or (home is not None and home in _places_of(other))
        if near or other.id in _places_of(entity):
            found.append(other)
    return found


def _places_of(entity: Entity) -> tuple[str, ...]:
    match entity:
        case Country():
            return (entity.continent, entity.capital)
        case City():
            return (entity.country, entity.river or "")
        case River():
            return entity.countries
        case Mountain():
            return (entity.country,)
        case Person():
            return (entity.birthplace, entity.country)
        case Organisation():
            return (entity.seat,)
        case _:
            return ()


def categories(world: World, language: Language, entity: Entity) -> list[str]:
    """Names of the categories that a page is in, without the namespace."""
    places = [place for place in _places_of(entity) if place and world.entities[place].kind in ("country", "continent")]
    names = [language.titles[place] for place in places]
    if entity.kind in language.fields:
        names.append(language.fields[entity.kind])
    if isinstance(entity, Person):
        names.append(f"{language.fields['born']} {entity.born}")
    return names or [entity.kind]


def articles(world: World, language: Language, seed: int) -> Iterable[Page]:
    """The article about every entity, in the order of the facts."""
    disturbed = noise.plan(world, language, seed)
    for entity in world.entities.values():
        yield ArticleWriter(world, language, entity, seed, disturbed.get(entity.id)).page()
