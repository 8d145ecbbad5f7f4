"""What a measurement of latency leaves: the file, a page, Markdown, the picture, and a table for the terminal."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median

from unibert.files import make_folder, telling_of_full_disk, write_json
from unibert.report.latency import latency_numbers, latency_section, latency_sentence
from unibert.report.latency_file import FILE, TITLES, Latency
from unibert.report.reading import Gap
from unibert.report.rendering import Page, write_page
from unibert.report.tables import Column, Table, words
from unibert.report.wording import decimal, milliseconds, plural, size

PAGE = "report.html"


def write_latency(found: Latency, folder: Path) -> Path:
    """Write latency.json, then report.html, latency.md, latency.svg and latency.png, tables/*.{csv,md,tex}.

    Each stands under its name when it is whole.

    Args:
        found: what was measured.
        folder: is made if it is not there.

    Returns:
        The page.

    Raises:
        DataError: the disk is full, or nothing may be written there.
    """
    with telling_of_full_disk(folder / FILE):
        write_json(folder / FILE, found.as_json())
    gaps: list[Gap] = []
    told, section = latency_sentence(found), latency_section(found, gaps)
    section.blocks = [block for block in section.blocks if block != told]  # it is the summary
    page = Page(
        title="Latency",
        paragraphs=[told] if told else ["Nothing could be measured."],
        numbers=latency_numbers(found),
        sections=[section],
        provenance=_origin(found),
        kind="UniBERT latency",
    )
    with (
        telling_of_full_disk(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=".latency.", suffix=".tmp") as name,
    ):
        made = Path(name) / "page"
        write_page(page, made)
        markdown = (made / "report.md").read_text(encoding="utf-8").replace("](figures/", "](")
        (made / "report.md").write_text(markdown, encoding="utf-8")
        (made / "report.md").rename(made / "latency.md")
        (made / "index.html").rename(made / PAGE)
        files = [*made.glob("figures/*"), *made.glob("tables/*"), made / "latency.md", made / PAGE]
        make_folder(folder / "tables")
        for path in files:
            os.replace(path, folder / ("tables" if path.parent.name == "tables" else "") / path.name)
    return folder / PAGE


def format_latency(found: Latency) -> str:
    """The reference size of every measurement as aligned text, then what was left out."""
    lines: list[str] = []
    if found.reference:
        batch, length = found.reference
        rows = [["model", "backend", "threads", "p50 ms", "p95 ms", "p99 ms", "texts/s", "memory", "load s", "file"]]
        for part, cell in found.at(batch, length):
            drawn = " (random weights)" if found.model(part.model).random_weights else ""
            memory = size(median(part.memory_bytes)) if part.memory_bytes else "?"
            names = [part.model + drawn, TITLES[part.backend], str(part.threads)]
            times = [milliseconds(value) for value in (cell.p50, cell.p95, cell.p99)]
            rest = [decimal(cell.sentences, 1), memory, decimal(median(part.load_seconds)), size(part.file_bytes)]
            rows.append([*names, *times, *rest])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(text.ljust(width) if column < 2 else text.rjust(width)
                      for column, (text, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows
        ]  # fmt: skip
        lines.insert(0, f"{batch} x {length} tokens, median over {found.settings.get('rounds', '?')} rounds")
    for gone in found.absent:
        threads = "" if gone.threads is None else f", {plural(gone.threads, 'thread')}"
        lines.append(f"left out: {gone.model}, {TITLES.get(gone.backend, gone.backend)}{threads}: {gone.reason}")
        lines += [f"  Fix: {gone.fix}"] if gone.fix else []
    return "\n".join(lines)


def _origin(found: Latency) -> Table:
    """Machine, versions and settings."""
    machine = found.machine
    told = {
        "Date": found.date,
        "Commit": found.commit or "not known",
        "Processor": f"{machine.processor}, {machine.cores} cores, {machine.system}",
        "Versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "Load before each round": ", ".join(decimal(value) for value in machine.load_average) or "not known",
        "Settings": ", ".join(f"{name} {_plain(value)}" for name, value in found.settings.items()),
    }
    rows = [[words(name), words(value)] for name, value in told.items()]
    return Table("origin", "Where the numbers come from", [Column("What", False), Column("Which", False)], rows)


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
