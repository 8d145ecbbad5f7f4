"""What is told of a trimmed model: on the terminal, and in its card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unibert.benchmark.columns import aligned
from unibert.deploy.source import Deployable
from unibert.languages import language
from unibert.pretrain.card_metadata import language_tags

_SIZES = ("", "pieces", "parameters", "float32", "int8, estimated")
_LANGUAGES = ("language", "texts", "held out", "pieces kept", "words the same", "[UNK] before", "[UNK] after")


def format_trimmed(facts: Mapping[str, Any]) -> str:
    """Two tables for the terminal: sizes before and after, and what is left of each language.

    Args:
        facts: what trim.json holds.
    """
    lines = [*aligned([_SIZES, *_sizes(facts)], 1), "", *aligned([_LANGUAGES, *_languages(facts)], 1), ""]
    lines += [_kept(facts), _check(facts)]
    lines += [
        f"{code}: characters that are [UNK]: {' '.join(own['unknown_characters'][:20])}"
        for code, own in facts["languages"].items()
        if own["unknown_characters"]
    ]
    return "\n".join(lines)


def trim_card(facts: Mapping[str, Any], model: Deployable, name: str) -> str:
    """README.md of a trimmed model, with the hub's metadata at the top.

    Args:
        facts: what trim.json holds.
        model: the original.
        name: of the trimmed one.
    """
    codes, regional = language_tags(facts["languages"])
    head = ["---", "library_name: transformers", "language:", *(f"- '{code}'" for code in codes)]
    head += ["language_bcp47:", *(f"- {tag}" for tag in regional)] if regional else []
    licence = _licence(model.folder)
    head += [f"license: {licence}"] if licence else []
    head += [f"pipeline_tag: {model.task}"] if model.task else []
    head += ["tags:", "- unibert", "- vocabulary-trimming", "---"]
    named = ", ".join(language(code).name for code in facts["languages"])
    return "\n".join(
        [
            *head,
            "",
            f"# {name}",
            "",
            f"`{facts['source']}` with the part of its vocabulary that {named} need{'s' if len(codes) == 1 else ''}. "
            "Nothing was trained: on text that is spelled with the kept pieces it gives the answers of the original.",
            "",
            *_markdown([_SIZES, *_sizes(facts)]),
            "",
            _kept(facts),
            "",
            "What is left of each language, measured on text that had no say in what is kept. *Pieces kept*: share of "
            "the pieces of this text that are kept and not [UNK]; *words the same*: share of its words that are "
            "spelled as before.",
            "",
            *_markdown([_LANGUAGES, *_languages(facts)]),
            "",
            _check(facts),
            "",
            "Other languages: what is not kept is spelled with shorter pieces, or [UNK]; the answers are worse there.",
            "",
        ]
    )


def _sizes(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for which in ("before", "after"):
        size = facts[which]
        megabytes = [f"{size[key] / 1e6:,.1f} MB" for key in ("float32_bytes", "int8_bytes_estimated")]
        rows.append((which, f"{size['pieces']:,}", f"{size['parameters']:,}", *megabytes))
    return rows


def _languages(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    keys = ("pieces_kept", "words_spelled_the_same", "unknown_before", "unknown_after")
    return [
        (code, f"{own['texts']:,}", f"{own['held_out']:,}", *(f"{own[key]:.2%}" for key in keys))
        for code, own in facts["languages"].items()
    ]


def _kept(facts: Mapping[str, Any]) -> str:
    kept = facts["kept"]
    return (
        f"Kept: {kept['special']:,} special pieces, {kept['alphabet']:,} of the alphabet, {kept['used']:,} that the "
        "texts use."
    )


def _check(facts: Mapping[str, Any]) -> str:
    check = facts["check"]
    if check["largest_difference"] is None:
        return "No text was spelled with kept pieces only, so that the two models could not be compared."
    return (
        f"On {check['texts']:,} texts the outputs of both models differ by {check['largest_difference']:.1e} at most."
    )


def _markdown(table: list[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in table]
    return [lines[0], f"|---|{'---:|' * (len(table[0]) - 1)}", *lines[1:]]


def _licence(folder: Path) -> str | None:
    """What the original's card says."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    head = re.match(r"\s*---\r?\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*([\w.-]+)\s*$", head[1], re.MULTILINE) if head else None
    return found[1] if found else None
