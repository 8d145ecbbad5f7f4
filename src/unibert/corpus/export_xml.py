"""expat's view of export XML: a parser of the header and one of pages."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar
from xml.parsers import expat

_LONGEST_TEXT = 64 << 20
"""Characters; MediaWiki refuses pages of more than 2 MiB, so a longer one is damage that would fill the memory."""

_LONGEST_TAG = 1 << 20
"""Bytes; expat keeps a tag or a comment in the memory until it ends."""

_DEEPEST = 100
"""Open elements; dumps nest six."""

_TEXT_MODELS = ("wikitext", "")

# Dumps older than export version 0.4 do not mark redirects; the word after # is in any language.
_REDIRECT_TEXT = re.compile(r"\s*#[^\W\d]+(?: [^\W\d]+)?\s*:?\s*\[\[")

_EARLY_ENDS = (3, 5, 20)
"""expat's codes for: no element, unclosed token, unclosed section."""


@dataclass(frozen=True)
class Page:
    """One page of a dump, as its newest revision in the file has it."""

    title: str
    page_id: int
    namespace: int
    redirect: bool
    text: str
    """Wikitext; empty for pages of another content model (JSON, Lua, style sheets)."""


@dataclass
class Header:
    """What a dump says about itself before its first page."""

    site_name: str = ""
    database: str = ""
    """Such as `dewiktionary`; old exports do not have it."""
    base: str = ""
    """Address of the main page."""
    namespaces: dict[int, str] = field(default_factory=dict)


class Malformed(Exception):
    """The XML is not what a dump is made of."""

    def __init__(self, reason: str, fatal: bool = False) -> None:
        super().__init__(reason)
        self.fatal = fatal


class _Parser(ABC):
    """What the parsers of headers and of pages share: expat, the path of open elements, the text of those wanted.

    Built on expat itself rather than on a tree: nothing has to be cleared, and damage comes with its byte offset.
    """

    _WANTED: ClassVar[frozenset[str]]
    """Elements whose text is wanted."""
    _MARKS: ClassVar[frozenset[str]]
    """Elements whose start and end matter."""

    def __init__(self, offset: int, line: int) -> None:
        self.complete = False
        """Whether the page that began last has ended; the header ends only with the first page or the root element."""
        self.ended = False
        """Whether the root element has been closed."""
        self._begin, self._first_line = offset, line
        self._fed = 0
        self._path: list[str] = []
        self._chunks: list[str] = []
        self._size = 0
        self._expat = parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    @property
    def offset(self) -> int:
        """Bytes of XML before the current place."""
        return self._begin + max(0, self._expat.CurrentByteIndex)

    @property
    def line(self) -> int:
        """Of the current place."""
        return self._first_line + self._expat.CurrentLineNumber - 1

    def feed(self, data: memoryview | bytes) -> None:
        """Parse some bytes.

        Raises:
            Malformed: they are not export XML.
        """
        try:
            self._expat.Parse(data, False)
        except expat.ExpatError as error:
            if self.ended:
                return  # what follows the end does no harm
            raise self._malformed(error) from None
        self._fed += len(data)
        if self._fed - self._expat.CurrentByteIndex > _LONGEST_TAG:
            raise Malformed(f"the XML is damaged (a tag of more than {_LONGEST_TAG:,} bytes)")

    def _malformed(self, error: expat.ExpatError) -> Malformed:
        return Malformed(f"the XML is damaged ({expat.ErrorString(error.code) or 'not XML'})")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            raise Malformed(f"the XML is damaged (more than {_DEEPEST} elements in one another)")
        if name in self._WANTED:
            self._chunks = []
            self._size = 0
            self._expat.CharacterDataHandler = self._characters
        elif name in self._MARKS:
            self._element_begins(name)

    def _characters(self, data: str) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _LONGEST_TEXT:
            raise Malformed(f"a page of more than {_LONGEST_TEXT:,} characters")

    def _end(self, name: str) -> None:
        self._path.pop()
        if name in self._WANTED:
            self._expat.CharacterDataHandler = None
            value = "".join(self._chunks)
            self._chunks = []
            self._value(name, value)
        elif name in self._MARKS:
            self._element_ends(name)

    @abstractmethod
    def _value(self, name: str, value: str) -> None: ...

    @abstractmethod
    def _element_begins(self, name: str) -> None: ...

    def _element_ends(self, name: str) -> None:
        self.ended = not self._path


class HeaderParser(_Parser):
    """Reads what stands before the first page.

    Document type and entity declarations are refused: MediaWiki writes none, and they are how small files are made to
    fill the memory.
    """

    _WANTED = frozenset(("sitename", "dbname", "base", "namespace"))
    _MARKS = frozenset(("mediawiki",))

    def __init__(self, header: Header) -> None:
        super().__init__(offset=0, line=1)
        self.root = False
        """Whether the root element has begun."""
        self._header = header
        self._namespace: int | None = None
        self._expat.XmlDeclHandler = self._declared
        self._expat.StartDoctypeDeclHandler = self._refused
        self._expat.EntityDeclHandler = self._refused

    def _malformed(self, error: expat.ExpatError) -> Malformed:
        if self.root:
            return super()._malformed(error)
        message = expat.ErrorString(error.code) or "unknown"
        return Malformed(f"not a MediaWiki export: not XML ({message})", fatal=True)

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        # UTF-16 has become UTF-8 before it comes here.
        if (encoding or "UTF-8").upper() not in ("UTF-8", "UTF-16", "US-ASCII"):
            raise Malformed(f"not a MediaWiki export: its encoding is {encoding}, not UTF-8", fatal=True)

    def _refused(self, *_: object) -> None:
        raise Malformed("a document type or entity declaration, which dumps do not have", fatal=True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "mediawiki":
            raise Malformed(f"not a MediaWiki export: its root element is <{name}>", fatal=True)
        super()._start(name, attributes)
        if name == "namespace":
            key = attributes.get("key", "")
            self._namespace = int(key) if re.fullmatch(r"-?\d{1,9}", key) else None

    def _element_begins(self, name: str) -> None:
        self.root = True

    def _value(self, name: str, value: str) -> None:
        header = self._header
        if name == "namespace":
            if self._namespace is not None:
                header.namespaces[self._namespace] = value
        elif name == "sitename":
            header.site_name = value.strip()
        elif name == "dbname":
            header.database = value.strip()
        else:
            header.base = value.strip()


class PageParser(_Parser):
    """Reads pages and hands them to `found`."""

    _WANTED = frozenset(("title", "ns", "id", "model", "text", "role"))
    _MARKS = frozenset(("mediawiki", "page", "redirect", "revision", "content"))
    _ROOT = b"<mediawiki>"  # around the pages

    def __init__(self, namespaces: dict[int, str], found: Callable[[Page], None], offset: int, line: int) -> None:
        super().__init__(offset - len(self._ROOT), line)
        self._namespaces = namespaces
        self._found = found
        self._fields: dict[str, str] = {}
        self._slot: dict[str, str] = {}
        self.feed(self._ROOT)

    @property
    def between_pages(self) -> bool:
        """Whether nothing but the root element is open."""
        return len(self._path) == 1

    def flush(self) -> str:
        """Have expat parse what it may have put off until more comes; what was amiss with it."""
        try:
            self._expat.Parse(b"", True)
        except expat.ExpatError as error:
            if error.code not in _EARLY_ENDS:
                return str(self._malformed(error))
        except Malformed as error:
            return str(error)
        return "the XML is damaged (a page does not end)"

    def _element_begins(self, name: str) -> None:
        if name == "page":
            self._fields = {}
        elif name == "redirect":
            self._fields["redirect"] = "1"
        elif name == "revision":
            # The last revision wins: in a dump with the whole history, that is the newest.
            self._fields.pop("text", None)
            self._fields.pop("model", None)
        elif name == "content":
            self._slot = {}

    def _value(self, name: str, value: str) -> None:
        parent = self._path[-1] if self._path else ""
        if parent == "page" or (parent == "revision" and name in ("text", "model")):
            self._fields[name] = value
        elif parent == "content":
            self._slot[name] = value

    def _element_ends(self, name: str) -> None:
        if name == "page":
            self._finish_page()
        elif name == "content":
            # Version 0.11 puts what belongs to a page but is not its text (such as data about a file) into slots.
            if self._slot.pop("role", "").strip() == "main":
                self._fields.update(self._slot)
        elif name == "mediawiki":
            super()._element_ends(name)

    def _finish_page(self) -> None:
        fields, self._fields = self._fields, {}  # not to keep the text longer than the reader
        text = fields.get("text", "")
        redirect = "redirect" in fields or _REDIRECT_TEXT.match(text) is not None
        if fields.get("model", "").strip() not in _TEXT_MODELS:
            text = ""
        title = fields.get("title", "").strip()
        namespace = self._namespace_of(fields.get("ns"), title)
        self._found(Page(title, _integer(fields.get("id")), namespace, redirect, text))
        self.complete = True

    def _namespace_of(self, number: str | None, title: str) -> int:
        """The page's namespace; exports before version 0.6 tell it only by the title's prefix."""
        if number is not None:
            return _integer(number)
        prefix, colon, _ = title.partition(":")
        if colon:
            for key, name in self._namespaces.items():
                if key != 0 and name == prefix:
                    return key
        return 0


def _integer(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else 0
