"""Counting what the corpus is made of, and showing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unibert.corpus.clean import RULE_NAMES
from unibert.languages import language

SCHEMA = 1
_COUNTS = (
    "bytes",
    "characters",
    "tokens",
    "samples",
    "pages",
    "redirects",
    "other_namespaces",
    "empty_pages",
    "paragraphs",
)


def empty_counts() -> dict[str, Any]:
    """The counts of nothing: the keys of a language's entry, all zero."""
    return {**dict.fromkeys(_COUNTS, 0), "rules": {name: {"changed": 0, "dropped": 0} for name in RULE_NAMES}}


def add_counts(into: dict[str, Any], counts: Mapping[str, Any]) -> None:
    """Add one entry's counts to another's, in place."""
    for key in _COUNTS:
        into[key] += counts[key]
    for name in RULE_NAMES:
        for what in ("changed", "dropped"):
            into["rules"][name][what] += counts["rules"][name][what]


def merge_statistics(parts: Iterable[Mapping[str, Any]], token_counter: str, warnings: list[str]) -> dict[str, Any]:
    """The statistics of the corpus from those of its files.

    Args:
        parts: one entry per input file, in the order of the corpus, with keys file, language, kind, file_bytes, damage
            and counts.
        token_counter: what tokens were counted by.
        warnings: sentences for the reader.
    """
    languages: dict[str, dict[str, Any]] = {}
    totals = empty_counts()
    files = []
    for part in parts:
        counts = part["counts"]
        add_counts(languages.setdefault(part["language"], empty_counts()), counts)
        add_counts(totals, counts)
        files.append(
            {
                **{key: part[key] for key in ("file", "language", "kind")},
                "bytes": part["file_bytes"],
                "pages": counts["pages"],
                "samples": counts["samples"],
                "damage": part["damage"],
            }
        )
    return {
        "schema": SCHEMA,
        "token_counter": token_counter,
        "languages": dict(sorted(languages.items())),
        "files": files,
        "totals": totals,
        "warnings": warnings,
    }


def format_statistics(statistics: Mapping[str, Any]) -> str:
    """Two tables as text, languages by size: what each one has, and what the rules made of it."""
    languages = sorted(statistics["languages"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    rows = [(code, language(code).name, counts) for code, counts in languages]
    rows.append(("", f"{len(languages)} languages", statistics["totals"]))
    sizes = [
        [code, name, f"{counts['bytes']:,}", *(f"{counts[key]:,}" for key in ("pages", "samples", "tokens"))]
        for code, name, counts in rows
    ]
    rules = [
        [
            code,
            name,
            f"{counts['paragraphs']:,}",
            *(f"{counts['rules'][rule]['changed']:,}" for rule in ("html", "hidden_characters")),
            *(f"{counts['rules'][rule]['dropped']:,}" for rule in RULE_NAMES),
        ]
        for code, name, counts in rows
    ]
    lines = [
        *_table(["", "language", "bytes", "pages", "samples", "tokens"], sizes),
        "",
        f"Tokens are counted by: {statistics['token_counter']}",
        "",
        *_table(
            [
                "",
                "language",
                "paragraphs",
                "html changed",
                "hidden changed",
                *(f"{_short(r)} dropped" for r in RULE_NAMES),
            ],
            rules,
        ),
    ]
    damage = [entry["damage"] for entry in statistics["files"] if entry["damage"]]
    if damage:
        lines += [
            "",
            f"Damage in {len(damage)} of {len(statistics['files'])} files:",
            *(f"  {text}" for text in damage),
        ]
    warnings = statistics.get("warnings") or []
    if warnings:
        lines += ["", "Warnings:", *(f"  {text}" for text in warnings)]
    return "\n".join(lines)


def _short(rule: str) -> str:
    return {"hidden_characters": "hidden", "links_only": "links"}.get(rule, rule)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; the first two are text, the others numbers; the last row is the sum."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        texts = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        return "  ".join([*texts, *numbers]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return [line(head), rule, *(line(row) for row in rows[:-1]), rule, line(rows[-1])]
