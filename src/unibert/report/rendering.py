"""From the content of a page to its files: index.html that needs nothing else, report.md, figures and tables.

What a page says is decided elsewhere; here it is written, and an older report is replaced only by a whole new one.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unibert import __version__
from unibert.errors import DataError
from unibert.files import see_that_it_can_be_written, telling_of_full_disk
from unibert.report.blocks import Block, Details, FigureBlock, KeyNumber, ProgressBar, Section
from unibert.report.latex import to_latex
from unibert.report.reading import Gap
from unibert.report.tables import Table, plain_markdown, to_csv, to_html, to_markdown
from unibert.report.theme import COLOURS, Picture
from unibert.report.wording import count

# name: (light, dark). Beside them the page sets those of the figures.
PAGE_COLOURS = {
    "paper": ("#fbfbf9", "#12161c"),
    "card": ("#ffffff", "#171c23"),
    "ink": ("#1f2a37", "#e5e9f0"),
    "soft": ("#515d6c", "#a9b4c2"),
    "line": ("#dfe3e8", "#2f3945"),
    "edge": ("#7a8694", "#76828f"),  # of controls: three times as light or dark as the ground
    "accent": ("#00619a", "#7cc4f0"),
    "band": ("#f3f5f7", "#1d242d"),
    "warn-paper": ("#fdf6e8", "#262013"),
    "warn-line": ("#d9a441", "#a87b25"),
    "warn-ink": ("#6b4700", "#f0c674"),
}

FOLDED_CELLS = 30_000
"""So many cells of folded tables go on a page, the smaller tables first; at 80 bytes each they are half of 5 MB."""

GAPS_SHOWN = 20
"""So many gaps are shown unfolded."""


@dataclass(frozen=True)
class Page:
    """What a page says, from top to bottom."""

    title: str
    paragraphs: list[str]
    """The summary; its first paragraph in larger type."""
    numbers: list[KeyNumber]
    sections: list[Section]
    urgent: list[Section] = field(default_factory=list)
    """Sections that come before what is missing."""
    gaps: list[Gap] = field(default_factory=list)
    provenance: Table | None = None
    commands: list[str] = field(default_factory=list)
    recipe: str = ""
    """Every setting, as TOML."""
    kind: str = "UniBERT report"
    """The line above the title."""
    refresh: int | None = None
    """Seconds after which browsers are to load the page again; only for as long as it is rewritten."""

    @property
    def blocks(self) -> Iterator[Block]:
        """Those of all sections, in the page's order."""
        for section in (*self.urgent, *self.sections):
            yield from section.blocks

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, folded or not."""
        found: list[Table] = []
        for block in self.blocks:
            found += [block] if isinstance(block, Table) else block.tables if isinstance(block, Details) else []
        return found + ([self.provenance] if self.provenance and self.provenance.rows else [])

    @property
    def pictures(self) -> list[Picture]:
        """Every picture of the page."""
        return [picture for block in self.blocks if isinstance(block, FigureBlock) for picture in block.pictures]


def write_page(page: Page, target: Path) -> Path:
    """Write a page: `target`/index.html, report.md, figures/*.{svg,png} and tables/*.{csv,md,tex}.

    Older files there are replaced one by one, each by a whole new one, when all of the new page is made. A page that
    will be rewritten in a moment comes without PNG files, which take longer to draw than all the rest.

    Returns:
        The path of index.html.

    Raises:
        DataError: the disk is full, or nothing may be written there.
    """
    if target.exists() and not target.is_dir():
        raise DataError(f"{target}: is a file, and the page needs a folder", "Name another place for the page.")
    see_that_it_can_be_written(target)
    beside = (".tmp", f".{target.name}.", target.parent)
    with telling_of_full_disk(target), tempfile.TemporaryDirectory(*beside) as scratch:
        _write(Path(scratch), page)
        _replace(Path(scratch), target)
    return target / "index.html"


def _write(folder: Path, page: Page) -> None:
    environment = _environment(page)
    styles = [(name, *pair) for name, pair in {**COLOURS, **PAGE_COLOURS}.items()]
    made = time.strftime("%Y-%m-%d %H:%M:%S %z")
    content = {"page": page, "version": __version__, "made": made, "colours": styles, "shown": GAPS_SHOWN}
    head, body = (_template("theme.js"), "\n".join(map(_template, ("tables.js", "figures.js", "print.js"))))
    scripts = {"head": Markup(head), "body": Markup(body), "hashes": [_hash(head), _hash(body)]}
    index = environment.get_template("page.html").render(content, scripts=scripts)
    (folder / "index.html").write_text(index, encoding="utf-8")
    # Markdown is not HTML: tables are escaped by to_markdown, everything else by the template's filter `plain`.
    plain = environment.overlay(autoescape=False)
    (folder / "report.md").write_text(plain.get_template("report.md").render(content), encoding="utf-8")
    (folder / "figures").mkdir()
    (folder / "tables").mkdir()
    for picture in page.pictures:
        (folder / "figures" / f"{picture.name}.svg").write_text(picture.file, encoding="utf-8")
        if page.refresh is None and picture.figure is not None:
            (folder / "figures" / f"{picture.name}.png").write_bytes(_png(picture))
    for table in page.tables:
        for ending, write in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
            (folder / "tables" / f"{table.name}.{ending}").write_text(write(table), encoding="utf-8")


def _png(picture: Picture) -> bytes:
    return picture.png()


def _environment(page: Page) -> Environment:
    environment = Environment(
        loader=PackageLoader("unibert.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = lambda table: Markup(to_html(table))
    environment.filters["markdown_table"] = to_markdown
    environment.filters["plain"] = plain_markdown
    environment.filters["unbroken"] = unbroken
    environment.filters["count"] = count
    left_out = _too_large([block for block in page.blocks if isinstance(block, Details)])
    environment.tests.update(
        table=lambda block: isinstance(block, Table),
        figure=lambda block: isinstance(block, FigureBlock),
        details=lambda block: isinstance(block, Details),
        progress=lambda block: isinstance(block, ProgressBar),
        cautions=lambda block: isinstance(block, list),
        left_out=lambda table: table.name in left_out,
    )
    return environment


def _too_large(folded: Sequence[Details]) -> set[str]:
    """The folded tables that would make the page too large to load on a telephone: they are files only."""
    tables = sorted(
        (table for details in folded for table in details.tables),
        key=lambda table: (len(table.rows) * len(table.columns), table.name),
    )
    room, found = FOLDED_CELLS, set()
    for table in tables:
        room -= len(table.rows) * len(table.columns)
        if room < 0:
            found.add(table.name)
    return found


def _template(name: str) -> str:
    return (files("unibert.report") / "templates" / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    """What the page's policy calls a script by: no other runs, whatever the names in a run's files hold."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def unbroken(text: str) -> str:
    """The text with numbers held to their units, so that no line ends between them."""
    return re.sub(r"(\d) (kB|[KMGT]?B|[KM]|%|s|min|h|d)(?!\w)", "\\1\N{NO-BREAK SPACE}\\2", text)


def _replace(made: Path, target: Path) -> None:
    """Put every new file in the place of the old one, the page last, and remove pictures and tables that are no more.

    The folder as a whole cannot be exchanged in one go, and a browser that looks just then would be told that there is
    no page, and would not ask again.
    """
    fresh = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    for name in sorted(fresh, key=lambda name: name.name == "index.html"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with (made / name).open("rb") as stream:
            os.fsync(stream.fileno())  # a power cut leaves the old file or the new one
        os.replace(made / name, target / name)
    patterns = ("figures/*.svg", "figures/*.png", "tables/*.csv", "tables/*.md", "tables/*.tex")
    for path in [path for pattern in patterns for path in target.glob(pattern)]:
        if path.relative_to(target) not in fresh:
            path.unlink(missing_ok=True)
